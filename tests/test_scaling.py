import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skae.outliers.scaling import CLIP, ColumnScaler

UNITS = st.sampled_from([2.0**-40, 1e-3, 0.3, 1.0, 7.0, 1e6])


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return np.c_[rng.normal(size=300), rng.standard_cauchy(300), rng.poisson(3.0, 300), rng.uniform(size=300) < 0.1]


def spread(column):
    return column.std() ** 0.25 * (np.ptp(column) / np.sqrt(12)) ** 0.75


def test_columns_are_centred_and_divided_by_the_documented_number(rows):
    scaled = ColumnScaler(rows).transform(rows)
    assert scaled.dtype == np.float32
    expected = (rows - rows.mean(0)) / np.apply_along_axis(spread, 0, rows)
    np.testing.assert_allclose(scaled, expected, rtol=1e-6, atol=1e-6)


def test_more_rows_than_a_part_holds_are_summed(rows):
    X = np.r_[np.repeat(rows, 10, axis=0), rows[:7]]  # 3,007: parts of unequal size
    np.testing.assert_allclose(ColumnScaler(X).scale, np.apply_along_axis(spread, 0, X), rtol=1e-12)


def test_a_uniform_column_has_unit_variance():
    X = np.random.default_rng(0).uniform(-30, 70, size=(20_000, 1))
    np.testing.assert_allclose(ColumnScaler(X).transform(X).std(), 1.0, rtol=0.01)


@given(
    X=arrays(np.float64, (12, 3), elements=st.floats(-1e3, 1e3, width=16)),
    unit=arrays(np.float64, 3, elements=UNITS),
    sign=arrays(np.float64, 3, elements=st.sampled_from([-1.0, 1.0])),
    origin=arrays(np.float64, 3, elements=st.sampled_from([-10.0, 0.0, 3.0])),
)
def test_units_signs_and_origins_of_columns_do_not_matter(X, unit, sign, origin):
    other = (X + origin) * unit * sign
    plain, scaled = ColumnScaler(X).transform(X), ColumnScaler(other).transform(other)
    varies = np.ptp(X, axis=0) > 0
    # X and origins are exact in float64, means and products are rounded by 1e-16 of 1e3, over a range of 1e-7 or more
    np.testing.assert_allclose(scaled[:, varies] * sign[varies], plain[:, varies], rtol=1e-4, atol=1e-4)
    # columns without a spread keep the unit that new rows have
    assert not plain[:, ~varies].any()


@given(st.permutations(range(4)))
def test_columns_are_scaled_one_by_one(rows, order):
    scaler, permuted = ColumnScaler(rows), ColumnScaler(rows[:, order])
    np.testing.assert_allclose(permuted.transform(rows[:, order]), scaler.transform(rows)[:, order], rtol=1e-6)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("fitted", [np.float32, np.float64])
@pytest.mark.parametrize("scored", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, -1 / 3, 123456789.0, 7e22, 1e-42, 3e37])
def test_a_constant_column_is_zero_in_either_number_format(value, scored, fitted):
    X = np.full((50, 2), value).astype(fitted)
    scaler = ColumnScaler(X)
    assert scaler.scale.tolist() == [1.0, 1.0]
    # float64 rows of a column that was float32 are no longer constant but for their number format
    rows = X.astype(scored)
    np.testing.assert_array_equal(scaler.transform(rows), np.zeros((50, 2), np.float32))
    assert (scaler.transform(rows + scored(abs(value) / 8 + 5)) > 1).all()


def test_a_column_that_varies_by_rounding_is_constant():
    X = np.full((50, 1), 0.1)
    X[::2] = np.nextafter(0.1, 1)
    assert np.abs(ColumnScaler(X).transform(X)).max() < 1e-15


def test_a_small_variation_far_from_zero_counts():
    X = 1e9 + np.random.default_rng(0).uniform(size=(5000, 1))
    np.testing.assert_allclose(ColumnScaler(X).transform(X).std(), 1.0, rtol=0.02)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_beyond_a_million_spreads_are_clipped(rows, dtype):
    scaler, new = ColumnScaler(rows.astype(dtype)), np.zeros((2, 4), dtype)
    new[0], new[1] = np.finfo(dtype).max, np.finfo(dtype).min
    np.testing.assert_array_equal(scaler.transform(new), np.repeat([[CLIP], [-CLIP]], 4, axis=1))
    assert np.isfinite(np.square(scaler.transform(new))).all()  # in float32


def test_the_inverse_gives_rows_in_their_units(rows):
    X = rows * [1e-6, 1.0, 1e6, 1e3] + [5.0, 0.0, 1e7, 0.0]
    scaler = ColumnScaler(X)
    restored = scaler.inverse_transform(scaler.transform(X))
    assert restored.dtype == np.float64
    np.testing.assert_allclose((restored - X) / scaler.scale, 0.0, atol=1e-5)
    constant = np.full((5, 1), 123.25)
    scaler = ColumnScaler(constant)
    np.testing.assert_array_equal(scaler.inverse_transform(scaler.transform(constant)), constant)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("unit", [1e-300, 1e-30, 1e30, 1e300])
def test_squares_of_any_unit_are_finite(rows, unit):
    np.testing.assert_allclose(
        ColumnScaler(rows * unit).transform(rows * unit), ColumnScaler(rows).transform(rows), rtol=1e-5, atol=1e-6
    )
