"""The scores of a path of weight decays on each fold; a path ends early where its log loss has clearly turned."""

import copy
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import ArrayLike, NDArray

from skmax._arrays import Device, is_foreign, to_numpy
from skmax._base import BaseSoftmaxRegression, Seen
from skmax._path import fit_path
from skmax._prior import Prior
from skmax._progress import PathProgress
from skmax._samples import Design, Float64Array
from skmax._scorer import mean_score, neg_cross_entropy_scorer, own_log_probability
from skmax._sklearn import Monitor
from skmax._softmax import FloatArray
from skmax._threads import workers

# The tolerance of a fit on a fold, in standard errors of the mean log loss on the held-out rows. With 5 folds of usps,
# optdigits and movement_libras, the mean score of the best weight decay then differs from that of certified fits by at
# most 1 % of a standard error, and the scores of weight decays 10 to 100 times weaker, which are much worse, by 10 to
# 40 %. A tolerance of 1e-3 saves another fifth of the evaluations, but changes the latter by a whole standard error.
_ROUGH = 1e-4
# The path of a fold ends when its log loss has exceeded its lowest value by this number of standard errors of the
# difference, for this many weight decays in a row.
_TURNED_BY, _TURNED_FOR = 3.0, 2

Fold: TypeAlias = tuple[NDArray[np.intp], NDArray[np.intp]]  # the training and the test rows


@dataclasses.dataclass(frozen=True)
class Rows:
    """The checked rows that the folds divide: X, y, weights and offsets."""

    X: Design
    y: NDArray
    weight: Float64Array | None
    offset: FloatArray | None

    @property
    def device(self) -> Device | None:
        """The device of X, if it is not in the memory of this process."""
        return Device.holding(self.X) if is_foreign(self.X) else None

    def at(self, index: NDArray[np.intp]) -> "Rows":
        """The rows at `index`."""
        weight = None if self.weight is None else self.weight[index]
        X = self.X[index] if self.device is None else self.device.take(self.X, index)
        return Rows(X, self.y[index], weight, None if self.offset is None else self.offset[index])


def check_folds(folds: Iterable[Any], n_samples: int, cv: Any) -> list[Fold]:
    """Validate the folds, and return the indices of the training and test rows of each."""
    checked, rows = [], np.arange(n_samples)
    for number, fold in enumerate(folds):
        try:
            train, test = (rows[np.asarray(to_numpy(part, "cv"))] for part in fold)
            n_train, n_test = len(train), len(test)
        except (IndexError, TypeError, ValueError) as error:
            raise ValueError(
                f"cv must give the training rows and the test rows of each fold; for fold {number}: {error}."
            ) from error
        if not (n_train and n_test):
            raise ValueError(
                f"cv must give training rows and test rows for each fold; got {n_train} and {n_test} in fold {number}."
            )
        checked.append((train, test))
    if not checked:
        raise ValueError(
            f"cv must give at least one fold; got none from {cv!r}. An iterator is exhausted by one fit: pass a list."
        )
    return checked


def gap_beyond(gap: float, tol: float) -> float:
    """The `gap` if it exceeds `tol`, else 0."""
    return 0.0 if gap <= tol else gap


def score_folds(
    search_fold: Callable[..., tuple[list[float], list[float]]], folds: list[Fold], n_jobs: int | None, monitor: Monitor
) -> tuple[Float64Array, Float64Array]:
    """The scores of all folds and the gaps that `_warn` needs, both of shape (n_folds, n_weight_decays).

    Weight decays after the end of a fold's path have scores of nan. If one of them could still have been the best,
    because other folds continued and improved, the folds that lack it are fitted again, to the end of the path.
    """
    names = [f"fold {number}/{len(folds)}" for number in range(1, len(folds) + 1)]
    results: list[Any] = []
    if effective_n_jobs(n_jobs) == 1:
        results = [search_fold(fold, name, monitor=monitor) for fold, name in zip(folds, names, strict=True)]
    else:
        # With callbacks, the results come in order, each once it is ready. joblib before 1.3 can only return a list.
        how = {"return_as": "generator"} if monitor.has_callbacks else {}
        jobs = (delayed(search_fold)(fold, name) for fold, name in zip(folds, names, strict=True))
        for result, name in zip(Parallel(n_jobs=n_jobs, **how)(jobs), names, strict=True):
            results.append(result)
            monitor.step(name)
    again = _short_of_the_best(*(np.array(part) for part in zip(*results, strict=True)))
    if again:
        jobs = (delayed(search_fold)(folds[i], names[i], whole=True) for i in again)
        for i, result in zip(again, Parallel(n_jobs=n_jobs)(jobs), strict=True):
            results[i] = result
    scores, far = (np.array(part) for part in zip(*results, strict=True))
    return scores, far


