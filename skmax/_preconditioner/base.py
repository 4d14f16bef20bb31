"""What the forms of the preconditioner have in common, beyond being linear changes of variables."""

from dataclasses import dataclass
from typing import ClassVar, Self

from skmax._change_of_variables import ChangeOfVariables
from skmax._columns import ColumnStats
from skmax._objective import Objective
from skmax._samples import Float64Array


@dataclass(frozen=True, eq=False)
class BasePreconditioner(ChangeOfVariables):
    """A change of variables for one stage of the solver, in which the Hessian is close to the identity.

    Its string is what `verbose=1` prints. `choose_preconditioner` asks a form for its costs before it builds one. They
    are counts of operations, not times, so that the choice, and with it a fit, can be repeated.

    Attributes
    ----------
    name : str
    most_evaluations, evaluations_per_iteration : float
        The cost that is worth while, in evaluations of the objective: a constant or, if it is more, one for each
        iteration so far.
    takes_turns : bool
        Whether stages with other forms may come between those with this one, as the choice learns which is best.
    """

    name: ClassVar[str]
    most_evaluations: ClassVar[float] = 0.0
    evaluations_per_iteration: ClassVar[float] = 0.0
    takes_turns: ClassVar[bool] = True

    @staticmethod
    def cost(objective: Objective) -> float:
        """The number of operations that building it takes."""
        raise NotImplementedError

    @staticmethod
    def numbers(objective: Objective) -> int:
        """How many numbers its largest array holds."""
        raise NotImplementedError

    @staticmethod
    def suits(objective: Objective, theta: Float64Array, damping: float) -> bool:
        """Whether it can be built at `theta`, and is of use there."""
        return True

    @classmethod
    def at(cls, objective: Objective, columns: ColumnStats, theta: Float64Array, damping: float = 0.0) -> Self:
        """The preconditioner at `theta`, with `damping` added to the curvature of each standardized parameter."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.name

    def stage_length(self, n_stages: int) -> int:
        """The number of iterations before a new preconditioner pays, after `n_stages` earlier stages."""
        return 15


def growing_stage_length(n_stages: int) -> int:
    """For a preconditioner that leaves a part of the Hessian to L-BFGS, which learns it again in each stage."""
    return 15 * 2**n_stages
