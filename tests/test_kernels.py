"""The twins of kernels on a device: each equals its kernel for NumPy, in every library and for all kinds of samples.

array-api-strict stands for devices: its arrays on "device1" cannot be converted to NumPy without being asked to, and
its device "no_float64" computes in float32 alone, as Apple's do. PyTorch's arrays are on a GPU if there is one; on the
CPU they are passed to `DeviceSamples` here, although a fit would use them as NumPy arrays.
"""

import dataclasses

import numpy as np
import pytest
from problems import strict_device, torch_device

from skmax import _kernels, _objective  # noqa: F401, the former declares the twins
from skmax._arrays import Device
from skmax._certificate import bound
from skmax._columns import ColumnStats, _moments
from skmax._coordinates import work_coordinates
from skmax._hessian import measure
from skmax._objective import Objective
from skmax._penalty import Penalty
from skmax._preconditioner import low_rank, sampling, shared
from skmax._preconditioner.block import BlockPreconditioner
from skmax._preconditioner.diagonal import DiagonalPreconditioner
from skmax._preconditioner.full import FullPreconditioner
from skmax._samples import DeviceSamples, base, device, local_samples
from skmax._sklearn import HAS_ARRAY_API

pytestmark = pytest.mark.skipif(not HAS_ARRAY_API, reason="arrays of other libraries need scikit-learn 1.9")

