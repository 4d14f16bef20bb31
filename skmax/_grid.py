"""The grid of weight decays for cross-validation: its default, its validation, and a warning if it is too short."""

import numpy as np
from numpy.typing import ArrayLike

from skmax._arrays import to_numpy
from skmax._columns import ColumnStats
from skmax._problem import Problem, initial_parameters
from skmax._samples import Float64Array
from skmax._target import naming

# At the strong end of the grid, no fit is better than the class frequencies by more than this share of their entropy.
# At the weak end, the prior distribution that the penalty stands for gives the logits of a typical row a variance of
# one over this number.
_STRONG_END, _WEAK_END = 0.01, 0.001
# The scores at an end of the grid are compared with those at this factor of weight decay, to see whether they still
# rise.
_DECADE = 9.99


def grid(problem: Problem, n_weight_decays: int) -> Float64Array:
    """Weight decays on a logarithmic scale, between ends that depend on the data.

    At the strong end, no fit can gain more than 1 % of the entropy of the class frequencies. As f is convex,
    loss(W) >= loss(0) + <G, W> with G the gradient at zero coefficients, so that no W gains more than
    max_W -<G, W> - weight_decay / 2 ||W||^2 = ||G||^2 / (2 weight_decay).

    At the weak end, the weight decay is 0.001 p v / S, with p columns of median variance v. S f is minus the logarithm
    of a posterior density whose prior gives the coefficients independent normal distributions of variance
    1 / (S weight_decay). Under that prior, the logit of a row x less the mean has the variance
    ||x - mean||^2 / (S weight_decay). For a typical row, the squared length is the sum of the columns' variances v_j,
    for which p times their median stands: a few columns of large variance would dominate the sum, and the grid would
    not suit the others.

    With prior means and offsets, the path begins at the prior means, and the loss there takes the place of the entropy.
    With factors phi, the bound is sum_kj G_kj^2 / phi_kj over twice the weight decay, and the variances are
    v_j / phi_j. Coefficients without a penalty count in neither, since they are optimal from the beginning.
    """
    encoding, objective, given = problem.encoding, problem.objective, problem.given
    strong = 0.0
    if not encoding.is_certain:  # else the entropy is 0 and there is nothing to gain
        value, flat = objective(initial_parameters(problem))
        gradient, factor = objective.split(flat)[0], objective.penalty.factor
        if objective.penalty.mean is None and not objective.samples.has_offset:
            value = -np.sum(encoding.frequency * np.log(encoding.frequency))
        squares = gradient**2 if factor is None else np.divide(gradient**2, factor, where=factor > 0, out=0 * gradient)
        strong = np.sum(squares) / (2 * _STRONG_END * max(value, np.finfo(float).tiny))
    columns = ColumnStats.of(given.samples, centred=given.fit_intercept)
    variance, n_features = columns.scale**2, given.n_features
    if problem.prior.factor is not None:
        factor = np.atleast_2d(problem.prior.factor).mean(axis=0)
        if not factor.any():
            raise ValueError(
                "penalty_factor must be positive for some coefficient if weight_decays is an integer; got only zeros, "
                "with which the weight decay has no effect."
            )
        n_features = int(np.count_nonzero(factor))
        variance = variance[factor > 0] / factor[factor > 0]
    weak = _WEAK_END * n_features * np.median(variance) / encoding.weight_sum
    # If the columns carry no information on the classes, the ends would be out of order.
    strong = max(strong, 100 * weak)
    return np.geomspace(strong, weak, n_weight_decays)


def check_weight_decays(weight_decays: ArrayLike) -> Float64Array:
    """Check the weight decays, and sort them from the strongest to the weakest."""
    with naming("weight_decays", f"an integer, or finite numbers of at least 0; got {weight_decays!r}"):
        decays = np.asarray(to_numpy(weight_decays, "weight_decays"), dtype=np.float64)
    if decays.ndim != 1 or not len(decays) or not np.all((decays >= 0) & np.isfinite(decays)):
        raise ValueError(f"weight_decays must be an integer, or finite numbers of at least 0; got {weight_decays!r}.")
    return -np.sort(-decays)


def end_of_grid(weight_decays: Float64Array, scores: Float64Array, *, from_data: bool) -> str | None:
    """The text of a warning if the scores still rise at an end of the grid, or None.

    They rise if the best mean score is more than one standard error above that of a weight decay ten times as strong or
    weak. There is no warning at the strong end of a grid `from_data`, beyond which the model is that of the class
    frequencies.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = scores.mean(axis=0)
        best, last = int(np.nanargmax(mean)), len(mean) - 1
        if last == 0 or best not in (0, last) or weight_decays[best] == 0 or (from_data and best == 0):
            return None
        # Scores of neighbours in a fine grid hardly differ, so compare with a weight decay further away.
        ratio = np.maximum(weight_decays, weight_decays[best]) / np.minimum(weight_decays, weight_decays[best])
        far = np.flatnonzero(ratio >= _DECADE)
        away = far[ratio[far].argmin()] if len(far) else ratio.argmax()
        error = scores[:, best].std() / np.sqrt(max(len(scores) - 1, 1))
        if not mean[best] - mean[away] > error:
            return None
    place, what = ("first", "stronger") if best == 0 else ("last", "weaker")
    return (
        f"The best of the weight_decays, {weight_decays[best]:.2g}, is the {place} of the grid, and the scores still "
        f"rise towards it: the best of all may be {what}. Pass weight_decays that include {what} ones."
    )
