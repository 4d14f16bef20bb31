"""The base class of the forms of the preconditioner."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from skmax._change_of_variables import ChangeOfVariables
from skmax._columns import ColumnStats
from skmax._objective import Objective
from skmax._samples import Float64Array

# The longest stage of a form that takes turns, so that another form may take over where it stalls (arrhythmia: 356
# iterations without this limit, 203 with it).
_LONGEST_TURN = 60


@dataclass(frozen=True, eq=False)
class BasePreconditioner(ChangeOfVariables):
    """A change of variables for one stage of the solver, in which the Hessian is close to the identity.

    `verbose=1` prints its string. `choose_preconditioner` compares the costs of the forms before it builds one. Costs
    are counts of operations, not times, so that the choice, and with it a fit, is reproducible.

    Attributes
    ----------
    name : str
    most_evaluations, evaluations_per_iteration : float
        The highest cost allowed, in evaluations of the objective: a constant or, if that is more, a number for each
        iteration so far.
    takes_turns : bool
        Whether the choice may alternate between this form and others to learn which is best.
    stages_grow : bool
        Whether each stage is twice as long as the one before. This suits forms that leave a part of the Hessian to
        L-BFGS, which has to learn that part again in each stage.
    rows_used : str
        How many rows it was built from, if not from all.
    """

    name: ClassVar[str]
    most_evaluations: ClassVar[float] = 0.0
    evaluations_per_iteration: ClassVar[float] = 0.0
    takes_turns: ClassVar[bool] = True
    stages_grow: ClassVar[bool] = False

    rows_used: str = field(default="", kw_only=True)

    @staticmethod
    def cost(objective: Objective) -> float:
        """The number of operations for building it."""
        raise NotImplementedError

    @staticmethod
    def numbers(objective: Objective) -> int:
        """The number of elements of its largest array."""
        raise NotImplementedError

    @staticmethod
    def suits(objective: Objective, theta: Float64Array, damping: float) -> bool:
        """Whether it can be built at `theta` and is useful there."""
        return True

    @classmethod
    def at(cls, objective: Objective, columns: ColumnStats, theta: Float64Array, damping: float = 0.0) -> Self:
        """The preconditioner at `theta`, with `damping` added to the curvature of each standardized parameter."""
        raise NotImplementedError

    @classmethod
    def _of(cls, objective: Objective, columns: ColumnStats, damping: float, *measured: Any, **others: Any) -> Self:
        """The preconditioner for the weight decay of `objective`, given what was `measured` of the loss."""
        shared = columns, objective.n_logits, objective.fit_intercept, damping
        return cls(*shared, *measured, **others).penalised(objective)

    def __str__(self) -> str:
        return self.name + self.rows_used

    def stage_length(self, n_stages: int) -> int:
        """The number of iterations after which to build a new preconditioner, given `n_stages` earlier stages."""
        length = 15 * 2**n_stages if self.stages_grow else 15
        return min(length, _LONGEST_TURN) if self.takes_turns else length
