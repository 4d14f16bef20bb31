"""What the forms of the preconditioner have in common, beyond being linear changes of variables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from skmax._change_of_variables import ChangeOfVariables
from skmax._columns import ColumnStats
from skmax._objective import Objective
from skmax._samples import Float64Array


@dataclass(frozen=True)
class Stage:
    """What came of a stage of the solver.

    Attributes
    ----------
    form : type
        That of its preconditioner, which is not kept.
    n_evaluations : int
        The number of evaluations of the objective.
    start, end : float
        The objective at the first and the last point.
    gap : float
        How far the last point is above the minimum, as the preconditioner estimates it.
    """

    form: Any
    n_evaluations: int
    start: float
    end: float
    gap: float


@dataclass(frozen=True)
class Progress:
    """What the solver has done so far: its iterations, its stages, and the gap that it aims for."""

    n_iter: int = 0
    stages: Sequence[Stage] = ()
    target: float = 0.0

    def last_of(self, form: type) -> Stage | None:
        """The last stage with a preconditioner of this form."""
        return next((stage for stage in reversed(self.stages) if stage.form is form), None)

    def n_stages(self, form: type) -> int:
        """The number of stages so far, without those of forms that `form` takes turns with."""
        return sum(stage.form is form or not stage.form.takes_turns for stage in self.stages)

    def fall(self, stage: Stage) -> float:
        """By how much the logarithm of the gap fell in `stage`.

        The gap of a point is that of the last one, which is estimated, and what f is above that one: forms that take
        turns are measured by the same minimum.
        """
        minimum = self.stages[-1].end - self.stages[-1].gap
        least = np.finfo(float).tiny
        return float(np.log(max(stage.start - minimum, least) / max(stage.end - minimum, least)))


@dataclass(frozen=True, eq=False)
class Preconditioner(ChangeOfVariables):
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
