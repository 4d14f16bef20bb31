"""What the forms of the preconditioner have in common, beyond being linear changes of variables."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from skmax._change_of_variables import ChangeOfVariables
from skmax._columns import Columns
from skmax._objective import Objective
from skmax._rows import Float64Array


class Form(Protocol):
    """What `choose_preconditioner` needs to know of a form before it builds one.

    The costs are counts of multiplications, not times, so that the choice, and with it a fit, can be repeated.
    """

    @staticmethod
    def cost(objective: Objective) -> float:
        """The operations that building it takes."""

    @staticmethod
    def most_evaluations(n_iter: int) -> float:
        """The most evaluations of the objective that it may cost after `n_iter` iterations."""

    @staticmethod
    def numbers(objective: Objective) -> int:
        """How many numbers its largest array holds."""

    @staticmethod
    def suits(objective: Objective, theta: Float64Array, damping: float) -> bool:
        """Whether it can be built at `theta`, and is not pointless there."""

    @classmethod
    def at(cls, objective: Objective, columns: Columns, theta: Float64Array, damping: float = 0.0) -> "Preconditioner":
        """The preconditioner of the Hessian at `theta`, with `damping` added to each standardized parameter's."""


@dataclass(frozen=True, eq=False)
class Preconditioner(ChangeOfVariables):
    """A change of variables that the solver uses for one stage; its string is what `verbose=1` prints."""

    name: ClassVar[str]

    def __str__(self) -> str:
        return self.name

    def stage_length(self, n_stages: int) -> int:
        """The number of iterations before a new preconditioner pays, after `n_stages` earlier stages."""
        return 15

    @staticmethod
    def suits(objective: Objective, theta: Float64Array, damping: float) -> bool:
        return True


def growing_stage_length(n_stages: int) -> int:
    """For a preconditioner that leaves a part of the Hessian to L-BFGS, which learns it again in each stage."""
    return 15 * 2**n_stages