def _short_of_the_best(scores: Float64Array, far: Float64Array) -> list[int]:
    """The folds whose path ended before a weight decay that would be the best if their scores had not changed since."""
    fitted = far >= 0
    if fitted.all():
        return []
    last = fitted.sum(axis=1) - 1
    assumed = np.where(fitted, scores, scores[np.arange(len(scores)), last][:, None])
    whole = fitted.all(axis=0)
    with np.errstate(invalid="ignore"):
        could = ~whole & (assumed.mean(axis=0) > assumed[:, whole].mean(axis=0).max())
    return np.flatnonzero(could.any() & ~fitted.all(axis=1)).tolist()


def score_fold(
    model: BaseSoftmaxRegression,
    rows: Rows,
    prior: Prior,
    weight_decays: Float64Array,
    scorer: Any,
    for_score: dict[str, Any],
    fold: Fold,
    name: str,
    *,
    whole: bool = False,
    monitor: Monitor | None = None,
) -> tuple[list[float], list[float]]:
    """The scores of `model` with each of the weight decays, on one fold, and the gaps that `_warn` needs.

    If the score is the log loss, the path ends once it has clearly turned, unless the `whole` path is requested.
    """
    train, test = fold
    held_out = rows.at(test)
    progress = PathProgress(weight_decays, name, model.verbose, monitor)
    for_test = {key: np.asarray(value)[test] if np.ndim(value) else value for key, value in for_score.items()}
    is_log_loss = isinstance(scorer, type(neg_cross_entropy_scorer))
    losses = _Losses(len(test), for_test.get("sample_weight"))
    scores, far = [], []
    options = dataclasses.replace(
        model._options(), report=progress.stage, watch=progress.iteration, rough_tol=lambda: _ROUGH * losses.error
    )
    fitted_to = rows.at(train)
    target = model._encode(fitted_to.y, fitted_to.weight)
    with workers() as pool:
        problem = model._problem(fitted_to.X, target, pool, prior, fitted_to.offset)
        path = fit_path(problem, weight_decays.tolist(), options)
        for weight_decay, fit in zip(weight_decays.tolist(), path, strict=True):
            with pool.paused():
                fitted = copy.copy(model)
                fitted.weight_decay = weight_decay
                fitted._store(fit, Seen(device=rows.device))
                own = own_log_probability(fitted, held_out.X, held_out.y, held_out.offset)
                if is_log_loss:
                    score = mean_score(own, for_test.get("sample_weight"))
                else:
                    score = scorer(fitted._with_offset(held_out.offset), held_out.X, held_out.y, **for_test)
            scores.append(score)
            far.append(0.0 if fit.converged else gap_beyond(fit.gap, model.tol))
            progress.end_of_decay(score)
            losses.add(-own)
            if is_log_loss and losses.have_turned and not whole:
                break
    progress.end()
    n_unfitted = len(weight_decays) - len(scores)
    return scores + n_unfitted * [np.nan], far + n_unfitted * [-1.0]


class _Losses:
    """The log losses of the test rows along a path.

    Attributes
    ----------
    error : float
        The standard error of the mean log loss of the latest fit.
    have_turned : bool
        Whether the means of the last few fits were clearly higher than the lowest mean.
    """

    def __init__(self, n_rows: int, weight: ArrayLike | None) -> None:
        weight = np.broadcast_to(1.0 if weight is None else np.asarray(weight), n_rows)
        self._weight = weight / max(weight.sum(), np.finfo(float).tiny)
        self._least: Float64Array | None = None
        self._n_higher, self.error = 0, 0.0

    @property
    def have_turned(self) -> bool:
        return self._n_higher >= _TURNED_FOR

    def add(self, losses: Float64Array) -> None:
        """Add the losses of the rows under the next fit."""
        _, self.error = self._mean_and_error(losses)
        if self._least is None:
            self._least = losses
            return
        rise, error = self._mean_and_error(losses - self._least)
        if rise <= 0:
            self._least = losses
        self._n_higher = self._n_higher + 1 if rise > _TURNED_BY * error else 0

    def _mean_and_error(self, numbers: Float64Array) -> tuple[float, float]:
        mean = float(np.dot(self._weight, numbers))
        return mean, float(np.sqrt(np.dot(self._weight**2, (numbers - mean) ** 2)))
