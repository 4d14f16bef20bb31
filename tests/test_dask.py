"""Dask collections on a real cluster, of two worker processes: the same answer, whatever happens on the way."""

import os
import pickle
import signal
import time
import warnings

import numpy as np
import pytest
from problems import objective_of
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning

from skmax import SoftmaxRegression
from skmax._columns import ColumnStats
from skmax._objective import Objective
from skmax._preconditioner.block import BlockPreconditioner
from skmax._preconditioner.diagonal import DiagonalPreconditioner
from skmax._preconditioner.full import FullPreconditioner
from skmax._preconditioner.kronecker import KroneckerPreconditioner
from skmax._preconditioner.low_rank import LowRankPreconditioner
from skmax._samples import storage_dtypes
from skmax._threads import Workers

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
pd = pytest.importorskip("pandas")
from skmax.dask import DaskSoftmaxRegression  # noqa: E402
from skmax.dask._partitions import Partitions  # noqa: E402
from skmax.dask._samples import RemoteSamples, sizeof, survey  # noqa: E402

WINE = load_wine(return_X_y=True)
DIGITS = load_digits(return_X_y=True)


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", memory_limit=0, host="127.0.0.1"
    ) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as client:
        yield client


def chunked(array, rows):
    return da.from_array(array, chunks=(rows, -1) if array.ndim == 2 else (rows,))


def assert_same_model(ours, local, X, atol=1e-9):
    np.testing.assert_allclose(ours.predict_proba(X), local.predict_proba(X), atol=atol)
    assert ours.classes_.tolist() == local.classes_.tolist()
    assert ours.objective_ == pytest.approx(local.objective_, abs=2e-11)
    assert ours.converged_


