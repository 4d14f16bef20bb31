"""A fitted model with its data again, the curvature there, and the refusal of what has no standard errors.

The objective f of :class:`skmax.SoftmaxRegression` is a mean over rows of total weight S, so that the log likelihood is
-S times its loss, and S f is minus the logarithm of a posterior density in which the coefficients are normal
beforehand, with variance 1 / (S weight_decay). With H the Hessian of f at its minimum, (S H)^-1 is thus the inverse of
the observed information or, with weight decay, the covariance of the Gaussian with the curvature of the posterior at
its mode (Laplace's approximation).

Three or more logits are redundant: adding one vector to the parameters of all classes changes nothing. So H is taken on
the parameters whose sum over the classes is 0, in an orthonormal basis Q of shape (K, K - 1) of these,

    H_Q = (Q (x) I)^T H (Q (x) I),        cov(theta) = (Q (x) I) (S H_Q)^-1 (Q (x) I)^T,

which is positive definite unless columns depend on one another or classes are separated. The penalty does not change
along the redundant directions (`skmax._penalty`). All of this happens in standardized columns (`ColumnStats`), in
which H is as well conditioned as the columns are independent, and is brought to the user's columns at the end.
"""

import functools
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, sparse

from skmax._arrays import to_numpy
from skmax._base import BaseSoftmaxRegression, MatrixLike
from skmax._columns import ColumnStats
from skmax._cv import SoftmaxRegressionCV
from skmax._hessian.measure import measure, measure_root
from skmax._infinity import n_unseparated
from skmax._objective import Objective
from skmax._pipeline import last_step
from skmax._prior import check_offset
from skmax._samples import Block, Design, Float64Array, LocalSamples
from skmax._separation import separation
from skmax._softmax import FloatArray, Parameters, losses_in_place
from skmax._target import Encoding, Target
from skmax._threads import workers

Kind: TypeAlias = Literal["model", "sandwich", "cluster"]
KINDS = ("model", "sandwich", "cluster")

# The most coefficients and intercepts: about six matrices of 134 MB each are held at a time.
MOST_PARAMETERS = 4096
# A coefficient may be this share of its standard error from the minimum. A 95 % interval around such a point covers
# 94.9 %.
_MOST_FROM_MINIMUM = 0.1
# A penalty is negligible if it moves no linear combination of the parameters by more than this share of its standard
# error, so that a 95 % interval still covers 94.9 %, and takes no more than this of their degrees of freedom, so that
# no interval is shorter by more than 1 %.
_NEGLIGIBLE_SHIFT, _NEGLIGIBLE_FREEDOM = 0.1, 0.02
# Where the reciprocal condition number of the Hessian of unit diagonal is smaller, it is factorised from its rows,
# which keeps twice the digits, if that takes no more than this many multiplications, about a minute.
_ILL_CONDITIONED, _MOST_BY_ROWS = 1e-8, 3e11
_LEAST_DIGITS = 1e-12
# Without weight decay, a Newton step that changes a difference of two logits by more than this has not arrived, perhaps
# because the minimum is at infinity: on the way there, each step changes some by about 1.
_LARGEST_STEP = 0.3
_MOST_NAMES = 8
# The numbers in the table of sums over the rows of each cluster; more clusters take several passes.
_CLUSTER_NUMBERS = 2**23


