"""Samples by blocks: views, ranges, origins, and sums that do not depend on them."""

import dataclasses

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits

from skmax import SoftmaxRegression
from skmax._samples import base, dtypes_of, samples_of
from skmax._threads import Workers

LAYOUTS = [np.asarray, np.asfortranarray, sparse.csr_array, sparse.csr_matrix]


def small():
    return np.random.default_rng(0).normal(size=(23, 5)), np.random.default_rng(1).uniform(size=23)


def dense(x):
    return x.toarray() if sparse.issparse(x) else x


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_blocks_of_csr_are_views(monkeypatch, index_dtype):
    monkeypatch.setattr(base, "_BLOCK_SIZE", 1)
    monkeypatch.setattr(base, "_WIDE_BLOCK", (1, 1))
    X = sparse.csr_array(sparse.random(20, 5, density=0.5, random_state=0))
    X.indices, X.indptr = X.indices.astype(index_dtype), X.indptr.astype(index_dtype)
    blocks = list(samples_of(X).blocks(1, slice(5, 12)))
    assert [block.index for block in blocks] == [slice(5, 10), slice(10, 12)]
    for block in blocks:
        np.testing.assert_array_equal(block.dense(), X.toarray()[block.index])
        assert np.shares_memory(block.x.data, X.data)
        assert np.shares_memory(block.x.indices, X.indices)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("within", [None, slice(3, 20), slice(7, 7)])
@pytest.mark.parametrize("block_size", [1, 10, 10**6])
def test_blocks_make_up_the_rows(monkeypatch, layout, within, block_size):
    monkeypatch.setattr(base, "_BLOCK_SIZE", block_size)
    monkeypatch.setattr(base, "_WIDE_BLOCK", (1, 1))
    X, weight = small()
    target = np.arange(23) % 3
    blocks = list(samples_of(layout(X), target, weight, n_classes=3, n_logits=3).blocks(2, within))
    expected = np.arange(23)[within or slice(None)]
    assert [k for block in blocks for k in range(block.index.start, block.index.stop)] == expected.tolist()
    for block in blocks:
        np.testing.assert_array_equal(block.dense(), X[block.index])
        np.testing.assert_array_equal(block.weight, weight[block.index])
        np.testing.assert_array_equal(block.class_major_target(), target[block.index])


def test_blocks_are_no_larger_than_asked_for():
    samples = samples_of(np.zeros((100_000, 3)))
    for width, n_rows in ((100, 65536 // 100), (1000, 256), (2**20, 4)):
        assert max(block.n_rows for block in samples.blocks(width)) == n_rows


def test_an_origin_is_subtracted():
    X, weight = small()
    origin = np.arange(5.0)
    samples = samples_of(X, sample_weight=weight).with_origin(origin)
    for block in samples.blocks(1):
        np.testing.assert_array_equal(block.x, X[block.index] - origin)
    np.testing.assert_array_equal(samples.rows(np.array([3, 8])).x, X[[3, 8]] - origin)


def test_gathered_rows_carry_their_weights():
    X, weight = small()
    for layout in LAYOUTS:
        gathered = samples_of(layout(X), sample_weight=weight).gather(np.array([4, 2]), np.array([10.0, 1.0]))
        np.testing.assert_array_equal(dense(gathered.X), X[[4, 2]])
        np.testing.assert_array_equal(gathered.sample_weight, [10 * weight[4], weight[2]])
        assert gathered.weight_sum == 10 * weight[4] + weight[2]
        unweighted = samples_of(layout(X)).gather(np.array([4]), np.array([3.0]))
        np.testing.assert_array_equal(unweighted.sample_weight, [3.0])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("weighted", [False, True])
def test_rows_left_out_have_no_weight(layout, weighted):
    X, weight = small()
    samples = samples_of(layout(X), sample_weight=weight if weighted else None)
    kept = samples.without(lambda block, limit: block.dense()[:, 0] > limit, 0.5, cost=1)
    expected = np.where(X[:, 0] > 0.5, 0, weight if weighted else 1)
    np.testing.assert_array_equal(kept.sample_weight, expected)
    assert kept.weight_sum == expected.sum()
    assert samples.weight_sum == (weight.sum() if weighted else 23)


def test_samples_do_not_change_and_what_is_known_of_them_is_not_said_of_others():
    X, weight = small()
    samples = samples_of(X, np.arange(23) % 3, weight, n_classes=3, n_logits=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        samples.sample_weight = None
    before, moved = samples.target_sum, samples.with_origin(np.ones(5)).target_sum
    np.testing.assert_allclose(before[:, :-1] - moved[:, :-1], before[:, -1:] * np.ones(5))


@pytest.mark.parametrize("n_threads", [1, 2, 5, 40])
def test_sums_are_over_all_rows_in_order(n_threads):
    X = np.random.default_rng(2).normal(size=(30, 2))
    pool = Workers(n_threads)
    samples, ranges = samples_of(X, workers=pool), []

    def total(samples, within, factor):
        ranges.append(within)
        return factor * samples.X[within].sum(axis=0)

    np.testing.assert_allclose(samples.sum(total, 2.0, cost=10**9), 2 * X.sum(axis=0), rtol=1e-12)
    assert len(ranges) == n_threads
    places = samples.sum(lambda samples, within: list(range(within.start, within.stop)), cost=10**9)
    assert places == list(range(30))
    ranges.clear()
    samples.sum(total, 1.0, cost=1)  # too little work for threads
    assert ranges == [slice(0, 30)]
    pool.close()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_raw_predictions_are_class_major(layout, dtype):
    X = small()[0].astype(dtype)
    coef, intercept = np.random.default_rng(3).normal(size=(4, 5)).astype(dtype), np.arange(4, dtype=dtype)
    [block] = samples_of(layout(X)).blocks(1)
    logits = block.raw_prediction(coef, intercept)
    assert logits.flags.c_contiguous
    assert logits.dtype == dtype
    tolerance = 50 * np.finfo(dtype).eps  # of sums of five products, in another order
    np.testing.assert_allclose(logits, coef @ X.T + intercept[:, None], atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float16, np.uint8, np.int8, np.bool_])
def test_an_X_of_few_bits_stays_and_is_fitted_as_its_float64_values_are(dtype):
    X, y = load_digits(return_X_y=True)
    X = X.astype(dtype)
    model, reference = (SoftmaxRegression(tol=1e-5).fit(part, y) for part in (X, X.astype(np.float64)))
    np.testing.assert_array_equal(model.coef_, reference.coef_)
    np.testing.assert_array_equal(model.predict_proba(X), reference.predict_proba(X.astype(np.float64)))
    assert samples_of(X).X is X
    assert dtype in dtypes_of(X)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.bool_])
def test_a_sparse_X_of_few_bits_stays_and_is_fitted_as_its_float64_values_are(dtype):
    X, y = load_digits(return_X_y=True)
    X = sparse.csr_array(X.astype(dtype))
    model, reference = (SoftmaxRegression(tol=1e-5).fit(part, y) for part in (X, X.astype(np.float64)))
    np.testing.assert_array_equal(model.coef_, reference.coef_)
    np.testing.assert_array_equal(model.predict_proba(X), reference.predict_proba(X.astype(np.float64)))
    [block, *_] = samples_of(X).blocks(1)
    assert block.x.dtype == np.float64
    assert np.shares_memory(block.x.indices, X.indices)


def test_values_that_are_not_finite_are_found_in_float16():
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float16)
    X[3, 4] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        SoftmaxRegression().fit(X, y)
