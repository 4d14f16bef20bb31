"""The choice of a preconditioner.

Where the whole Hessian or its blocks are affordable, they are the best. Where not, the other forms leave out different
parts, and which of these matter cannot be known from their sizes: the correlations of columns that classes share, or
the few rows of each class that have most of the curvature. So the choice learns from the progress of the search. It
begins with the first form in the order of preference. A form stays as long as the search is expected to end soon.
Otherwise each other form gets a stage. From then on, each stage has the form that promises the most, by its last stage:
the largest fall of the logarithm of the gap for its operations, among them those that build it. A form whose progress
stalls is left for the next best. Operations are counted, not timed, so that a fit can be repeated.

Blocks take no turns: on flavia32 (1907 x 50, 32 classes) their 381 iterations became 599 when they did.
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

# Taken whenever they suit the point, fit into memory and are worth their cost, in order of preference.
_BEST: tuple[type[BasePreconditioner], ...] = (KroneckerPreconditioner, FullPreconditioner, BlockPreconditioner)
# Those that take turns, in order of preference. The first is worth its cost only after some iterations.
_OTHERS: tuple[type[BasePreconditioner], ...] = (LowRankPreconditioner, SharedPreconditioner)
# Another form is tried if the rest of the search is expected to take more than this many times the stage of a trial,
# which has about so many evaluations.
_TRIALS, _TRIAL = 2, 15


def choose_preconditioner(
    columns: ColumnStats,
    objective: Objective,
    theta: Float64Array,
    damping: float = 0.0,
    history: History | None = None,
) -> BasePreconditioner:
    """The form of the Hessian at `theta` that promises the most, or the diagonal.

    `damping` is a number to add to the curvature of each standardized parameter. An objective that has taken many
    iterations is known to be so hard that a preconditioner may cost a share of them.
    """
    history = history or History()
    evaluation = evaluation_cost(objective)

    def pays(form: type[BasePreconditioner]) -> bool:
        worth = max(form.most_evaluations, form.evaluations_per_iteration * history.n_iter) * evaluation
        fits = form.numbers(objective) <= MOST_NUMBERS
        return fits and form.cost(objective) <= worth and form.suits(objective, theta, damping)

    for form in _BEST:
        if pays(form):
            return form.at(objective, columns, theta, damping)
    forms = [form for form in _OTHERS if pays(form)]
    if LowRankPreconditioner not in forms:  # which is better than the diagonal alone
        forms.append(DiagonalPreconditioner)
    costs = [form.cost(objective) / evaluation for form in forms]
    return most_promising(forms, costs, history).at(objective, columns, theta, damping)


def most_promising(
    forms: list[type[BasePreconditioner]], costs: list[float], history: History
) -> type[BasePreconditioner]:
    """One of `forms`, whose `costs` are in evaluations."""
    tried = {form: stage for form in forms if (stage := history.last_of(form))}
    last = history.stages[-1] if history.stages else None
    if last and last.form is DiagonalPreconditioner and LowRankPreconditioner in forms:
        return LowRankPreconditioner  # the same, and more
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