@dataclass(frozen=True, eq=False)
class Fitted:
    """A model at its fitted parameters, in standardized columns, with the objective of the data that it was fitted to.

    Attributes
    ----------
    model : BaseSoftmaxRegression or Pipeline
        As the user passed it.
    estimator : BaseSoftmaxRegression
        The last step of `model`.
    encoding : Encoding
    names : ndarray of shape (n_columns,)
        The names of the features and, last, "intercept".
    objective : Objective
        In float64, with the weight decay of the fit, in the user's columns less an origin.
    columns : ColumnStats
        With a `turn` where columns without a penalty nearly depend on one another.
    theta : ndarray of shape (n_parameters,)
        The parameters of `objective`, with a sum of 0 over the classes.
    table : ndarray of shape (n_logits, n_columns)
        The same parameters in the user's columns.
    origin : ndarray of shape (n_features,)
        What is subtracted from the rows of X.
    to_user : ndarray of shape (n_columns, n_columns)
        What a logit's parameters in standardized columns are multiplied by to give those in the user's.
    """

    model: Any
    estimator: BaseSoftmaxRegression
    encoding: Encoding
    names: NDArray[np.object_]
    objective: Objective
    columns: ColumnStats
    theta: Float64Array
    table: Float64Array
    origin: Float64Array
    to_user: Float64Array

    @property
    def n_logits(self) -> int:
        return self.objective.n_logits

    @property
    def n_columns(self) -> int:
        return self.objective.n_columns

    @property
    def classes(self) -> NDArray:
        """The labels with weight, of which the first has no logit if there are two in all."""
        return self.encoding.present_classes

    @property
    def labels(self) -> NDArray:
        """The label of each logit."""
        return self.classes[-self.n_logits :]

    @property
    def weight_sum(self) -> float:
        return self.encoding.weight_sum

    @property
    def unit(self) -> float:
        """What the weights of the samples are multiples of."""
        return self.weight_sum / self.objective.samples.weight_sum

    @functools.cached_property
    def basis(self) -> Float64Array:
        """The Q of the module's docstring; a single logit has no redundancy."""
        n = self.n_logits
        return np.eye(1) if n == 1 else linalg.helmert(n).T

    @property
    def n_free(self) -> int:
        """The number of parameters without the redundant ones."""
        return self.basis.shape[1] * self.n_columns

    @functools.cached_property
    def penalty(self) -> Float64Array:
        """What the penalty adds to H_Q for each standardized column, of shape (n_columns, n_free, n_free).

        Columns that are turned have no penalty.
        """
        penalty, n_features = self.objective.penalty, self.objective.n_features
        result = np.zeros((self.n_columns, self.basis.shape[1], self.basis.shape[1]))
        if penalty.by_class:
            result[:n_features] = self.basis.T @ penalty.matrices() @ self.basis
        else:
            result[:n_features] = np.eye(self.basis.shape[1]) * np.reshape(penalty.curvature, (-1, 1, 1))
        result[:n_features] /= np.square(self.columns.scale)[:, None, None]
        return result

    @functools.cached_property
    def penalty_gradient(self) -> Float64Array:
        """The gradient of the penalty in `theta`, of shape (n_logits, n_columns)."""
        coef, _ = self.objective.split(self.theta)
        return self.objective.join(self.objective.penalty.gradient(coef), np.zeros(self.n_logits))

    def standardize(self, theta: Float64Array) -> Float64Array:
        """A step in `theta`, as one of the parameters of standardized columns: the inverse of `ColumnStats.step`."""
        coef, intercept = self.objective.split(theta)
        standardized = coef * self.columns.scale
        if self.columns.turn is not None:
            standardized = standardized @ self.columns.turn
        return self.objective.join(standardized, intercept + coef @ self.columns.mean)

    def standardize_gradient(self, gradient: Float64Array) -> Float64Array:
        """The gradient in standardized columns, of one in `theta`."""
        return gradient @ self.columns.step(np.eye(self.n_columns), self.objective.fit_intercept).T

    @functools.cached_property
    def root(self) -> Float64Array:
        """A matrix R with R^T R = H_Q^-1, of shape (n_free, n_free)."""
        objective, columns, size = self.objective, self.columns, self.n_columns
        hessian = measure(objective, columns, self.theta).reshape(self.n_logits, size, self.n_logits, size)
        hessian = np.einsum("kilj,ka,lb->aibj", hessian, self.basis, self.basis, optimize=True)
        each = np.arange(size)
        hessian[:, each, :, each] += self.penalty
        hessian = hessian.reshape(self.n_free, self.n_free)
        diagonal = hessian.diagonal().copy()
        if diagonal.min() > 0:
            scale = 1 / np.sqrt(diagonal)
            hessian *= scale
            hessian *= scale[:, None]
            norm = np.abs(hessian).sum(axis=0).max()
            factor, info = linalg.lapack.dpotrf(hessian, lower=1)
            if info == 0 and linalg.lapack.dpocon(factor, norm, uplo="L")[0] > _ILL_CONDITIONED:
                return linalg.solve_triangular(factor, np.diag(scale), lower=True, check_finite=False)
        del hessian
        if 2 * objective.samples.n_samples * self.n_logits * self.theta.size**2 > _MOST_BY_ROWS:
            raise ValueError(
                "The Hessian is so ill-conditioned that its inverse would have no correct digits, and X has too many "
                f"rows to compute it in another way, {objective.samples.n_samples}. {self._advice()}"
            )
        root = measure_root(objective, columns, self.theta).reshape(-1, self.n_logits, size)
        root = np.einsum("rki,ka->rai", root, self.basis).reshape(-1, self.n_free)
        triangle = np.linalg.qr(np.vstack([root, self._penalty_root]), mode="r")
        norm = np.linalg.norm(triangle, axis=0)
        scaled = triangle / np.where(norm > 0, norm, 1)
        if not np.abs(scaled.diagonal()).min() > _LEAST_DIGITS:
            self._refuse_singular(scaled, norm)
        inverse = linalg.solve_triangular(scaled, np.eye(self.n_free), check_finite=False)
        if np.abs(scaled).sum(axis=0).max() * np.abs(inverse).sum(axis=0).max() * _LEAST_DIGITS > 1:
            self._refuse_singular(scaled, norm)
        return inverse.T / norm

    @property
    def _penalty_root(self) -> Float64Array:
        """A root of the penalty, of shape (n_free, n_free)."""
        values, vectors = np.linalg.eigh(self.penalty)
        roots = np.sqrt(np.maximum(values, 0))[:, :, None] * vectors.swapaxes(1, 2)
        n, size = self.basis.shape[1], self.n_columns
        result, each = np.zeros((n, size, n, size)), np.arange(size)
        result[:, each, :, each] = roots
        return result.reshape(self.n_free, self.n_free)

    def _refuse_singular(self, scaled: Float64Array, norm: Float64Array) -> None:
        """Raise the error for a singular Hessian, along the direction of least curvature."""
        direction = np.linalg.svd(scaled)[2][-1] / np.where(norm > 0, norm, 1)
        step = self.basis @ direction.reshape(-1, self.n_columns)
        theta = self.columns.step(step, self.objective.fit_intercept).ravel()
        if self.objective.penalty.has_free:
            theta /= max(self.objective.largest_change(theta), np.finfo(float).tiny)
            for each in (theta, -theta):
                part = self.objective.receding(each)
                if part is not None:
                    raise ValueError(self._separated(part))
        raise ValueError(
            "The Hessian is singular, mostly along the coefficients of "
            f"{self._features(self.objective.split(theta)[0])}, which have no finite "
            f"standard errors. {self._advice()}"
        )

    def _advice(self) -> str:
        if self.objective.penalty.is_none:
            return "Leave out columns that others nearly determine, or fit with weight_decay > 0."
        return "Leave out columns that others nearly determine, or fit with a larger weight_decay."

    def _features(self, coef: Float64Array) -> str:
        """The names of the columns by which a step in the coefficients changes the difference of two logits most."""
        both = coef if self.n_logits > 1 else np.vstack([coef, np.zeros_like(coef)])
        return _shown(self.names, np.ptp(both, axis=0) * self.columns.scale, 0.5)

    def _separated(self, theta: Float64Array) -> str:
        """The error for classes that the step `theta` separates."""
        change = self.objective.recession(theta).change
        classes = self.classes[change > change.max() / 2].tolist()
        names = self._features(self.objective.split(theta)[0])
        return (
            f"Rows of the classes {classes} are separated from others without error, mostly along the columns {names}: "
            "without a penalty on them the likelihood has no maximum, and there are no standard errors. Fit with "
            "weight_decay > 0, which gives posterior standard deviations, or leave out columns that separate."
        )

    def check(self) -> None:
        """Raise a ValueError where there is no minimum, or the parameters are not near it."""
        objective = self.objective
        if objective.penalty.is_none and not n_unseparated(objective, self.theta):
            raise ValueError(self._separated(self.theta))
        step = self._newton_step
        theta = self.columns.step(step, objective.fit_intercept).ravel()
        if objective.penalty.has_free and objective.largest_change(theta) > _LARGEST_STEP:
            part = objective.receding(theta)
            if part is None and objective.penalty.is_none and (found := separation(objective, self.columns)):
                part = found.step
            if part is not None:
                raise ValueError(self._separated(part))
            raise ValueError(self._unconverged(f"changes a difference of two logits by more than {_LARGEST_STEP}"))
        self._check_near(step, self.inverse())

    def _check_near(self, step: Float64Array, covariance: Float64Array) -> None:
        """Raise a ValueError where `step` is long in units of the standard errors."""
        error, step = np.sqrt(self.variances(np.einsum("kikj->kij", covariance))), np.abs(step @ self.to_user)
        far = np.divide(step, error, out=np.zeros_like(step), where=error > 0)
        if not far.max() <= _MOST_FROM_MINIMUM:
            k, j = np.unravel_index(int(far.argmax()), far.shape)
            parameter = f"the parameter {self.names[j]!r} of class {self.labels[k]!r}"
            raise ValueError(self._unconverged(f"changes {parameter} by {far.max():.2g} standard errors"))

    def _unconverged(self, what: str) -> str:
        # A gap g leaves a Newton step of length (2 S g)^(1/2) in standard errors.
        tol = min(_MOST_FROM_MINIMUM**2 / (2 * self.weight_sum), self.estimator.tol / 10)
        return (
            f"For these X, y and weights, the model is not at its minimum: a Newton step {what}. Pass those of the "
            f"fit, or fit again with tol={tol:.0e} (it was {self.estimator.tol:g}; warm_start=True goes on from here)."
        )

    @functools.cached_property
    def _newton_step(self) -> Float64Array:
        """The Newton step to the minimum, in standardized columns, of shape (n_logits, n_columns)."""
        samples = self.objective.samples
        gradient = samples.sum(score_sum, self.theta, self.columns, cost=self.objective.cost) / samples.weight_sum
        gradient += self.standardize_gradient(self.penalty_gradient)
        return -self.inverse_product(gradient)

    def inverse_product(self, gradient: Float64Array) -> Float64Array:
        """H^-1 times `gradient`, on the parameters that sum to 0, both of shape (n_logits, n_columns)."""
        reduced = (self.basis.T @ gradient).ravel()
        return self.basis @ (self.root.T @ (self.root @ reduced)).reshape(-1, self.n_columns)

    def inverse(self) -> Float64Array:
        """(S H)^-1 in standardized columns, of shape (n_logits, n_columns, n_logits, n_columns)."""
        return self.spread_out(self.root.T @ self.root / self.weight_sum)

    def spread_out(self, reduced: Float64Array) -> Float64Array:
        """A matrix in the basis Q, for all classes."""
        table = reduced.reshape(-1, self.n_columns, self.basis.shape[1], self.n_columns)
        return np.einsum("aibj,ka,lb->kilj", table, self.basis, self.basis, optimize=True)

    def covariance(self, kind: Kind = "model", groups: ArrayLike | None = None) -> Float64Array:
        """The covariance of the parameters in standardized columns, as `inverse` is."""
        codes = self._check_kind(kind, groups)
        if kind == "model":
            self.warn_of_class_weight("the standard errors of kind='model'. Pass kind='sandwich'")
            return self.inverse()
        samples, n_free = self.objective.samples, self.n_free
        scores = _Scores(self.theta, self.columns, self.basis)
        if codes is None:
            meat = samples.sum(_meat, scores, cost=n_free**2 + self.objective.cost)
        else:
            meat, codes = np.zeros((n_free, n_free)), self._clusters(codes)
            n_clusters, n_rows = codes.max() + 1, np.count_nonzero(codes >= 0)
            most = max(1, _CLUSTER_NUMBERS // n_free)
            for first in range(0, n_clusters, most):
                count = min(most, n_clusters - first)
                sums = samples.sum(_cluster_sums, scores, codes, first, count, cost=n_free + self.objective.cost)
                meat += sums.T @ sums
            per_logit = self.effective_df / self.basis.shape[1]
            meat *= n_clusters / (n_clusters - 1) * (n_rows - 1) / (n_rows - per_logit)
        half = self.root.T @ (self.root / samples.weight_sum)
        covariance = self.spread_out(half @ meat @ half)
        self._check_near(self._newton_step, covariance)
        return covariance

    def warn_of_class_weight(self, what: str) -> None:
        """Warn that the weights are no frequencies, where `what` takes them as such."""
        if self.estimator.class_weight is not None:
            warn(f"class_weight makes weights that are no frequencies, and so do not suit {what}.")

    def check_intervals(self, kind: Kind) -> None:
        """Raise a ValueError if estimates with errors of this kind have no intervals."""
        if kind != "model" and not self.penalty_is_negligible:
            raise ValueError(
                f"kind={kind!r} has no intervals under a weight decay that is not negligible, as the estimate has a "
                "bias of unknown size. Pass kind='model', for the posterior, or fit with weight_decay=0."
            )

    def _check_kind(self, kind: Kind, groups: ArrayLike | None) -> NDArray[np.intp] | None:
        """The codes of the groups, for kind="cluster"."""
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}; got {kind!r}.")
        if (groups is None) == (kind == "cluster"):
            raise ValueError(
                "kind='cluster' needs groups, the cluster of each row, and no other kind takes them; got "
                f"kind={kind!r} and groups {'None' if groups is None else 'not None'}."
            )
        if groups is None:
            return None
        labels, n_samples = np.asarray(to_numpy(groups, "groups")), self.objective.samples.n_samples
        if labels.shape != (n_samples,):
            raise ValueError(f"groups must name the cluster of each of the {n_samples} rows; got shape {labels.shape}.")
        if labels.dtype.kind == "f" and np.isnan(labels).any():
            raise ValueError(f"groups must have no missing values; got {np.count_nonzero(np.isnan(labels))}.")
        return np.unique(labels, return_inverse=True)[1].reshape(-1)

    def _clusters(self, codes: NDArray[np.intp]) -> NDArray[np.intp]:
        """Codes of the clusters that have rows with weight, and -1 for rows without."""
        counts = np.concatenate(self.objective.samples.sum(_counts, cost=1))
        found, own = np.unique(codes[counts], return_inverse=True)
        if len(found) < 2:
            raise ValueError(f"groups must name two or more clusters of rows with weight; got {len(found)}.")
        result = np.full(len(codes), -1)
        result[counts] = own.reshape(-1)
        return result

    def variances(self, blocks: Float64Array) -> Float64Array:
        """The variances in the user's columns, a row for each of some logits, or of differences of them.

        The `blocks` are the covariances of each one's parameters in standardized columns.
        """
        return np.array([np.einsum("ij,ji->i", self.to_user.T @ block, self.to_user) for block in blocks])

    @functools.cached_property
    def effective_df(self) -> float:
        """The trace of the smoother, tr(H^-1 H_loss) on the free parameters; without penalty, their number."""
        if self.objective.penalty.is_none:
            return float(self.n_free)
        root = self.root.reshape(-1, self.basis.shape[1], self.n_columns)
        return float(self.n_free - np.einsum("rai,rbi,iab->", root, root, self.penalty, optimize=True))

    @functools.cached_property
    def penalty_is_negligible(self) -> bool:
        """Whether the penalty changes intervals by next to nothing; see the constants above.

        The step to the minimum without penalty is d = H^-1 g, with g the penalty's gradient, so that the largest change
        of a linear combination c of the parameters, in standard errors, is max_c <c, d> / (c^T (S H)^-1 c)^(1/2), which
        is (S g^T H^-1 g)^(1/2). In a direction in which the penalty adds a share m to the curvature of the loss, an
        interval is shorter by a factor (1 + m)^(-1/2), and m / (1 + m) degrees of freedom are lost.
        """
        if self.objective.penalty.is_none:
            return True
        gradient = (self.basis.T @ self.standardize_gradient(self.penalty_gradient)).ravel()
        shift = np.sqrt(self.weight_sum) * np.linalg.norm(self.root @ gradient)
        return bool(shift <= _NEGLIGIBLE_SHIFT and self.n_free - self.effective_df <= _NEGLIGIBLE_FREEDOM)

    def rows(self, X: MatrixLike) -> Design:
        """New rows like those that the model was fitted to, as its last step sees them."""
        return self.estimator._validate_X(last_step(self.model, X)[1], reset=False)

    def known_offset(self, offset: ArrayLike | None, n_rows: int) -> FloatArray | None:
        """The offsets of new rows, which must be known if those of the fit had offsets."""
        return check_offset(self.estimator._known_offset(offset), n_rows, len(self.encoding.classes))

    def new_samples(self, X: Design, offset: FloatArray | None = None, values: NDArray | None = None) -> LocalSamples:
        """Other `rows` with encoded targets, in the columns and with the threads of the objective, in float64."""
        own = self.objective.samples
        target = Target(self.encoding, values, None)
        samples = target.samples(X, fit_intercept=own.fit_intercept, pool=own.workers, offset=offset).in_memory()
        assert samples is not None  # only Dask's rows are not for this process
        return (samples if samples.is_sparse else samples.with_origin(self.origin)).in_float64()

    def for_all_classes(self, values: Float64Array) -> Float64Array:
        """A table with a column for each class with weight, and columns of 0 for the others."""
        result = np.zeros((len(values), len(self.encoding.classes)))
        result[:, self.encoding.present] = values
        return result

    def column(self, feature: Any) -> int:
        """The index of a feature, given its name or its index."""
        names = self.names[: self.objective.n_features].tolist()
        if isinstance(feature, str) and feature in names:
            return names.index(feature)
        if isinstance(feature, int | np.integer) and 0 <= feature < len(names):
            return int(feature)
        raise ValueError(f"A feature must be one of the names {_listed(names)}, or an index; got {feature!r}.")


