"""The history of a search: its stages, from which the choice of a preconditioner learns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


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
class History:
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