@pytest.mark.parametrize("rows", [178, 60, (1, 0, 100, 70, 7)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_same_answer_whatever_the_chunks(client, rows, dtype):
    X, y = WINE[0].astype(dtype), np.array(["red", "rosé", "white"])[WINE[1]]
    weight = np.random.default_rng(0).uniform(0, 2, size=len(y))
    parameters = {"tol": 1e-11 if dtype == np.float64 else 1e-7, "class_weight": {"red": 0.5, "white": 3.0}}
    ours = DaskSoftmaxRegression(**parameters).fit(chunked(X, rows), chunked(y, rows), chunked(weight, rows))
    local = SoftmaxRegression(**parameters).fit(X, y, weight)
    if dtype == np.float64:
        assert_same_model(ours, local, X)
    else:  # rounding of 1e-7 in the data, of a badly conditioned problem, within tol
        np.testing.assert_allclose(ours.predict_proba(X), local.predict_proba(X), atol=5e-3)
        assert ours.coef_.dtype == np.float32


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("dtypes", [(np.uint8, np.uint8), (np.uint8, np.int8), (np.bool_, np.float32)])
def test_chunks_of_few_bits_stay_as_they_came(client, layout, dtypes):
    X, y = WINE[0].round().clip(0, 100), WINE[1]
    parts = [layout(part.astype(dtype)) for part, dtype in zip((X[:90], X[90:]), dtypes, strict=True)]
    stacked = da.concatenate(
        [da.from_delayed(dask.delayed(part), part.shape, dtype=part.dtype, meta=part[:0]) for part in parts]
    )
    ours = DaskSoftmaxRegression(0.01, tol=1e-5).fit(stacked, chunked(y, 90))
    values = np.concatenate([part.toarray() if sparse.issparse(part) else part for part in parts]).astype(np.float64)
    local = SoftmaxRegression(0.01, tol=1e-5).fit(values, y)
    np.testing.assert_allclose(ours.predict_proba(values), local.predict_proba(values), atol=1e-3)
    loaded, _ = ours._load(stacked, chunked(y, 90))
    shape, _ = survey(loaded, values.shape[1], None, None)
    both = np.result_type(*dtypes)
    assert shape.dtype == (both if both in storage_dtypes(is_sparse=False) else np.float64)


@pytest.mark.parametrize("seen", [[0, 1], [0, 1, 2], [0, 2]])
def test_classes_that_some_chunks_or_all_lack(client, seen):
    X, y = WINE
    keep = np.isin(y, seen)
    X, y = X[keep], y[keep]  # sorted by class: most chunks have one
    ours = DaskSoftmaxRegression(0.01, classes=[0, 1, 2], tol=1e-11).fit(chunked(X, 30), chunked(y, 30))
    assert_same_model(ours, SoftmaxRegression(0.01, classes=[0, 1, 2], tol=1e-11).fit(X, y), X)


def test_two_classes_have_one_logit(client):
    X, y = WINE[0], (WINE[1] > 0).astype(int)
    ours = DaskSoftmaxRegression(0.1, tol=1e-11).fit(chunked(X, 50), chunked(y, 50))
    assert ours.coef_.shape == (1, 13)
    assert_same_model(ours, SoftmaxRegression(0.1, tol=1e-11).fit(X, y), X)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_class_that_has_all_of_the_weight_is_certain(client, n_classes):
    X, y = WINE
    X, y = X[y < n_classes], y[y < n_classes]
    parts = chunked(X, 40), chunked(y, 40), chunked((y == 1) * 2.0, 40)
    ours = DaskSoftmaxRegression().fit(*parts)
    certain = np.eye(n_classes)[np.ones(len(y), int)]
    np.testing.assert_array_equal(ours.predict_proba(parts[0]).compute(), certain)
    np.testing.assert_array_equal(ours.predict_proba(X), certain)
    np.testing.assert_array_equal(ours.to_local().predict(X), 1)
    assert ours.objective_ == ours.gap_ == ours.n_iter_ == 0
    assert ours.score(*parts) == 1


def test_soft_targets_beside_chunks_of_one_class_each(client):
    X, y = WINE
    target = np.eye(3)[y]
    target[100:] = 0.9 * target[100:] + 0.1 / 3  # the first chunks have whole rows in one class
    ours = DaskSoftmaxRegression(0.01, tol=1e-11).fit(chunked(X, 50), chunked(target, 50))
    assert_same_model(ours, SoftmaxRegression(0.01, tol=1e-11).fit(X, target), X)
    assert ours.score(chunked(X, 50), chunked(target, 50)) == pytest.approx(ours.score(X, target))


def test_sparse_chunks_and_a_numpy_target(client):
    X, y = DIGITS
    chunks = chunked(X, 600).map_blocks(sparse.csr_array, meta=sparse.csr_array((0, 64)))
    ours = DaskSoftmaxRegression(0.1, tol=1e-11).fit(chunks, y, np.ones(len(y)))
    assert_same_model(ours, SoftmaxRegression(0.1, tol=1e-11).fit(sparse.csr_array(X), y), X)
    np.testing.assert_array_equal(ours.predict(chunks).compute(), ours.predict(X))


def test_sparse_chunks_beside_dense_ones(client):
    X, y = DIGITS
    parts = [X[:600], *(sparse.csr_array(X[start : start + 600]) for start in (600, 1200))]
    meta = sparse.csr_array((0, 64))
    chunks = da.concatenate([da.from_delayed(dask.delayed(part), part.shape, meta=meta) for part in parts])
    ours = DaskSoftmaxRegression(0.1, tol=1e-11).fit(chunks, y)
    assert_same_model(ours, SoftmaxRegression(0.1, tol=1e-11).fit(sparse.csr_array(X), y), X)


def test_the_scheduler_knows_how_large_a_partition_is(client):
    remote, local, _ = problem(client)
    size = local.samples.X.nbytes
    assert size < sum(remote.samples.partitions.gather(sizeof)) < 2 * size


def test_columns_far_from_zero(client):
    X, y = WINE[0] * 1e-3 + 1e8, WINE[1]
    ours = DaskSoftmaxRegression(0.01, tol=1e-11).fit(chunked(X, 50), chunked(y, 50))
    assert_same_model(ours, SoftmaxRegression(0.01, tol=1e-11).fit(X, y), X, atol=1e-6)


def test_dataframes_with_unknown_sizes(client):
    X, y = load_wine(return_X_y=True, as_frame=True)
    frame = dd.from_pandas(X.assign(y=y), npartitions=4)
    frame = frame[frame["ash"] < 3.0]  # an unknown number of rows in each partition
    ours = DaskSoftmaxRegression(0.01, tol=1e-11).fit(frame[X.columns.tolist()], frame["y"], frame["ash"])
    kept = X["ash"] < 3.0
    local = SoftmaxRegression(0.01, tol=1e-11).fit(X[kept], y[kept], X["ash"][kept])
    assert_same_model(ours, local, X[kept])
    assert ours.feature_names_in_.tolist() == X.columns.tolist()
    prediction = ours.predict_proba(frame[X.columns.tolist()])
    assert np.isnan(prediction.chunks[0]).all()
    np.testing.assert_allclose(
        prediction.compute(), ours.predict_proba(X[kept]), rtol=1e-12
    )  # products of other shapes
    with pytest.raises(ValueError, match="feature names"):
        ours.predict(frame[X.columns.tolist()[::-1]]).compute()


def test_parquet_files_of_which_dask_would_merge_the_columns_of_y(client, tmp_path):
    X, y = load_wine(return_X_y=True, as_frame=True)
    for part in range(8):
        rows = X.assign(y=y)[part::8]
        pd.concat([rows] * 50).to_parquet(tmp_path / f"{part}.parquet")
    data = dd.read_parquet(tmp_path)
    assert len(data["y"].to_delayed()) < 8
    ours = DaskSoftmaxRegression(0.01, tol=1e-11).fit(data[X.columns.tolist()], data["y"])
    # The rows are in another order, and 50 times as many: both are within tol of the minimum, at distances of its root.
    assert_same_model(ours, SoftmaxRegression(0.01, tol=1e-11).fit(X, y), X, atol=1e-5)
    assert ours.score(data[X.columns.tolist()], data["y"]) == pytest.approx(ours.score(X, y))


def test_persisted_collections(client):
    X, y = client.persist([chunked(WINE[0], 60), chunked(WINE[1], 60)])
    ours = DaskSoftmaxRegression(0.01, tol=1e-11).fit(X, y)
    assert_same_model(ours, SoftmaxRegression(0.01, tol=1e-11).fit(*WINE), WINE[0])
    assert ours.score(X, y) == pytest.approx(ours.score(*WINE))
    np.testing.assert_array_equal(ours.predict(X).compute(), ours.predict(WINE[0]))


def test_predictions_are_lazy(client):
    X, y = WINE
    rows = (100, 78)
    ours = DaskSoftmaxRegression().fit(chunked(X, rows), chunked(y, rows))
    for method in (ours.predict, ours.predict_proba, ours.predict_log_proba, ours.decision_function):
        lazy, local = method(chunked(X, rows)), method(X)
        assert isinstance(lazy, da.Array)
        assert isinstance(local, np.ndarray)
        assert lazy.shape == local.shape
        assert lazy.dtype == local.dtype
        assert lazy.chunks[0] == rows
        np.testing.assert_allclose(lazy.compute(), local, rtol=1e-12)  # products of other shapes
    assert ours.predict_top_k(chunked(X, rows), 2).compute().shape == (178, 2)
    assert ours.score(chunked(X, rows), chunked(y, rows)) == pytest.approx(ours.score(X, y))


def test_a_lazy_prediction_is_that_of_the_model_as_it_was(client):
    X, y = chunked(WINE[0], 90), WINE[1]
    model = DaskSoftmaxRegression().fit(X, chunked(np.array(["a", "b", "c"])[y], 90))
    methods = [model.predict, model.decision_function, model.predict_proba, lambda X: model.predict_top_k(X, 2)]
    lazy, expected = [method(X) for method in methods], [method(WINE[0]) for method in methods]
    model.fit(X, chunked((y > 0).astype(int), 90))
    for later, before in zip(dask.compute(*lazy), expected, strict=True):
        if before.dtype.kind == "U":
            np.testing.assert_array_equal(later, before)
        else:
            np.testing.assert_allclose(later, before, rtol=1e-12)


def test_the_model_goes_into_the_graph_once(client):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 2000)), rng.integers(0, 2, 200)
    model = DaskSoftmaxRegression().fit(chunked(X, 100), chunked(y, 100))
    size = len(pickle.dumps(model.to_local()))
    for lazy in (model.predict(chunked(X, 10)), model.decision_function(chunked(X, 10))):
        graph = dict(lazy.__dask_graph__())
        tasks = [key for key in graph if "_predict" in str(key)]
        assert len(tasks) == 20
        assert sum(len(distributed.protocol.pickle.dumps(graph[key])) for key in tasks) < 2 * size