@contextmanager
def fitted(
    model: Any,
    X: MatrixLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    *,
    errors: bool = True,
) -> Iterator[Fitted]:
    """The model with the data of its fit.

    With `errors`, its standard errors are meant, and a weight decay that was chosen on the same data is warned of.
    """
    estimator, X, names = last_step(model, X)
    n_present = int(np.isfinite(estimator.intercept_).sum())
    size = (n_present if len(estimator.coef_) > 1 else 1) * (estimator.coef_.shape[1] + estimator.fit_intercept)
    if size > MOST_PARAMETERS:
        raise ValueError(
            f"The model has {size} coefficients and intercepts, and inference is limited to {MOST_PARAMETERS}, for "
            "which it holds six matrices of 134 MB. Leave out columns, or fit fewer classes."
        )
    if errors and isinstance(estimator, SoftmaxRegressionCV):
        warn(
            "The weight decay was chosen on the same data. The standard errors do not include that choice; those of a "
            "weight decay fixed beforehand, or chosen on other data, would."
        )
    with workers() as pool:
        problem = estimator._problem_again(X, y, sample_weight, offset, pool)
        given, encoding = problem.given, problem.encoding
        _check_classes(estimator, encoding)
        decay = problem.decay(getattr(estimator, "weight_decay_", getattr(estimator, "weight_decay", 0.0)))
        objective = problem.objective.exactly().penalised(decay)
        columns, features = problem.columns, [f"x{j}" for j in range(given.n_features)] if names is None else names
        names = np.array([*features, *["intercept"] * given.fit_intercept], dtype=object)
        if objective.penalty.has_free:
            columns = problem.independent_columns(objective)
            _check_independent(columns, names, given.fit_intercept)
        parts = [part[encoding.rows].astype(np.float64) for part in (estimator.coef_, estimator.intercept_)]
        table = _centred(objective.join(*parts))
        theta = _centred(objective.join(*problem.coordinates.from_origin(*parts))).ravel()
        to_user = columns.step(np.eye(given.n_columns), given.fit_intercept)
        origin = np.zeros(given.n_features) if problem.coordinates.origin is None else problem.coordinates.origin
        if given.fit_intercept:
            to_user[:, -1] -= to_user[:, :-1] @ origin
        result = Fitted(model, estimator, encoding, names, objective, columns, theta, table, origin, to_user)
        result.check()
        yield result


