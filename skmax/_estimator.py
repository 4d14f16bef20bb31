"""SoftmaxRegression: validate, encode, minimise, store."""

from collections.abc import Mapping
from typing import Any, Literal

from numpy.typing import ArrayLike

from skmax._base import BaseSoftmaxRegression, MatrixLike
from skmax._path import fit_path
from skmax._prior import check_offset
from skmax._problem import WeightDecay
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
        1/S, and so the model is ``LogisticRegression(C=1)``. With three or more classes, the coefficients of each
        feature sum to zero over the classes, with a weight decay of 0 too.
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
        The values M that the penalty shrinks the coefficients to; None is 0. A model of the same classes and features
        stands for its `coef_`, and the search starts from its intercepts, too. With two classes, M is of shape
        (1, n_features), and belongs to the logit of the second class.
    tol : float, default=1e-6
        The fit stops once the objective, in nats per unit of weight, is shown to lie within `tol` of its minimum.
    max_iter : int, default=1000
        Maximum number of iterations. With 0, the model is the one that the search would start from: the class
        frequencies, or the prior means, or, with `warm_start`, the last fit.
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
        Whether `gap_` is an upper bound. It is one if the whole Hessian takes a small part of the fit.
    converged_ : bool
        Whether `gap_` is at most `tol`, and its formula is valid: the Newton step from the stored coefficients changes
        no difference of two logits by 1 or more; or, for an estimate, it changes most rows by a similar amount, and the
        penalty has at least 0.15 of the curvature along it.
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
    The solver is SciPy's L-BFGS-B [2]_, preconditioned so that the Hessian is close to the identity and the columns of
    `X` need no scaling. The preconditioner is the whole Hessian, possibly of a sample of the rows, if there are few
    parameters; the Hessian's block for each class if there are more; and otherwise its diagonal, to which a long fit
    adds the rows that have most of the curvature. It is rebuilt every few iterations. The choice compares numbers of
    operations, not times, so that a fit is reproducible. If a dense `X` has fewer rows than columns, the fit works on
    as many columns as there are rows, where that saves time.

    The end of a fit is computed in float64, whatever the dtype of `X`. If the whole Hessian takes a small part of the
    fit, Newton steps continue to the last digits, and the self-concordance of the loss bounds the gap [3]_; otherwise
    the gap is estimated by conjugate gradients. Coefficients are float64, or float32 for a float32 `X`, unless
    rounding them would cost a tenth of `tol`. `objective_`, `gap_` and `converged_` refer to the coefficients as
    stored.

    With ``weight_decay=0`` the coefficients of linearly dependent columns are the shortest ones, which are the limit
    for small weight decays; those of constant columns are zero. A warning says so if the minimum is at infinity.

    With three or more classes, adding one vector to the coefficients of all classes changes no probability. The penalty
    decides: at the minimum ``(penalty_factor * (coef_ - prior_mean)).sum(axis=0)`` is zero for each feature with some
    positive factor, and ``(coef_ - prior_mean).sum(axis=0)`` for the others. The intercepts, which are not penalised,
    sum to zero. These coefficients are unique, except for those of columns without a penalty that depend linearly on
    one another: those closest to `prior_mean` are taken if `penalty_factor` is by feature. With ``weight_decay=0`` they
    are so too, where `penalty_factor` counts only if `X` is dense and has fewer rows than columns. A class without
    weight in `y` keeps its prior mean. Kronecker products as a preconditioner, and the turn of an `X` with fewer rows
    than columns, are not available with factors by class; the latter is not with factors of 0, either.

    From scikit-learn 1.9 on, `set_callbacks` sets scikit-learn's callbacks. They see each iteration as a task, with a
    fitted estimator equal to that of a fit stopped there, and can stop the fit by returning True.

    Fits and predictions use as many threads as linear algebra may use under the limits in force (threadpoolctl,
    ``OMP_NUM_THREADS``, joblib's workers). The number of threads affects the result only by rounding. Besides `X`, a
    fit needs memory for a few blocks of rows and, with d parameters, for up to four d x d matrices (d <= 2048), one of
    n_features x n_features for each class (130 MB at most, with its factor), or about 60 vectors of length d.

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
            Training data, finite. float64 and float32 are used without conversion. A dense array of float16, uint8,
            int8 or bool stays as it is too, and is converted to float64 block by block. Other types are converted to
            float64, and sparse input to CSR.
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
        X, y, weight, feature_names = self._validate(X, y, sample_weight)
        target = self._encode(y, weight)
        prior = self._prior(target.encoding, X.shape[1], feature_names)
        offset = check_offset(offset, X.shape[0], len(target.encoding.classes))
        last = self._last_parameters(target.encoding, X.shape[1], feature_names) if self.warm_start else None
        monitor = Monitor(self, *monitored, self.max_iter)
        with workers() as pool:
            problem = self._problem(X, target, pool, prior, offset)
            options = self._options(self._watch(monitor, feature_names))
            [fit] = fit_path(problem, [problem.decay(self.weight_decay)], options, last)
        self._finish(fit, feature_names, monitor)
        return self