N_ROWS, N_FEATURES = 41, 5


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of samples: what the kernels distinguish."""

    n_classes: int = 3
    n_features: int = N_FEATURES
    fit_intercept: bool = True
    weighted: bool = False
    soft: bool = False
    offset: bool = False
    origin: bool = False
    turned: bool = False
    dtype: str = "float64"
    logit_size: float = 1.0  # of a typical logit
    certain: bool = False  # whether each row is of its most probable class, by a margin at which 1 - p rounds to 1

    @property
    def n_logits(self):
        return 1 if self.n_classes == 2 else self.n_classes


KINDS = {
    "two classes": Kind(2),
    "two classes, all": Kind(2, weighted=True, soft=True, offset=True, origin=True, turned=True),
    "two classes, no intercept, float32": Kind(2, fit_intercept=False, weighted=True, offset=True, dtype="float32"),
    "two classes, almost certain": Kind(2, soft=True, logit_size=60.0),
    "two classes, certain": Kind(2, certain=True),
    "certain": Kind(certain=True),
    "certain, as distributions": Kind(certain=True, soft=True),
    "certain, float32": Kind(weighted=True, certain=True, dtype="float32"),
    "three classes": Kind(),
    "three classes, float32": Kind(weighted=True, origin=True, dtype="float32"),
    "all": Kind(weighted=True, soft=True, offset=True, origin=True, turned=True),
    "all, float32": Kind(weighted=True, soft=True, offset=True, origin=True, turned=True, dtype="float32"),
    "no intercept": Kind(fit_intercept=False, weighted=True, soft=True, turned=True),
    "almost certain": Kind(weighted=True, offset=True, logit_size=60.0),
    "more pairs of classes than columns": Kind(5, 3, weighted=True),
    "more pairs of classes than columns, float32": Kind(5, 2, fit_intercept=False, soft=True, dtype="float32"),
    "one column": Kind(4, 1, weighted=True, offset=True),
    "float16": Kind(weighted=True, origin=True, offset=True, dtype="float16"),
    "bfloat16": Kind(weighted=True, soft=True, dtype="bfloat16"),
    "uint8": Kind(weighted=True, dtype="uint8"),
    "int8, two classes": Kind(2, soft=True, dtype="int8"),
    "bool": Kind(dtype="bool"),
}
# Where an array may be, and the dtypes of X there.
PLACES = {
    "device1": {"float64", "float32", "uint8"},
    "no_float64": {"float32"},
    "torch": {"float64", "float32", "float16", "bfloat16", "uint8", "int8", "bool"},
}


def on_device(place, array, dtype):
    """A NumPy array as an array of `dtype` at one of `PLACES`."""
    if place == "torch":
        torch = pytest.importorskip("torch")
        return torch.asarray(array).to(torch_device(torch), getattr(torch, dtype))
    return strict_device(place).xp.asarray(array.astype(dtype), device=strict_device(place).device)


@dataclasses.dataclass(frozen=True)
class Data:
    """The same samples twice, with arguments for the kernels."""

    local: base.LocalSamples
    remote: DeviceSamples
    theta: np.ndarray  # of shape (n_logits, n_columns)
    step: np.ndarray
    columns: ColumnStats
    positive: np.ndarray  # of shape (n_logits, n_columns)
    root: np.ndarray  # of shape (n_samples,)


def data_of(kind, place):
    rng = np.random.default_rng(7)
    if kind.dtype in ("uint8", "int8", "bool"):
        X = rng.integers(0, 2 if kind.dtype == "bool" else 20, size=(N_ROWS, kind.n_features)).astype(kind.dtype)
    else:
        X = rng.normal(loc=0.5, size=(N_ROWS, kind.n_features)) * np.arange(1, kind.n_features + 1)
        # Numbers that each of the dtypes holds exactly.
        X = np.round(X * 4) / 4
        X = X if kind.dtype == "bfloat16" else X.astype(kind.dtype)
    if kind.dtype != "bool":
        X[5] *= 6  # far from the others, and without weight if there are weights
    how = {"n_classes": kind.n_classes, "n_logits": kind.n_logits, "fit_intercept": kind.fit_intercept}
    if kind.certain:
        return certain_data(kind, place, rng, how)
    target = rng.integers(0, kind.n_classes, size=N_ROWS)
    target[: kind.n_classes] = np.arange(kind.n_classes)
    if kind.soft:
        target = rng.dirichlet(np.ones(kind.n_classes), size=N_ROWS)
        target[3], target[7] = np.eye(kind.n_classes)[[1, 0]]
        target *= rng.uniform(1 - 1e-7, 1 + 1e-7, size=(N_ROWS, 1))  # sums that are not exactly 1, as users have them
    weight = None
    if kind.weighted:
        weight = rng.uniform(0.1, 2, size=N_ROWS)
        weight[[0, 5, 6, N_ROWS - 1]] = 0
    offset = None
    if kind.offset:
        offset = rng.normal(size=(N_ROWS, kind.n_classes)[: 1 if kind.n_classes == 2 else 2])
    remote = DeviceSamples.of(on_device(place, X, kind.dtype), target, weight, offset=offset, **how)
    local = dataclasses.replace(local_samples(X, target, weight, offset=offset, **how), dtype=remote.dtype)
    origin = np.zeros(kind.n_features)
    if kind.origin:
        origin = np.arange(1.0, kind.n_features + 1) / 4
        local, remote = local.with_origin(origin), remote.with_origin(origin)
    centred = X.astype(np.float64) - origin
    turn = None
    if kind.turned:
        turn = np.linalg.qr(rng.normal(size=(kind.n_features, kind.n_features)))[0]
        turn[:, -1] = 0
    columns = ColumnStats(centred.mean(axis=0), centred.std(axis=0), turn)
    shape = kind.n_logits, local.n_columns
    theta = rng.normal(size=shape)
    size = np.abs(centred @ theta[:, : kind.n_features].T).mean()
    theta *= kind.logit_size / size
    step, positive, root = rng.normal(size=shape), rng.uniform(0.5, 2, size=shape), rng.uniform(size=N_ROWS)
    return Data(local, remote, theta, step, columns, positive, root)


def certain_data(kind, place, rng, how):
    """Rows far from the boundaries of the classes that the parameters predict, so that all residuals are tiny."""
    X = rng.normal(size=(50 * N_ROWS, kind.n_features))
    theta = 40 * rng.normal(size=(kind.n_logits, kind.n_features + 1))
    logits = X @ theta[:, :-1].T + theta[:, -1]
    if kind.n_logits == 1:
        logits = np.column_stack([np.zeros(len(X)), logits])
    far = np.argsort(-np.diff(np.sort(logits, axis=1)[:, -2:], axis=1)[:, 0])[:N_ROWS]
    X, target = X[far].astype(kind.dtype), logits[far].argmax(axis=1)
    if kind.soft:
        target = np.eye(kind.n_classes)[target]
    weight = rng.uniform(0.1, 2, size=N_ROWS) if kind.weighted else None
    remote = DeviceSamples.of(on_device(place, X, kind.dtype), target, weight, **how)
    local = local_samples(X, target, weight, **how)
    columns = ColumnStats(X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64))
    step, positive, root = rng.normal(size=theta.shape), rng.uniform(0.5, 2, size=theta.shape), rng.uniform(size=N_ROWS)
    return Data(local, remote, theta, step, columns, positive, root)


# The arguments of each kernel.
ARGUMENTS = {
    base._target_sum: lambda data: [()],
    base._target_offset: lambda data: [()] if data.local.has_offset else [],
    base._entropy: lambda data: [()],
    _objective._loss_and_gradient: lambda data: [(data.theta, by_rows) for by_rows in (False, True)],
    _objective._loss: lambda data: [(data.theta.ravel(),)],
    _objective._probability_sum: lambda data: [(data.theta.ravel(),)],
    _objective._hessian_product: lambda data: [(data.theta.ravel(), data.step.ravel())],
    _objective._largest_change: lambda data: [(data.step.ravel(),)],
    _objective._changes: lambda data: [(data.step.ravel(),)],
    _moments: lambda data: [(first,) for first in (np.zeros(data.local.n_features), data.columns.mean)],
    measure._pairs: lambda data: [(data.theta.ravel(), data.columns)],
    measure._diagonal: lambda data: [(data.theta.ravel(), data.columns)],
    measure._second_moment: lambda data: [(data.columns,)],
    bound._largest_reach: lambda data: [(data.columns, data.positive[0])],
    sampling._largest: lambda data: [
        (data.theta.ravel(), data.columns, data.positive, n_rows, together, by_chance)
        for n_rows in (6, 100)
        for together in (False, True)
        for by_chance in (False, True)
    ],
    shared._survey: lambda data: [(data.theta.ravel(), data.columns, n_rows) for n_rows in (6, 100)],
    shared._moment: lambda data: [(data.root, data.columns)],
}
CASES = [(place, name) for place, dtypes in PLACES.items() for name, kind in KINDS.items() if kind.dtype in dtypes]


def assert_equal_tables(result, expected, eps, *, size=None):
    """Numbers that differ by rounding alone, relative to the largest of their table.

    The longest sum has 41 rows of products of 5 columns, and a softmax magnifies the error of a logit by the logit,
    which is up to some 100: rounding errors of opposite signs leave far less than 1000 eps of the largest number.
    """
    result, expected = np.asarray(result), np.asarray(expected)
    assert result.dtype == np.float64
    assert result.shape == expected.shape
    size = np.abs(expected).max(initial=0) if size is None else size
    np.testing.assert_allclose(result, expected, rtol=1000 * eps, atol=1000 * eps * size)


def assert_same(result, expected, eps):
    """`result`, a sum over rows of any type, equals `expected`."""
    if isinstance(expected, shared._Survey):
        assert_equal_tables(result.diagonal, expected.diagonal, eps)
        assert_equal_tables(result.trace, expected.trace, eps)
        result, expected = result.largest, expected.largest
    if isinstance(expected, sampling.Largest):
        assert result.size == expected.size
        assert len(result.tables) == len(expected.tables)
        for ours, theirs in zip(result.tables, expected.tables, strict=True):
            # The order is arbitrary, and so are rows without weight.
            ours, theirs = (table[:, table[0] > 0][:, np.argsort(table[1, table[0] > 0])] for table in (ours, theirs))
            np.testing.assert_array_equal(ours[1], theirs[1])
            for k in (0, 2, 3):
                assert_equal_tables(ours[k], theirs[k], eps)
        return
    assert type(result) is type(expected)
    assert_equal_tables(result, expected, eps)


def precision_of(samples):
    return np.finfo(samples.dtype).eps if samples.where.has_float64 else np.finfo(np.float32).eps


def name_of(kernel):
    return f"{kernel.__module__.removeprefix('skmax.')}.{kernel.__name__}"


def test_every_twin_is_tested():
    assert set(device.TWINS) == set(ARGUMENTS)


@pytest.mark.parametrize("kernel", ARGUMENTS, ids=name_of)
@pytest.mark.parametrize(("place", "name"), CASES)
def test_a_twin_equals_its_kernel(monkeypatch, place, name, kernel):
    data = data_of(KINDS[name], place)
    monkeypatch.setattr(device, "_MOST_ROWS", 11)  # four blocks, the last of which is shorter
    for arguments in ARGUMENTS[kernel](data):
        expected = data.local.sum(kernel, *arguments, cost=1)
        monkeypatch.setattr(DeviceSamples, "_parts", None)  # the twin must not copy rows
        assert_same(data.remote.sum(kernel, *arguments, cost=1), expected, precision_of(data.remote))


@pytest.mark.parametrize("kernel", ARGUMENTS, ids=name_of)
@pytest.mark.parametrize("name", ["all", "two classes, all", "all, float32"])
def test_a_sum_by_copies_of_some_rows_at_a_time_equals_that_of_all(monkeypatch, name, kernel):
    """As it is computed without a twin, and in float64 if the device has no float64."""
    data = data_of(KINDS[name], "device1")
    monkeypatch.setattr(device, "TWINS", {})
    monkeypatch.setattr(device, "_PART", 11 * N_FEATURES)
    for arguments in ARGUMENTS[kernel](data):
        expected = data.local.sum(kernel, *arguments, cost=1)
        assert_same(data.remote.sum(kernel, *arguments, cost=1), expected, precision_of(data.remote))


@pytest.mark.parametrize("kernel", ARGUMENTS, ids=name_of)
def test_sums_in_float64_are_accurate_on_a_device_without_it(kernel):
    kind = dataclasses.replace(KINDS["all, float32"], soft=False, offset=False)
    data = data_of(kind, "no_float64")
    # Weights that float32 holds, since the device rounds them.
    weight = np.float32(data.remote.in_memory().sample_weight).astype(np.float64)
    local, remote = (samples.reweighted(weight).in_float64() for samples in (data.local, data.remote))
    for arguments in ARGUMENTS[kernel](data):
        expected = local.sum(kernel, *arguments, cost=1)
        assert_same(remote.sum(kernel, *arguments, cost=1), expected, np.finfo(np.float64).eps)


@pytest.mark.parametrize(("place", "name"), CASES)
def test_blocks_limited_by_their_elements_make_up_the_rows(monkeypatch, place, name):
    data = data_of(KINDS[name], place)
    monkeypatch.setattr(device, "_MOST_ELEMENTS", 40)
    blocks = list(data.remote.blocks(data.remote.n_logits))
    assert len(blocks) > 5
    assert [block.start for block in blocks[1:]] == [block.stop for block in blocks[:-1]]
    assert (blocks[0].start, blocks[-1].stop) == (0, N_ROWS)
    whole = data.local.rows(slice(None))
    for block in blocks:
        own = slice(block.start, block.stop)
        np.testing.assert_array_equal(device.as_numpy(block.x), whole.x[own])
        if whole.weight is not None:
            np.testing.assert_allclose(device.as_numpy(block.weight), whole.weight[own], rtol=1e-7)  # float32


@pytest.mark.parametrize("place", PLACES)
def test_rows_are_gathered_and_left_out_where_they_are(place):
    kind = dataclasses.replace(KINDS["all, float32"], turned=False)
    data = data_of(kind, place)
    index, factor = np.array([1, 4, 17, 40]), np.array([1.0, 2.0, 0.5, 3.0])
    ours, theirs = (samples.gather(index, factor) for samples in (data.remote, data.local))
    assert isinstance(ours, DeviceSamples)
    assert ours.weight_sum == pytest.approx(theirs.weight_sum, rel=1e-7)
    for arguments in ARGUMENTS[_objective._loss_and_gradient](data):
        expected = theirs.sum(_objective._loss_and_gradient, *arguments, cost=1)
        assert_same(ours.sum(_objective._loss_and_gradient, *arguments, cost=1), expected, np.finfo(np.float32).eps)

    def is_large(block, limit):
        return block.dense()[:, 0] > limit

    ours, theirs = (samples.without(is_large, 0.5, cost=1) for samples in (data.remote, data.local))
    assert isinstance(ours, DeviceSamples)
    np.testing.assert_allclose(device.as_numpy(ours.sample_weight), theirs.sample_weight, rtol=1e-7)
    for rows in (slice(3, 9), index):
        ours, theirs = (samples.rows(rows) for samples in (data.remote, data.local))
        for name in ("x", "weight", "target", "offset"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-6)  # float32


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("rows", ["all", "some"])
@pytest.mark.parametrize(
    "form",
    [
        FullPreconditioner,
        BlockPreconditioner,
        shared.SharedPreconditioner,
        low_rank.LowRankPreconditioner,
        DiagonalPreconditioner,
    ],
)
def test_a_preconditioner_measured_on_a_device_is_that_of_numpy(monkeypatch, place, form, rows):
    monkeypatch.setattr(low_rank, "_RANK", 8)  # of 41 rows
    if rows == "some":
        monkeypatch.setattr(sampling, "_SAMPLE", (1, 3))
    data = data_of(KINDS["all" if place != "no_float64" else "all, float32"], place)
    ours, theirs = (
        form.at(Objective(samples).penalised(0.1), data.columns, data.theta.ravel())
        for samples in (data.remote, data.local)
    )
    assert ours.rows_used == theirs.rows_used
    if form is shared.SharedPreconditioner:  # its products take place on the device, if it has float64
        assert (ours.on_device is not None) == (place != "no_float64")
    v, gradient = np.random.default_rng(2).normal(size=(2, data.theta.size))
    # A factorisation magnifies errors by the condition of the matrix.
    eps = 10 * precision_of(data.remote)
    assert_equal_tables(ours.forward(v), theirs.forward(v), eps)
    assert_equal_tables(ours.backward(gradient), theirs.backward(gradient), eps)


@pytest.mark.parametrize("place", ["device1", "torch"])
def test_fewer_rows_than_columns_are_factorised_on_the_device(monkeypatch, place):
    data = data_of(Kind(n_features=60, weighted=True, origin=False), place)
    monkeypatch.setattr(DeviceSamples, "in_memory", None)  # no copy in this process
    how = {"centred": True, "penalty": Penalty.of(np.linspace(1, 2, 60), None)}
    (ours, remote, _, _), (theirs, local, _, _) = (work_coordinates(part, **how) for part in (data.remote, data.local))
    assert isinstance(remote, DeviceSamples)
    assert remote.n_features == local.n_features == N_ROWS
    # Each column of a basis may have either sign: the products of rows and those of coefficients do not depend on it.
    ours_X, theirs_X = device.as_numpy(remote.X), local.X
    np.testing.assert_allclose(ours_X @ ours_X.T, theirs_X @ theirs_X.T, rtol=1e-10, atol=1e-10)
    # The part of the coefficients in the basis, one of whose directions no row has, gives all rows the same logits.
    coef, rows = np.random.default_rng(3).normal(size=(3, 60)), data.local.X - ours.origin
    for part in (ours, theirs):
        inside = part.basis.outward(part.coef_inward(coef)) / part.scale
        assert_equal_tables(inside @ rows.T, coef @ rows.T, np.finfo(float).eps)


@pytest.mark.parametrize("place", ["device1", "torch"])
def test_a_matrix_without_a_cholesky_factor_is_said_to_have_none(place):
    where = Device.holding(on_device(place, np.eye(2), "float64"))
    np.testing.assert_allclose(where.cholesky(np.array([[4.0, 2.0], [2.0, 2.0]])), [[2, 0], [1, 1]], rtol=1e-15)
    assert where.cholesky(np.array([[1.0, 2.0], [2.0, 1.0]])) is None
