"""Columns: measured well, wherever they lie."""

import numpy as np
import pytest
from scipy import sparse

from skmax._columns import ColumnStats
from skmax._samples import samples_of


def test_constant_columns_are_found_exactly_however_far_from_zero():
    X = np.column_stack([np.full(1000, 1.24e18), np.full(1000, 0.1), np.arange(1000.0), 1e9 + np.arange(1000.0) % 2])
    columns = ColumnStats.of(samples_of(X), centred=True)
    np.testing.assert_array_equal(columns.mean[:2], [1.24e18, 0.1])
    np.testing.assert_array_equal(columns.scale[:2], 1)
    np.testing.assert_allclose(columns.scale[2:], [X[:, 2].std(), 0.5], rtol=1e-9)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("weighted", [False, True])
def test_columns_are_weighted_means_and_deviations(centred, layout, weighted):
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(50, 3)) * [1, 10, 0.1] + [5, 0, 2], rng.uniform(size=50)
    columns = ColumnStats.of(samples_of(layout(X), sample_weight=weight if weighted else None), centred=centred)
    weight = weight if weighted else np.ones(50)
    mean = np.average(X, axis=0, weights=weight) if centred else np.zeros(3)
    np.testing.assert_allclose(columns.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(columns.scale, np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight)), rtol=1e-9)
