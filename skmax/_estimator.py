"""SoftmaxRegression: validate, encode, minimise, store."""

from collections.abc import Mapping
from typing import Any, Literal

from numpy.typing import ArrayLike

from skmax._base import BaseSoftmaxRegression, MatrixLike
from skmax._path import fit_path
from skmax._prior import check_offset
from skmax._problem import WeightDecay
from skmax._samples import explained_memory
from skmax._sklearn import Monitor, with_callbacks
from skmax._threads import workers


class SoftmaxRegression(BaseSoftmaxRegression):
    """Softmax (multinomial logistic) regression, fitted to a stated accuracy without scaling the data.

    With logits z_i = W x_i + b, target distributions y_i (one-hot for labels) and sample weights s_i of sum S, `fit`
    minimises::

        f(W, b) = (1/S) sum_i s_i [ logsumexp(z_i) - <y_i, z_i> ]
                  + (weight_decay / 2) ||W||_F^2

    or, with offsets o_i added to the logits, factors phi and prior means M::

        f(W, b) = (1/S) sum_i s_i [ logsumexp(z_i + o_i) - <y_i, z_i + o_i> ]
                  + (weight_decay / 2) sum_kj phi_kj (W_kj - M_kj)^2

    The first is the model of :class:`sklearn.linear_model.LogisticRegression` at ``C = 1 / (weight_decay * S)``, for
    any number of classes [1]_. Two classes share one logit, which makes it binary logistic regression.

    Parameters
    ----------
    weight_decay : float or "1/n_samples", default="1/n_samples"
        Strength of the penalty on the coefficients, non-negative; intercepts are not penalised. ``"1/n_samples"`` is
        1/S, which gives the model of ``LogisticRegression(C=1)``. With three or more classes, the coefficients of each
        feature sum to zero over the classes, also with a weight decay of 0.
    fit_intercept : bool, default=True
        Whether to fit the intercepts b or leave them at zero.
    class_weight : dict, "balanced" or None, default=None
        Factors on the sample weights by class. ``"balanced"`` gives all classes the same total weight. A dict maps
        labels to non-negative factors; the factor of any other label is 1.
    classes : array-like of shape (n_classes,), default=None
        All labels that exist, so that `predict_proba` has the same columns whichever of them occur in `y`. They are
        kept sorted, as scikit-learn's scorers expect. None takes the labels in `y`.
    penalty_factor : array-like of shape (n_features,) or that of `coef_`, dict or None, default=None
        Non-negative factors phi on the penalty, by feature or by class and feature; None is 1 for all. A factor of 0
        leaves a coefficient without a penalty. A dict maps feature names to factors; that of any other feature is 1.
    prior_mean : array-like of the shape of `coef_`, fitted linear classifier or None, default=None
        The values M to which the penalty shrinks the coefficients; None is 0. Of a fitted model with the same classes
        and features, `coef_` is used, and the search also starts from its intercepts. With two classes, M has the shape
        (1, n_features) and applies to the logit of the second class.
    tol : float, default=1e-6
        The fit stops once the objective, in nats per unit of weight, is shown to lie within `tol` of its minimum.
    max_iter : int, default=1000
        Maximum number of iterations. With 0, the model is the one that the search would start from: the class
        frequencies, the prior means or, with `warm_start`, the last fit.
    warm_start : bool, default=False
        Whether to start from the coefficients of the last fit, whose classes and features must be the same.
    verbose : int, default=0
        If positive, print a line for each stage of the solver, with the form of its preconditioner.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        The rows of W. With two classes there is a single row, that of the second class.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        The b of each logit. A class without weight in `y` has intercept -inf, and so probability 0. If one class has
        all of the weight, its probability is 1; with two classes, the single intercept is then -inf or inf.
    objective_ : float
        The value of f at the stored coefficients.
    gap_ : float
        How far `objective_` is above the minimum of f: an upper bound, up to rounding, or an estimate.
    gap_is_bound_ : bool
        Whether `gap_` is an upper bound. It is one if computing the whole Hessian takes a small part of the fit.
    converged_ : bool
        Whether `gap_` is at most `tol` and the formula for it is valid: the Newton step from the stored coefficients
        changes no difference of two logits by 1 or more; or, for an estimate, it changes most rows by a similar amount,
        and the penalty has a considerable part of the curvature along it.
    n_iter_ : int
        Number of iterations: those of L-BFGS, and the Newton steps at the end.
    loss_curve_ : ndarray of shape (`n_iter_` + 1,)
        The value of f at the start and after each iteration.
    has_offset_ : bool
        Whether the model was fitted with offsets, so that predictions require them.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` has feature names that are all strings.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : The same model with other solvers, and L1 penalties.
    sklearn.multiclass.OneVsRestClassifier : For labels that are not mutually exclusive.

    Notes
    -----
    The solver is SciPy's L-BFGS-B [2]_, preconditioned to bring the Hessian close to the identity, so that the columns
    of `X` need no scaling. With few parameters, the preconditioner is the whole Hessian, possibly estimated from a
    sample of the rows. With more, it is the block of the Hessian for each class. Otherwise it is the diagonal, to which
    a long fit adds either the rows with most of the curvature or one matrix that all classes share. The preconditioner
    is rebuilt every few iterations. It is chosen by counts of operations, not by timings, so that a fit is
    reproducible. If a dense `X` has fewer rows than columns, the fit works in a basis of the rows when that saves time
    (but not with factors of 0 or by class in `penalty_factor`).

    A fit ends in float64, whatever the dtype of `X`. If computing the whole Hessian takes a small part of the fit,
    Newton steps refine the solution to the last digits, and the self-concordance of the loss bounds the gap [3]_.
    Otherwise conjugate gradients estimate the gap. Coefficients are stored as float64, or as float32 for a float32 `X`
    unless that rounding would use up a good part of `tol`. `objective_`, `gap_` and `converged_` refer to the
    coefficients as stored.

    With ``weight_decay=0``, linearly dependent columns get the coefficients of minimum norm, which are the limit as the
    weight decay goes to zero, and constant columns get coefficients of zero. If the minimum is at infinity, a warning
    says so. Columns that depend on one another up to the rounding of the dtype of `X` count as dependent, and the gap
    is that of the columns that are left.

    With three or more classes, adding one vector to the coefficients of all classes changes no probability, and the
    penalty determines that vector: at the minimum, ``(penalty_factor * (coef_ - prior_mean)).sum(axis=0)`` is zero for
    each feature with a positive factor, and ``(coef_ - prior_mean).sum(axis=0)`` for the others. The intercepts, which
    are not penalised, sum to zero. The coefficients are then unique, except those of linearly dependent columns without
    a penalty, which are the closest ones to `prior_mean` if `penalty_factor` is by feature. The same holds with
    ``weight_decay=0``, where `penalty_factor` matters only if `X` is dense and has fewer rows than columns. A class
    without weight in `y` keeps its prior mean.

    With scikit-learn 1.9 or later, `set_callbacks` registers scikit-learn's callbacks. Each iteration is a task whose
    fitted estimator is the one that a fit stopped there would return. A callback stops the fit by returning True.

    With ``sklearn.config_context(array_api_dispatch=True)`` and scikit-learn 1.9 or later, `X` may be an array of
    PyTorch, CuPy or another library that follows the array API standard. The fit takes place on its device, and fitted
    arrays and predictions are of the same library and on the same device, except labels that are text. Only the small
    matrices of the solver and the parameters are in the memory of this process.

    Fits and predictions use as many threads as linear algebra is allowed to use (threadpoolctl, ``OMP_NUM_THREADS``,
    joblib's workers). The number of threads affects the result only by rounding. Besides `X`, a fit needs memory for a
    few blocks of rows, for several dozen vectors of one number for each parameter, and for the preconditioner, which
    may be a few copies of the Hessian, two n_features x n_features matrices for each class, or two for all classes.

    References
    ----------
    .. [1] C. M. Bishop (2006). Pattern Recognition and Machine Learning. Springer. Section 4.3.4.
    .. [2] R. H. Byrd, P. Lu, J. Nocedal and C. Zhu (1995). A limited memory algorithm for bound constrained
       optimization. SIAM Journal on Scientific Computing 16(5), 1190-1208.
    .. [3] F. Bach (2010). Self-concordant analysis for logistic regression. Electronic Journal of Statistics 4,
       384-414.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmax import SoftmaxRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SoftmaxRegression().fit(X, y)
    >>> model.predict(X[:2]).tolist()
    [0, 0]
    >>> model.predict_proba(X[:1]).round(3).tolist()
    [[0.982, 0.018, 0.0]]
    >>> round(model.score(X, y), 3)
    0.973
    """

    _parameter_constraints = {
        **BaseSoftmaxRegression._parameter_constraints,
        **BaseSoftmaxRegression._weight_decay_constraints,
    }

    def __init__(
        self,
        weight_decay: WeightDecay = "1/n_samples",
        *,
        fit_intercept: bool = True,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        classes: ArrayLike | None = None,
        penalty_factor: ArrayLike | Mapping[str, float] | None = None,
        prior_mean: Any = None,
        tol: float = 1e-6,
        max_iter: int = 1000,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.weight_decay = weight_decay
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.classes = classes
        self.penalty_factor = penalty_factor
        self.prior_mean = prior_mean
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.verbose = verbose

    @with_callbacks
    def fit(
        self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None, offset: ArrayLike | None = None
    ) -> "SoftmaxRegression":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, finite. float64 and float32 are used without conversion. uint8, int8, bool and, in a dense
            array, float16 are not copied either: they are converted to float64 block by block. Other types are
            converted to float64, and sparse input to CSR. An array of another library stays on its device, see Notes.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels of one type that can be sorted; or, for each row, a distribution over the classes: non-negative
            numbers that sum to 1.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, not all zero. None gives all rows the same weight.
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), default=None
            Known parts of the logits, finite: they are added to W x + b. One-dimensional for two classes: that of the
            second class. Predictions then require offsets, too.

        Returns
        -------
        self : SoftmaxRegression

        Raises
        ------
        ValueError, TypeError
            If an argument breaks a rule. The message names the argument, the rule and the value. An earlier fit is
            not changed.

        Warns
        -----
        ConvergenceWarning
            If the objective cannot be shown to lie within `tol` of its minimum, or its minimum is at infinity.
        """
        self._validate_params()
        monitored = X, y, {"sample_weight": sample_weight, "offset": offset}
        X, y, weight, seen = self._validate(X, y, sample_weight)
        target = self._encode(y, weight)
        prior = self._prior(target.encoding, X.shape[1], seen.names)
        offset = check_offset(offset, X.shape[0], len(target.encoding.classes))
        last = self._last_parameters(target.encoding, X.shape[1], seen.names) if self.warm_start else None
        monitor = Monitor(self, *monitored, self.max_iter)
        with explained_memory(X, target.encoding.n_logits), workers() as pool:
            problem = self._problem(X, target, pool, prior, offset)
            options = self._options(self._watch(monitor, seen))
            [fit] = fit_path(problem, [problem.decay(self.weight_decay)], options, last)
        self._finish(fit, seen, monitor)
        return self


def plain_model(estimator: BaseSoftmaxRegression, **others: Any) -> SoftmaxRegression:
    """An unfitted `SoftmaxRegression` with the parameters that it shares with `estimator`, and with `others`."""
    names = set(SoftmaxRegression._get_param_names()) & set(estimator._get_param_names())
    return SoftmaxRegression(**{name: getattr(estimator, name) for name in names} | others)