def _check_classes(estimator: BaseSoftmaxRegression, encoding: Encoding) -> None:
    if encoding.is_certain:
        raise ValueError(
            f"The class {encoding.present_classes.tolist()[0]!r} has all of the weight, so that its "
            "probability is 1 and nothing was estimated: y and the weights must have two or more classes."
        )
    seen, present = estimator.classes_.tolist(), encoding.classes.tolist()
    if seen == present and len(seen) > 2:
        seen = estimator.classes_[np.isfinite(estimator.intercept_)].tolist()
        present = encoding.present_classes.tolist()
    if seen != present:
        raise ValueError(f"y must have the classes of the fit, {_listed(seen)}; got {_listed(present)}.")


def _check_independent(columns: ColumnStats, names: NDArray, centred: bool) -> None:
    """Raise a ValueError that names columns that depend on one another."""
    if columns.span is None or columns.turn is None or columns.span.shape[0] == columns.span.shape[1]:
        return
    # What is left of each unit vector of standardized columns beyond the span of the rows: nothing of a column that no
    # dependence involves.
    beyond = np.eye(len(columns.scale)) - columns.turn @ columns.turn.T
    share = np.linalg.norm(beyond, axis=1)
    n_too_many = columns.span.shape[0] - columns.span.shape[1]
    others = " or on the intercept" if centred else ""
    raise ValueError(
        f"The columns {_shown(names, share)} are linearly dependent, on one another{others}: without a penalty "
        f"their coefficients are not determined, and have no standard errors. Leave {n_too_many} of them out, or fit "
        "with weight_decay > 0."
    )


