"""The choice of a preconditioner.

The whole Hessian or its blocks are best whenever they are affordable. The other forms leave out different parts of the
Hessian: the correlations of columns that classes share, or the few rows of each class that have most of the curvature.
Sizes alone do not tell which of these parts matter, so the choice learns from the progress of the search. It begins
with the first form in the order of preference, and keeps it as long as the search is expected to end soon. Otherwise
each other form is tried for one stage. From then on, each stage uses the form whose last stage reduced the logarithm of
the gap most per operation, including the operations that build it. When a form stalls, the next best one takes over.
Operations are counted, not timed, so that a fit is reproducible.

Blocks do not take turns: on flavia32 (1907 x 50, 32 classes) their 381 iterations became 599 when they did.
"""

import numpy as np

from skmax._columns import ColumnStats
from skmax._hessian.cost import MOST_NUMBERS, evaluation_cost
from skmax._objective import Objective
from skmax._preconditioner.base import BasePreconditioner
from skmax._preconditioner.block import BlockPreconditioner
from skmax._preconditioner.diagonal import DiagonalPreconditioner
from skmax._preconditioner.full import FullPreconditioner
from skmax._preconditioner.history import History
from skmax._preconditioner.kronecker import KroneckerPreconditioner
from skmax._preconditioner.low_rank import LowRankPreconditioner
from skmax._preconditioner.shared import SharedPreconditioner
from skmax._samples import Float64Array

# Forms that are used whenever they suit the point, fit into memory and are worth their cost, in order of preference.
_BEST: tuple[type[BasePreconditioner], ...] = (KroneckerPreconditioner, FullPreconditioner, BlockPreconditioner)
# Forms that take turns, in order of preference. The first is worth its cost only after some iterations.
_OTHERS: tuple[type[BasePreconditioner], ...] = (LowRankPreconditioner, SharedPreconditioner)
# Another form is tried if the rest of the search is expected to take more than the first number times as long as a
# trial, which is a stage of about the second number of evaluations.
_TRIALS, _TRIAL = 2, 15


def choose_preconditioner(
    columns: ColumnStats,
    objective: Objective,
    theta: Float64Array,
    damping: float = 0.0,
    history: History | None = None,
) -> BasePreconditioner:
    """The most promising preconditioner at `theta`; the diagonal if no other form is affordable.

    `damping` is a number to add to the curvature of each standardized parameter. The more iterations a search has
    taken, the more a preconditioner may cost.
    """
    history = history or History()
    evaluation = evaluation_cost(objective)

    def is_affordable(form: type[BasePreconditioner]) -> bool:
        worth = max(form.most_evaluations, form.evaluations_per_iteration * history.n_iter) * evaluation
        fits = form.numbers(objective) <= MOST_NUMBERS
        return fits and form.cost(objective) <= worth and form.suits(objective, theta, damping)

    for form in _BEST:
        if is_affordable(form):
            return form.at(objective, columns, theta, damping)
    forms = [form for form in _OTHERS if is_affordable(form)]
    if LowRankPreconditioner not in forms:  # it contains the diagonal
        forms.append(DiagonalPreconditioner)
    costs = [form.cost(objective) / evaluation for form in forms]
    return most_promising(forms, costs, history).at(objective, columns, theta, damping)


def most_promising(
    forms: list[type[BasePreconditioner]], costs: list[float], history: History
) -> type[BasePreconditioner]:
    """The best of `forms` according to their stages so far. Their `costs` are in evaluations."""
    tried = {form: stage for form in forms if (stage := history.last_of(form))}
    last = history.stages[-1] if history.stages else None
    if last and last.form is DiagonalPreconditioner and LowRankPreconditioner in forms:
        return LowRankPreconditioner  # it contains the diagonal
    if last is None or not tried:
        return forms[0]
    fall = history.fall(last)
    left = float(np.log(max(last.gap / history.target, 1.0)))
    rest = left / fall * last.n_evaluations if fall > 0 else np.inf
    for form, cost in zip(forms, costs, strict=True):
        if form not in tried and rest > _TRIALS * (_TRIAL + 2 * cost):
            return form
    if last.form in tried and rest <= _TRIAL:
        return last.form
    promise = {
        form: history.fall(tried[form]) / (tried[form].n_evaluations + cost)
        for form, cost in zip(forms, costs, strict=True)
        if form in tried
    }
    return max(promise, key=promise.__getitem__)
