import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from skae.outliers.stored import StoredRows, StoredSamples


def normal(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


@given(st.integers(2, 40), st.integers(1, 8), st.integers(1, 6))
def test_nearest_are_those_of_scikit_learn(n, d, k):
    rows, x = normal(n, d), normal(5, d, seed=1)
    distances, which = StoredRows(rows).nearest(torch.from_numpy(x), k)
    k = min(k, n - 1)
    expected, _ = NearestNeighbors(n_neighbors=k).fit(rows).kneighbors(x)
    np.testing.assert_allclose(distances, expected, rtol=1e-5)
    np.testing.assert_allclose(distances, np.linalg.norm(x[:, None] - rows[which], axis=2), rtol=1e-5)


def test_a_stored_row_is_not_its_own_neighbour():
    rows = normal(30, 3)
    distances, _ = StoredRows(rows).nearest(torch.from_numpy(rows), 4)
    expected, _ = NearestNeighbors(n_neighbors=4).fit(rows).kneighbors()  # without X: leaves each row itself out
    np.testing.assert_allclose(distances, expected, rtol=1e-5)


def test_a_duplicate_is_passed_over_once():
    rows = np.float32([[0, 0], [0, 0], [3, 4]])
    distances, _ = StoredRows(rows).nearest(torch.zeros(1, 2), 2)
    assert distances.tolist() == [[0, 5]]


def test_samples_hold_few_rows_and_their_distances_are_averaged():
    rows, x = normal(50, 3), normal(7, 3, seed=1)
    samples = StoredSamples(rows, 20, 8, np.random.default_rng(0))
    stored = samples.rows.numpy().reshape(20, 8, 3)
    expected = np.linalg.norm(x[:, None, None] - stored, axis=3).min(2).mean(1)
    np.testing.assert_allclose(samples.mean_distance(torch.from_numpy(x)), expected, rtol=1e-4)


def test_samples_pass_the_row_itself_over():
    rows = normal(12, 3)
    samples = StoredSamples(rows, 40, 16, np.random.default_rng(0))
    stored = samples.rows.numpy().reshape(40, 6, 3)  # no more than half of the rows
    distances = np.linalg.norm(rows[:, None, None] - stored, axis=3)
    distances[distances == 0] = np.inf
    np.testing.assert_allclose(samples.mean_distance(torch.from_numpy(rows)), distances.min(2).mean(1), rtol=1e-4)


def test_two_rows_have_the_distance_between_them():
    samples = StoredSamples(np.float32([[0, 0], [3, 4]]), 30, 16, np.random.default_rng(0))
    np.testing.assert_allclose(samples.mean_distance(torch.tensor([[0.0, 0.0], [3.0, 4.0]])), [5, 5])