def _shown(names: NDArray, share: Float64Array, least: float = 0.1) -> str:
    """The names of the columns whose share of something is at least this part of the largest, in descending order."""
    order = np.argsort(-share, kind="stable")
    return _listed([names[j] for j in order if share[j] >= least * share.max()])


def _listed(values: Sequence[Any]) -> str:
    shown = ", ".join(map(repr, values[:_MOST_NAMES]))
    return f"[{shown}]" if len(values) <= _MOST_NAMES else f"[{shown} and {len(values) - _MOST_NAMES} more]"


def warn(message: str) -> None:
    """Warn at the line outside this package that called it."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in ("skmax", "contextlib"):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


def score_sum(samples: LocalSamples, within: slice, theta: Float64Array, columns: ColumnStats) -> Float64Array:
    """The sum of s_i (p_i - y_i) x~_i^T: the gradient of the loss in standardized columns."""
    parameters, total = samples.parameters(theta), np.zeros((samples.n_logits, samples.n_columns))
    for block in samples.blocks(samples.n_columns + samples.n_logits, within):
        residual = _residual(block, parameters)
        total += (residual * block.weights()) @ columns.standardized(block, samples.fit_intercept)
    return total


def _residual(block: Block, parameters: Parameters) -> FloatArray:
    """softmax(z_i) - y_i, class-major, to its last digits."""
    logits = block.raw_prediction(*parameters)
    losses_in_place(logits, block.class_major_target())
    return logits


@dataclass(frozen=True, eq=False)
class _Scores:
    """The gradients of the rows' weighted losses, in the basis Q."""

    theta: Float64Array
    columns: ColumnStats
    basis: Float64Array

    def of(self, samples: LocalSamples, block: Block) -> Float64Array:
        """Those of a block, with a row for each."""
        reduced = (self.basis.T @ _residual(block, samples.parameters(self.theta)) * block.weights()).T
        standardized = self.columns.standardized(block, samples.fit_intercept)
        return (reduced[:, :, None] * standardized[:, None, :]).reshape(len(reduced), -1)


