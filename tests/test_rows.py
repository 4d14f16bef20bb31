"""Rows by blocks: views, ranges, origins, and sums that do not depend on them."""

import numpy as np
import pytest
from scipy import sparse

from skmax import _rows
from skmax._rows import Rows, raw_prediction, take_rows
from skmax._threads import Workers

LAYOUTS = [np.asarray, np.asfortranarray, sparse.csr_array, sparse.csr_matrix]


def small():
    return np.random.default_rng(0).normal(size=(23, 5)), np.random.default_rng(1).uniform(size=23)


def dense(x):
    return x.toarray() if sparse.issparse(x) else x


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_rows_of_csr_are_views(index_dtype):
    X = sparse.csr_array(sparse.random(20, 5, density=0.5, random_state=0))
    X.indices, X.indptr = X.indices.astype(index_dtype), X.indptr.astype(index_dtype)
    part = take_rows(X, slice(5, 12))
    np.testing.assert_array_equal(part.toarray(), X.toarray()[5:12])
    assert np.shares_memory(part.data, X.data)
    assert np.shares_memory(part.indices, X.indices)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("within", [None, slice(3, 20), slice(7, 7)])
@pytest.mark.parametrize("block_size", [1, 10, 10**6])
def test_blocks_make_up_the_rows(monkeypatch, layout, within, block_size):
    monkeypatch.setattr(_rows, "_BLOCK_SIZE", block_size)
    monkeypatch.setattr(_rows, "_WIDE_BLOCK", (1, 1))
    X, weight = small()
    blocks = list(Rows(layout(X), weight).blocks(2, within))
    expected = np.arange(23)[within or slice(None)]
    assert [k for rows, _, _ in blocks for k in range(rows.start, rows.stop)] == expected.tolist()
    for rows, x, w in blocks:
        np.testing.assert_array_equal(dense(x), X[rows])
        np.testing.assert_array_equal(w, weight[rows])


def test_blocks_are_no_larger_than_asked_for():
    X = np.zeros((100_000, 3))
    assert max(rows.stop - rows.start for rows, _, _ in Rows(X).blocks(100)) == 65536 // 100
    assert max(rows.stop - rows.start for rows, _, _ in Rows(X).blocks(1000)) == 256
    assert max(rows.stop - rows.start for rows, _, _ in Rows(X).blocks(2**20)) == 4


def test_an_origin_is_subtracted():
    X, weight = small()
    origin = np.arange(5.0)
    seen = Rows(X, weight).seen_from(origin)
    for rows, x, _ in seen.blocks(1):
        np.testing.assert_array_equal(x, X[rows] - origin)


def test_taken_rows_carry_their_weights():
    X, weight = small()
    for layout in LAYOUTS:
        taken = Rows(layout(X), weight).take(np.array([4, 2]), np.array([10.0, 1.0]))
        np.testing.assert_array_equal(dense(taken.X), X[[4, 2]])
        np.testing.assert_array_equal(taken.sample_weight, [10 * weight[4], weight[2]])
        np.testing.assert_array_equal(Rows(layout(X)).take(np.array([4]), np.array([3.0])).sample_weight, [3.0])


@pytest.mark.parametrize("n_threads", [1, 2, 5, 40])
def test_sums_are_over_all_rows_in_order(n_threads):
    X = np.random.default_rng(2).normal(size=(30, 2))
    pool = Workers(n_threads)
    ranges = []

    def total(within):
        ranges.append(within)
        return X[within].sum(axis=0)

    np.testing.assert_allclose(Rows(X, None, pool).over(total, n=len(X), cost=10**9), X.sum(axis=0), rtol=1e-12)
    assert len(ranges) == n_threads
    ranges.clear()
    Rows(X, None, pool).over(total, n=len(X), cost=1)  # too little work for threads
    assert ranges == [slice(0, 30)]
    pool.close()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_raw_predictions_are_class_major(layout, dtype):
    X = small()[0].astype(dtype)
    coef, intercept = np.random.default_rng(3).normal(size=(4, 5)).astype(dtype), np.arange(4, dtype=dtype)
    logits = raw_prediction(layout(X), coef, intercept)
    assert logits.flags.c_contiguous
    assert logits.dtype == dtype
    tolerance = 50 * np.finfo(dtype).eps  # of sums of five products, in another order
    np.testing.assert_allclose(logits, coef @ X.T + intercept[:, None], atol=tolerance)
