"""The history of a search: its stages, from which the choice of a preconditioner learns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Stage:
    """The record of one stage of the solver.

    Attributes
    ----------
    form : type
        The type of its preconditioner. The preconditioner itself is not kept.
    n_evaluations : int
        The number of evaluations of the objective.
    start, end : float
        The objective at the first and the last point.
    gap : float
        The gap at the last point, as the preconditioner estimates it.
    """

    form: Any
    n_evaluations: int
    start: float
    end: float
    gap: float


@dataclass(frozen=True)
class History:
    """The history of a search: the iterations and stages so far, and the gap at which it aims."""

    n_iter: int = 0
    stages: Sequence[Stage] = ()
    target: float = 0.0

    def last_of(self, form: type) -> Stage | None:
        """The last stage with a preconditioner of this form, or None."""
        return next((stage for stage in reversed(self.stages) if stage.form is form), None)

    def n_stages(self, form: type) -> int:
        """The number of stages so far, not counting the forms that `form` takes turns with."""
        return sum(stage.form is form or not stage.form.takes_turns for stage in self.stages)

    def fall(self, stage: Stage) -> float:
        """The decrease of the logarithm of the gap in `stage`.

        All gaps refer to the same minimum, f at the end of the last stage less the gap estimated there, so that the
        forms are comparable.
        """
        minimum = self.stages[-1].end - self.stages[-1].gap
        least = np.finfo(float).tiny
        return float(np.log(max(stage.start - minimum, least) / max(stage.end - minimum, least)))