def _meat(samples: LocalSamples, within: slice, scores: _Scores) -> Float64Array:
    """The sum of the outer products of the rows' scores."""
    size = scores.basis.shape[1] * samples.n_columns
    total = np.zeros((size, size))
    for block in samples.blocks(size, within):
        rows = scores.of(samples, block)
        total += rows.T @ rows
    return total


def _cluster_sums(
    samples: LocalSamples, within: slice, scores: _Scores, codes: NDArray[np.intp], first: int, count: int
) -> Float64Array:
    """The sums of the scores over the rows of each of `count` clusters from `first` on."""
    size = scores.basis.shape[1] * samples.n_columns
    total = np.zeros((count, size))
    for block in samples.blocks(size, within):
        own = codes[samples.row_offset + block.index.start : samples.row_offset + block.index.stop]
        inside = np.flatnonzero((own >= first) & (own < first + count))
        if len(inside):
            found, place = np.unique(own[inside], return_inverse=True)
            members = sparse.csr_array((np.ones(len(place)), (place.reshape(-1), np.arange(len(place)))))
            total[found - first] += members @ scores.of(samples, block)[inside]
    return total


def _counts(samples: LocalSamples, within: slice) -> list[NDArray[np.bool_]]:
    """Which rows have weight, block by block."""
    return [block.weights() > 0 for block in samples.blocks(1, within)]


def _centred(table: Float64Array) -> Float64Array:
    """Parameters with a sum of 0 over the classes; a single logit has none to choose."""
    return table - table.mean(axis=0) if len(table) > 1 else table