def test_the_declared_dtype_is_the_computed_one(client):
    X, y = WINE
    frame = dd.from_pandas(pd.DataFrame(X.astype(np.float32)), npartitions=3)
    model = DaskSoftmaxRegression(0.1, tol=1e-5).fit(frame, dd.from_pandas(pd.Series(y), npartitions=3))
    for lazy in (model.predict_proba(frame), model.predict_proba(frame.astype(float)), model.predict(frame)):
        assert lazy.compute().dtype == lazy.dtype
    assert model.predict_proba(frame).dtype == np.float32


def test_score_is_computed_by_the_client_that_is_given(client):
    X, y = chunked(WINE[0], 60), chunked(WINE[1], 60)
    own = distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=":0")
    with own, distributed.Client(own, set_as_default=False) as other:
        model = DaskSoftmaxRegression(client=other).fit(X, y)
        assert model.score(other.persist(X), y) == pytest.approx(model.score(*WINE))
    with pytest.raises(
        ValueError, match="X must have rows, with weights that are not all zero; got a total weight of 0"
    ):
        model.set_params(client=None).score(X, y, chunked(np.zeros(178), 60))


def test_many_classes_in_few_rows_of_a_partition(client):
    """No warnings: they are errors here."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, 3)), np.tile(np.arange(60), 10)
    ours = DaskSoftmaxRegression(0.1, tol=1e-11).fit(chunked(X, 60), chunked(y, 60))
    assert_same_model(ours, SoftmaxRegression(0.1, tol=1e-11).fit(X, y), X)


def test_two_fits_are_the_same_to_the_last_bit(client):
    X, y = DIGITS
    first, second = (DaskSoftmaxRegression().fit(chunked(X, 400), chunked(y, 400)) for _ in range(2))
    np.testing.assert_array_equal(first.coef_, second.coef_)
    np.testing.assert_array_equal(first.loss_curve_, second.loss_curve_)


def problem(client, n_samples=9000, n_features=3, n_classes=4, fit_intercept=True):
    """The same objective here and there."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n_samples, n_features)) + np.arange(n_features)
    y, weight = rng.integers(0, n_classes, n_samples), rng.uniform(0.5, 2, n_samples)
    rows = (n_samples // 3, 10, n_samples - n_samples // 3 - 10)
    parts, _ = DaskSoftmaxRegression()._load(chunked(X, rows), chunked(y, rows), chunked(weight, rows))
    shape, encoding = survey(parts, n_features, None, None)
    samples = RemoteSamples.of(parts, shape, encoding, fit_intercept=fit_intercept, pool=Workers())
    options = {"n_classes": n_classes, "n_logits": n_classes, "weight_decay": 0.0, "fit_intercept": fit_intercept}
    theta = 0.1 * rng.normal(size=n_classes * (n_features + fit_intercept))
    return Objective(samples), objective_of(X, y, weight, **options), theta


@pytest.mark.parametrize(
    ("kind", "n_samples", "n_features"),
    [
        (DiagonalPreconditioner, 9000, 3),
        (FullPreconditioner, 900, 3),  # of all rows
        (FullPreconditioner, 9000, 3),  # of a sample
        (BlockPreconditioner, 900, 3),
        (BlockPreconditioner, 9000, 3),
        (LowRankPreconditioner, 900, 3),
        (KroneckerPreconditioner, 900, 3),
    ],
)
def test_preconditioners_are_the_local_ones(client, kind, n_samples, n_features):
    remote, local, theta = problem(client, n_samples, n_features)
    if kind is KroneckerPreconditioner:
        theta = np.zeros_like(theta)
    there, here = (kind.at(each, ColumnStats.of(each.samples, centred=True), theta) for each in (remote, local))
    v = np.random.default_rng(2).normal(size=theta.size)
    # The products with H^-1; in v itself, eigenvectors may have another sign.
    np.testing.assert_allclose(there.forward(there.backward(v)), here.forward(here.backward(v)), rtol=1e-6)
    np.testing.assert_allclose(remote.hessian_product(theta, v), local.hessian_product(theta, v), rtol=1e-9, atol=1e-12)


def test_a_worker_is_killed_in_the_middle_of_a_fit(client, monkeypatch):
    X, y = DIGITS
    expected = SoftmaxRegression(tol=1e-10).fit(X, y)
    sums, victims = [], []
    plain = Partitions.sum

    def killing(self, *args):
        sums.append(args)
        if len(sums) == 10:
            [victim, *_] = client.run(os.getpid).values()
            os.kill(victim, signal.SIGKILL)
            victims.append(victim)
        return plain(self, *args)

    monkeypatch.setattr(Partitions, "sum", killing)
    # The source is on the client: Dask computes what was lost anew.
    ours = DaskSoftmaxRegression(tol=1e-10).fit(chunked(X, 300), chunked(y, 300))
    assert victims
    assert len(sums) > 20
    assert_same_model(ours, expected, X, atol=1e-6)
    client.wait_for_workers(2, timeout=60)


def test_recomputed_from_the_source_each_time(client):
    X, y = WINE
    ours = DaskSoftmaxRegression(0.1, persist=False).fit(chunked(X, 90), chunked(y, 90))
    kept = DaskSoftmaxRegression(0.1).fit(chunked(X, 90), chunked(y, 90))
    np.testing.assert_array_equal(ours.coef_, kept.coef_)


def test_an_error_names_the_partition(client):
    X, y = WINE[0].copy(), WINE[1]
    X[130, 4] = np.nan
    model = DaskSoftmaxRegression().fit(chunked(WINE[0], 50), chunked(y, 50))
    before = model.coef_.copy()
    with pytest.raises(ValueError, match=r"Partition 2: Input X contains NaN"):
        model.fit(chunked(X, 50), chunked(y, 50))
    np.testing.assert_array_equal(model.coef_, before)
    narrow = [dask.delayed(np.ones)((50, width)) for width in (3, 2)]
    wrong = da.concatenate([da.from_delayed(part, (50, 3), dtype=float) for part in narrow])
    with pytest.raises(ValueError, match="Partition 1: X must have the same columns in all partitions, 3; got 2"):
        model.fit(wrong, chunked(np.arange(100) % 2, 50))
    weight = np.ones(178)
    weight[177] = -1
    with pytest.raises(ValueError, match="Partition 3: sample_weight must be non-negative; got -1 at position 27"):
        model.fit(chunked(WINE[0], 50), chunked(y, 50), chunked(weight, 50))
    unknown = [dask.delayed(np.arange)(rows) for rows in (50, 49)]
    target = da.concatenate([da.from_delayed(part, (np.nan,), dtype=int) for part in unknown])
    with pytest.raises(ValueError, match="Partition 1: X and y must have the same rows; got 50 and 49"):
        model.fit(chunked(WINE[0][:100], 50), target)


def test_errors_come_before_any_work(client):
    X, y = chunked(WINE[0], 50), chunked(WINE[1], 50)
    model = DaskSoftmaxRegression()
    with pytest.raises(ValueError, match=r"X must have its columns in one chunk; .* X.rechunk\(\{1: -1\}\)"):
        model.fit(X.rechunk({1: 5}), y)
    with pytest.raises(TypeError, match="X must be a dask Array or DataFrame; got numpy"):
        model.fit(*WINE)
    with pytest.raises(ValueError, match="X must be two-dimensional"):
        model.fit(y, y)
    with pytest.raises(ValueError, match="X and y must have the same rows; got 178 and 177"):
        model.fit(X, y[:-1])
    unknown = X[X[:, 0] > 0]
    with pytest.raises(TypeError, match="y must be a Dask collection in the partitions of X"):
        model.fit(unknown, WINE[1])
    with pytest.raises(ValueError, match="y must have as many partitions as X, 4; got 1"):
        model.fit(unknown, y.rechunk(-1))
    with pytest.raises(ValueError, match="got one class"):
        model.fit(X, chunked(np.zeros(178), 50))
    with pytest.raises(ValueError, match="X must have at least one row"):
        model.fit(X[:0], y[:0])
    as_parts = [y[:50].map_blocks(lambda labels: np.eye(3)[labels], dtype=float).to_delayed()[0], *y[50:].to_delayed()]
    mixed = da.concatenate([da.from_delayed(part, (np.nan,), dtype=float) for part in as_parts])
    with pytest.raises(
        ValueError, match=r"distributions over the same classes, .* got \[3\] columns in some, labels in"
    ):
        model.fit(X, mixed)
    text_and_numbers = [dask.delayed(np.array)(["a", "b"] * 25), *y[50:].to_delayed()]
    target = da.concatenate([da.from_delayed(part, (np.nan,), dtype=object) for part in text_and_numbers])
    with pytest.raises(TypeError, match="y must hold labels that can be sorted, of one type"):
        model.fit(X, target)
    for bad, match in [(None, "for each row of X; got None"), (5, "got 5"), (sparse.csr_array(np.eye(178)), "dense")]:
        with pytest.raises(TypeError, match=match):
            model.fit(X, bad)
    with pytest.raises(ValueError, match="could not convert string to float"):
        model.fit(X, y, "a")
    with pytest.raises(ValueError, match="sample_weight must have a finite sum above zero; got inf"):
        model.fit(X, y, chunked(np.full(178, 1.5e306), 50))
    with pytest.raises(ValueError, match="X must have at least one column"):
        model.fit(X[:, :0], y)
    with pytest.raises(ValueError, match="Partition 1: Input y contains NaN"):
        model.fit(X, chunked(np.where(np.arange(178) == 60, np.nan, WINE[1]), 50))
    with pytest.raises(TypeError, match=r"client must be a distributed\.Client that is not asynchronous; got 'tcp"):
        model.set_params(client="tcp://127.0.0.1:1").fit(X, y)
    assert not hasattr(model, "coef_")


def test_a_number_as_weight(client):
    model = DaskSoftmaxRegression(0.1).fit(chunked(WINE[0], 90), WINE[1], 2.0)
    np.testing.assert_allclose(model.coef_, SoftmaxRegression(0.1).fit(*WINE, 2.0).coef_, rtol=1e-6)


def test_without_a_client():
    with pytest.raises(ValueError, match="client=None uses the current client, but there is none"):
        DaskSoftmaxRegression().fit(chunked(WINE[0], 50), chunked(WINE[1], 50))


@pytest.mark.parametrize("way", ["cancel", "close"])
def test_a_client_that_is_closed(cluster, monkeypatch, way):
    plain = Partitions.sum
    with distributed.Client(cluster, set_as_default=False) as other:

        def closing(self, *args):
            monkeypatch.setattr(Partitions, "sum", plain)
            if way == "close":
                other.close()
            else:
                other.cancel(self.parts, force=True)
            return plain(self, *args)

        monkeypatch.setattr(Partitions, "sum", closing)
        with pytest.raises(RuntimeError, match="The Dask client was closed, or the computation cancelled"):
            DaskSoftmaxRegression(client=other).fit(chunked(WINE[0], 50), chunked(WINE[1], 50))


def test_an_interrupt_leaves_the_cluster_usable(client, monkeypatch):
    X, y = chunked(WINE[0], 50), chunked(WINE[1], 50)
    gather = distributed.Client.gather
    calls = []

    def interrupted(self, futures, *args, **kwargs):
        calls.append(futures)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return gather(self, futures, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(distributed.Client, "gather", interrupted)
        with pytest.raises(KeyboardInterrupt):
            DaskSoftmaxRegression().fit(X, y)
    assert all(future.cancelled() for future in calls[-1])
    assert DaskSoftmaxRegression().fit(X, y).converged_
    calls.clear()
    deadline = time.monotonic() + 20
    while any(client.processing().values()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(client.processing().values())


def test_pickles_and_clones(client):
    model = DaskSoftmaxRegression(0.1, client=client).fit(chunked(WINE[0], 90), chunked(WINE[1], 90))
    copied = pickle.loads(pickle.dumps(model))
    assert copied.client is None
    assert model.client is client
    np.testing.assert_array_equal(copied.predict(WINE[0]), model.predict(WINE[0]))
    other = clone(model)
    assert other.client is client
    assert other.get_params() == model.get_params()
    assert not hasattr(other, "coef_")
    local = model.to_local()
    assert type(local) is SoftmaxRegression
    assert local.weight_decay == 0.1
    np.testing.assert_array_equal(local.predict_proba(WINE[0]), model.predict_proba(WINE[0]))
    assert local.coef_ is not model.coef_


def test_warm_starts_and_warnings(client):
    X, y = chunked(WINE[0], 90), chunked(WINE[1], 90)
    model = DaskSoftmaxRegression(warm_start=True, max_iter=2)
    with pytest.warns(ConvergenceWarning, match="Raise max_iter") as caught:
        model.fit(X, y)
    assert caught[0].filename == __file__
    first = model.objective_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    assert model.loss_curve_[0] == pytest.approx(first)
    separable = DaskSoftmaxRegression(0.0, max_iter=30)
    with pytest.warns(ConvergenceWarning, match="separates the classes"):
        separable.fit(chunked(np.array([[0.0], [1], [2], [3]]), 2), chunked(np.array([0, 0, 1, 1]), 2))


def test_threads_of_a_worker_share_a_partition(monkeypatch):
    monkeypatch.setattr("skmax._threads._THREADING_PAYS", 1)
    cluster = distributed.LocalCluster(n_workers=1, processes=False, threads_per_worker=4, dashboard_address=":0")
    with cluster, distributed.Client(cluster) as client:
        parts = Partitions(client, True, [dask.delayed(int)(1)] * 2)
        assert parts.n_threads == 2
        ours = DaskSoftmaxRegression(0.1, tol=1e-11).fit(chunked(WINE[0], 178), chunked(WINE[1], 178))
    assert_same_model(ours, SoftmaxRegression(0.1, tol=1e-11).fit(*WINE), WINE[0])


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_rows_that_are_fetched_or_left_out_are_the_local_ones(client, fit_intercept):
    remote, local, theta = problem(client, 900, fit_intercept=fit_intercept)
    index = np.array([3, 299, 300, 305, 310, 899])  # in all three partitions
    fetched, taken = (each.samples.gather(index, np.arange(1.0, 7.0)) for each in (remote, local))
    np.testing.assert_array_equal(fetched.X, taken.X)
    np.testing.assert_array_equal(fetched.target, taken.target)
    np.testing.assert_array_equal(fetched.sample_weight * 2.0**11, taken.sample_weight)  # in units of about their sum
    values = [each.with_samples(samples).value(theta) for each, samples in ((remote, fetched), (local, taken))]
    assert values[0] == pytest.approx(values[1], rel=1e-13)
    np.testing.assert_array_equal(remote.samples.rows(slice(0, 400)).x, local.samples.X[:400])
    (there, lost_there), (here, lost_here) = (each.without(theta, is_large, 1.0) for each in (remote, local))
    assert there.samples.weight_sum * 2**11 == pytest.approx(here.samples.weight_sum, rel=1e-13)
    assert lost_there == pytest.approx(lost_here, rel=1e-9)
    np.testing.assert_allclose(there(theta)[1], here(theta)[1], rtol=1e-9)
    assert remote.without(theta, is_large, np.inf) is None
    assert remote.without(theta, is_large, -np.inf) is None


def is_large(block, limit):
    return block.x[:, 0] > limit


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("known", ["sizes", "no sizes"])
def test_factors_means_and_offsets_are_the_local_ones(client, n_classes, known):
    X, y = WINE[0], np.minimum(WINE[1], n_classes - 1)
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(1 if n_classes == 2 else 3, 13)) / X.std(axis=0)
    offset = rng.normal(size=178 if n_classes == 2 else (178, 3))
    options = {"penalty_factor": np.arange(13.0) * 0.1, "prior_mean": mean, "tol": 1e-11}
    here = SoftmaxRegression(0.01, **options).fit(X, y, offset=offset)
    remote, labels, offsets = chunked(X, 60), chunked(y, 60), chunked(offset, 60)
    if known == "no sizes":
        keep = da.from_array(np.ones(178, dtype=bool), chunks=60)
        remote, labels, offsets = remote[keep], labels[keep], offsets[keep]
    there = DaskSoftmaxRegression(0.01, **options).fit(remote, labels, offset=offsets)
    np.testing.assert_allclose(there.coef_, here.coef_, atol=1e-6)
    probability = there.predict_proba(remote, offsets).compute()
    np.testing.assert_allclose(probability, here.predict_proba(X, offset), atol=1e-7)
    assert there.score(remote, labels, offset=offsets) == pytest.approx(here.score(X, y, offset=offset))
    assert there.to_local().has_offset_
    with pytest.raises(ValueError, match="offset must be passed"):
        there.predict(remote)


def test_rows_that_are_fetched_bring_their_offsets(client):
    """A preconditioner of a sample of the rows, and of all rows of some class."""
    rng = np.random.default_rng(1)
    X, y, offset = rng.normal(size=(9000, 3)), rng.integers(0, 3, 9000), rng.normal(size=(9000, 3))
    here = SoftmaxRegression(1e-4).fit(X, y, offset=offset)
    there = DaskSoftmaxRegression(1e-4).fit(chunked(X, 4000), chunked(y, 4000), offset=offset)
    np.testing.assert_allclose(there.loss_curve_, here.loss_curve_, rtol=1e-6)
    np.testing.assert_allclose(there.coef_, here.coef_, atol=1e-5)


def test_bad_offsets_name_the_argument(client):
    X, y = chunked(WINE[0], 60), chunked(WINE[1], 60)
    with pytest.raises(ValueError, match=r"offset must have a number for each logit.*3 classes"):
        DaskSoftmaxRegression().fit(X, y, offset=np.zeros(178))
    with pytest.raises(ValueError, match="X and offset must have the same rows"):
        DaskSoftmaxRegression().fit(X, y, offset=np.zeros((177, 3)))
    with pytest.raises(ValueError, match="penalty_factor must have shape"):
        DaskSoftmaxRegression(penalty_factor=[1.0]).fit(X, y)


def test_inference_is_the_same_sums_over_partitions(client):
    from skmax import inference

    X, y = WINE[0][:, [1, 2, 4]], WINE[1]
    weight = np.random.default_rng(0).uniform(0.5, 2, size=len(y))
    groups = np.random.default_rng(1).integers(0, 12, size=len(y))
    parts = chunked(X, 50), chunked(y, 50), chunked(weight, 50)
    remote, local = DaskSoftmaxRegression(0, tol=1e-12).fit(*parts), SoftmaxRegression(0, tol=1e-12).fit(X, y, weight)
    for options in ({}, {"kind": "sandwich"}, {"kind": "cluster", "groups": groups}):
        ours = inference.coef_table(remote, *parts, reference=1, **options)
        pd.testing.assert_frame_equal(
            ours, inference.coef_table(local, X, y, weight, reference=1, **options), rtol=1e-7
        )
    for function in (inference.average_marginal_effects, inference.marginal_effects):
        pd.testing.assert_frame_equal(function(remote, *parts), function(local, X, y, weight), rtol=1e-7)
    assert inference.log_likelihood(remote, *parts) == pytest.approx(inference.log_likelihood(local, X, y, weight))
    assert inference.wald_test(remote, *parts, features=1).statistic == pytest.approx(
        inference.wald_test(local, X, y, weight, features=1).statistic
    )
    intervals = [
        inference.predict_proba_interval(model, *data[:2], X[:9], data[2])
        for model, data in [(remote, parts), (local, (X, y, weight))]
    ]
    np.testing.assert_allclose(intervals[0].lower, intervals[1].lower, rtol=1e-7)
    rows = inference.leave_one_out(remote, *parts), inference.leave_one_out(local, X, y, weight)
    stepped = ~rows[1].refitted  # no row of a partition is left out by a fit
    assert not rows[0].refitted.any()
    for name in ("leverage", "cooks_distance", "probability", "loss"):
        ours, theirs = (getattr(each, name)[stepped] for each in rows)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-12)
    changes = [
        inference.influence_on(model, *data[:2], X[:9], y[:9], data[2])
        for model, data in [(remote, parts), (local, (X, y, weight))]
    ]
    np.testing.assert_allclose(changes[0][stepped], changes[1][stepped], rtol=1e-6, atol=1e-12)
    pd.testing.assert_frame_equal(  # rows in memory of a model that was fitted to partitions
        inference.coef_table(remote, X, y, weight), inference.coef_table(local, X, y, weight), rtol=1e-7
    )
    with pytest.raises(ValueError, match="X must have the n_features of the fit, 3; got 2"):
        inference.coef_table(remote, parts[0][:, :2], *parts[1:])


def test_inference_checks_the_names_of_the_columns(client):
    from skmax import inference

    X, y = load_wine(return_X_y=True, as_frame=True)
    frame, labels = dd.from_pandas(X, npartitions=3), dd.from_pandas(y, npartitions=3)
    model = DaskSoftmaxRegression(0.01, tol=1e-10).fit(frame, labels)
    table = inference.coef_table(model, frame, labels)
    assert table.index.get_level_values("feature")[:2].tolist() == ["alcohol", "malic_acid"]
    with pytest.raises(ValueError, match="X must have the feature names of the fit"):
        inference.coef_table(model, frame[X.columns[::-1].tolist()], labels)
