"""Frames and arrays of numbers, categories and holes: what estimators read and what they give back."""

import datetime
import pickle
from contextlib import nullcontext

import numpy as np
import pandas as pd
import polars as pl
import pytest
from catalogue import ESTIMATORS
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from skae import (
    AdversarialAutoEncoder,
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    ContractiveAutoEncoder,
    DenoisingAutoEncoder,
    SparseAutoEncoder,
    StackedAutoEncoder,
    VariationalAutoEncoder,
)
from skae.networks import ConvNetwork, DenseNetwork, LSTMNetwork
from skae.tables import read_rows

CLASSES = [AutoEncoderTransformer, DenoisingAutoEncoder, SparseAutoEncoder, VariationalAutoEncoder]
classes = pytest.mark.parametrize("kind", CLASSES)


def quick(kind=AutoEncoderTransformer, n_components=2, **parameters):
    defaults = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0, "device": "cpu"}
    return kind(n_components, **defaults | parameters)


def detector(**parameters):
    return AutoEncoderOutlierDetector(**{"n_estimators": 4, "random_state": 0} | parameters)


def some_holes(frame, seed=0, share=0.1):
    return frame.mask(np.random.default_rng(seed).uniform(size=frame.shape) < share)


@pytest.fixture
def mixed():
    """60 rows of two numbers and a text, with an index of its own."""
    rng = np.random.default_rng(0)
    level = rng.integers(3, size=60)
    columns = {"x": level + 0.1 * rng.normal(size=60), "city": np.array(["Bonn", "Köln", "Ulm"])[level]}
    return pd.DataFrame(columns | {"y": rng.normal(size=60)}, index=np.arange(60)[::-1] * 3)


@pytest.fixture
def numbers(mixed):
    return mixed[["x", "y"]]


# ---- what is a category, what a hole ---------------------------------------------------------------------------


def cells_of(X, categorical_features="from_dtype"):
    return read_rows(quick(), X, None, categorical_features)


CATEGORIES = {
    "text": pd.Series(["a", "b"] * 5),
    "objects": pd.Series(["a", "b"] * 5, dtype=object),
    "string": pd.Series(["a", "b"] * 5, dtype="string"),
    "category": pd.Series([3, 1] * 5, dtype="category"),
    "booleans": pd.Series([True, False] * 5),
    "nullable booleans": pd.Series([True, False] * 5, dtype="boolean"),
    "intervals": pd.Series(pd.cut(np.arange(10) % 2, 2)),
    "one level": pd.Series(["a"] * 10),
    "text and numbers": pd.Series([1, "a"] * 5, dtype=object),
}
NUMBERS = {
    "integers": pd.Series(range(10), dtype="int8"),
    "unsigned": pd.Series(range(10), dtype="uint64"),
    "float32": pd.Series(np.linspace(0, 1, 10), dtype="float32"),
    "nullable integers": pd.Series(range(10), dtype="Int64"),
    "nullable floats": pd.Series(range(10), dtype="Float32"),
    "objects that are numbers": pd.Series([0.5, 1] * 5, dtype=object),
}


@pytest.mark.parametrize("column", CATEGORIES.values(), ids=CATEGORIES)
def test_dtypes_of_categories_become_level_numbers_in_the_order_of_appearance(column):
    table, cells = cells_of(pd.DataFrame({"c": column}))
    assert table.n_levels == (column.nunique(),)
    np.testing.assert_array_equal(cells[:, 0], np.arange(10) % column.nunique())


@pytest.mark.parametrize("column", NUMBERS.values(), ids=NUMBERS)
def test_dtypes_of_numbers_stay_numbers(column):
    table, cells = cells_of(pd.DataFrame({"c": column}))
    assert table.n_levels == (0,)
    np.testing.assert_array_equal(cells[:, 0], column.to_numpy(dtype=float))


@pytest.mark.parametrize("hole", [None, np.nan, pd.NA, pd.NaT])
@pytest.mark.parametrize("values", [["a", "b"] * 5, [1.5, 2.5] * 5, [True, False] * 5])
def test_whatever_is_missing_is_a_hole(hole, values):
    _, cells = cells_of(pd.DataFrame({"c": pd.Series([*values, hole], dtype=object)}))
    assert np.isnan(cells[-1, 0])
    assert np.isfinite(cells[:-1]).all()


def test_levels_that_the_fit_has_not_seen_have_the_number_of_levels():
    table, _ = cells_of(pd.DataFrame({"c": ["b", "a", "b"]}))
    _, cells = read_rows(quick().fit(pd.DataFrame({"c": ["b", "a", "b"]})), pd.DataFrame({"c": ["z", "a"]}), table)
    np.testing.assert_array_equal(cells[:, 0], [2, 1])


@pytest.mark.parametrize("chosen", [["i"], [1], [False, True, False], np.array([1]), pd.Index(["i"])])
def test_categories_are_chosen_by_name_number_or_mask(chosen):
    frame = pd.DataFrame({"x": [0.5, 1, 2], "i": [7, 5, 7], "y": [3.0, 4, 5]})
    table, cells = cells_of(frame, chosen)
    assert table.n_levels == (0, 2, 0)
    np.testing.assert_array_equal(cells, [[0.5, 0, 3], [1, 1, 4], [2, 0, 5]])


def test_no_column_of_an_array_is_a_category_unless_chosen():
    X = np.array([[7, 1], [5, 2], [7, 3]])
    assert cells_of(X)[0].n_levels == (0, 0)
    assert cells_of(X, [0])[0].n_levels == (2, 0)
    assert cells_of(X, [])[0].n_levels == (0, 0)
    assert cells_of(pd.DataFrame({"b": [True, False]}), None)[0].n_levels == (0,)


def test_a_category_of_integers_keeps_its_levels_where_holes_make_them_floats():
    frame = pd.DataFrame({"i": [7, 5, 7, 5], "x": [0.0, 1, 2, 3]})
    fitted = quick(categorical_features=["i"]).fit(frame)
    as_floats = frame.astype({"i": float})
    np.testing.assert_array_equal(fitted.score_samples(as_floats), fitted.score_samples(frame))
    assert np.isfinite(fitted.score_samples(some_holes(as_floats, share=0.5))).all()


# ---- frames of numbers -----------------------------------------------------------------------------------------

FRAMES = {
    "pandas": lambda X: pd.DataFrame(X, columns=list("abc")),
    "polars": lambda X: pl.DataFrame(dict(zip("abc", X.T, strict=True))),
    "nullable": lambda X: pd.DataFrame(X, columns=list("abc")).astype("Float64"),
    "nullable integers": lambda X: pd.DataFrame(X, columns=list("abc")).astype({"a": "Int64"}),
}


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("as_frame", FRAMES.values(), ids=FRAMES)
def test_a_frame_of_numbers_gives_what_its_array_gives(as_frame, holes):
    X = np.random.default_rng(0).normal(size=(80, 3))
    X[:, 0] = X[:, 0].round()
    if holes:
        X[::7, 0], X[3::9, 2] = np.nan, np.nan
    frame = as_frame(X)
    for kind in CLASSES:
        of_frame, of_array = quick(kind).fit(frame), quick(kind).fit(X)
        np.testing.assert_array_equal(of_frame.transform(frame), of_array.transform(X))
        np.testing.assert_array_equal(of_frame.score_samples(frame), of_array.score_samples(X))
    of_frame, of_array = detector().fit(frame), detector().fit(X)
    np.testing.assert_array_equal(of_frame.score_samples(frame), of_array.score_samples(X))
    assert of_frame.threshold_ == of_array.threshold_


# ---- round trips -----------------------------------------------------------------------------------------------


@classes
def test_reconstructions_are_frames_like_the_fitted_one_without_holes(kind, mixed):
    frame = some_holes(mixed).astype({"city": "category"})
    fitted = quick(kind).fit(frame)
    made = fitted.reconstruct(frame)
    pd.testing.assert_frame_equal(made.iloc[:0], frame.iloc[:0])
    pd.testing.assert_index_equal(made.index, frame.index)
    assert not made.isna().any(axis=None)
    Z = pd.DataFrame(fitted.transform(frame), index=frame.index)
    pd.testing.assert_frame_equal(fitted.inverse_transform(Z), made, rtol=1e-5)


def test_a_detector_and_a_denoiser_give_frames_too(mixed):
    frame = some_holes(mixed)
    for made in (detector().fit(frame).reconstruct(frame), quick(DenoisingAutoEncoder).fit(frame).predict(frame)):
        pd.testing.assert_series_equal(made.dtypes, frame.dtypes)
        assert not made.isna().any(axis=None)


@pytest.mark.parametrize("columns", [["x", "y"], ["x", "city", "y"]])
def test_lists_of_rows_are_reconstructed_as_frames(columns, mixed):
    frame = mixed[columns]
    fitted = quick().fit(frame)
    rows, Z = frame.to_numpy().tolist(), fitted.transform(frame)
    with pytest.warns(UserWarning, match="feature names"):
        made = fitted.reconstruct(rows)
    pd.testing.assert_frame_equal(made, fitted.reconstruct(frame).reset_index(drop=True))
    pd.testing.assert_frame_equal(fitted.inverse_transform(Z.tolist()), fitted.inverse_transform(Z))


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64, object])
def test_an_array_with_categories_gives_an_array(dtype):
    X = np.random.default_rng(0).integers(3, size=(40, 2)).astype(dtype)
    fitted = quick(categorical_features=[0], max_iter=20).fit(X)
    made = fitted.reconstruct(X)
    assert (type(made), made.dtype, made.shape) == (np.ndarray, X.dtype, X.shape)
    assert set(made[:, 0]) <= set(X[:, 0])
    assert made[:, 0].tolist() == fitted.inverse_transform(fitted.transform(X))[:, 0].tolist()


def test_numbers_in_an_array_of_text_are_not_cut_off():
    small = np.random.default_rng(0).uniform(1e-5, 2e-5, size=40)
    X = np.column_stack([np.array(["a", "b"] * 20), small.round(6).astype("<U7")]).astype("<U7")
    made = quick(categorical_features=[0]).fit(X).reconstruct(X)
    assert np.abs(made[:, 1].astype(float)).max() < 1e-3


def polars_frame():
    city = ["a", None, "b"] * 10
    return pl.DataFrame(
        {
            "integer": pl.Series([1, 2, None] * 10, dtype=pl.Int16),
            "number": pl.Series([1.0, None, 3.0] * 10, dtype=pl.Float32),
            "text": city,
            "flag": [True, False, None] * 10,
            "category": pl.Series(city, dtype=pl.Categorical),
            "enumeration": pl.Series(city, dtype=pl.Enum(["b", "c", "a"])),
        }
    )


def test_polars_in_gives_polars_of_the_same_schema_out():
    frame = polars_frame()
    for fitted in (quick().fit(frame), detector().fit(frame)):
        made = fitted.reconstruct(frame)
        assert made.schema == frame.schema
        assert sum(made.null_count().row(0)) == 0
        assert np.isfinite(fitted.score_samples(frame)).all()


def test_polars_has_the_cells_of_pandas(mixed):
    table, cells = cells_of(pl.DataFrame(some_holes(mixed).astype(object).replace(np.nan, None).to_dict("list")))
    expected, expected_cells = cells_of(some_holes(mixed))
    assert table.n_levels == expected.n_levels
    np.testing.assert_array_equal(cells, expected_cells)


DTYPES = [
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint64",
    "float32",
    "float64",
    "bool",
    "boolean",
    "Int8",
    "Int64",
]
DTYPES += ["Float32", "Float64", "string", "str", "object", "category"]
WITHOUT_HOLES = ("int", "uint", "bool")


@st.composite
def frames(draw):
    n = draw(st.integers(4, 30))
    columns = {}
    for j, dtype in enumerate(draw(st.lists(st.sampled_from(DTYPES), min_size=1, max_size=5))):
        values = draw(st.lists(st.integers(0, draw(st.integers(0, 5))), min_size=n, max_size=n))
        if dtype in ("string", "str", "object", "category"):
            values = [f"level {value}" for value in values]
        column = pd.Series([v > 1 for v in values] if dtype.startswith("bool") else values).astype(dtype)
        if not dtype.startswith(WITHOUT_HOLES) or dtype == "boolean":
            column = column.mask(np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))))
            column = column.astype(dtype) if column.notna().any() else None
        if column is not None:
            columns[f"{dtype} {j}"] = column
    return pd.DataFrame(columns or {"x": range(n)})


@given(frame=frames(), kind=st.sampled_from(CLASSES))
@settings(max_examples=25)
def test_any_frame_is_fitted_scored_and_filled(frame, kind):
    before = frame.copy(deep=True)
    fitted = quick(kind, max_iter=1).fit(frame)
    made = fitted.reconstruct(frame)
    pd.testing.assert_frame_equal(made.iloc[:0], frame.iloc[:0])
    assert not made.isna().any(axis=None)
    assert np.isfinite(fitted.score_samples(frame)).all()
    assert np.isfinite(fitted.transform(frame)).all()
    pd.testing.assert_frame_equal(frame, before)


# ---- columns of pyarrow ----------------------------------------------------------------------------------------

ARROW = {  # a name that pandas takes for a dtype, None: a dictionary; values; number of levels
    "int64[pyarrow]": ([3, 1, 3, 2], 0),
    "uint8[pyarrow]": ([3, 1, 3, 2], 0),
    "double[pyarrow]": ([0.5, 1.0, 2.5, 2.0], 0),
    "float[pyarrow]": ([0.5, 1.0, 2.5, 2.0], 0),
    "bool[pyarrow]": ([True, False, True, True], 2),
    "string[pyarrow]": (["b", "a", "b", "c"], 3),
    "large_string[pyarrow]": (["b", "a", "b", "c"], 3),
    "dictionary": (["b", "a", "b", "c"], 3),
}


@pytest.mark.parametrize("dtype", ARROW)
def test_columns_of_pyarrow_are_those_of_python(dtype):
    pyarrow = pytest.importorskip("pyarrow")
    values, n_levels = ARROW[dtype]
    values = [*values, None] * 3
    if dtype == "dictionary":
        column = pd.Series(pd.arrays.ArrowExtensionArray(pyarrow.array(values).dictionary_encode()))
    else:
        column = pd.Series(values, dtype=dtype)
    frame = pd.DataFrame({"x": np.arange(15.0), "c": column})
    table, cells = cells_of(frame)
    assert table.n_levels == (0, n_levels)
    expected, expected_cells = cells_of(pd.DataFrame({"x": np.arange(15.0), "c": pd.Series(values, dtype=object)}))
    assert table.n_levels == expected.n_levels
    np.testing.assert_array_equal(cells, expected_cells)
    for kind in (AutoEncoderTransformer, DenoisingAutoEncoder):
        made = quick(kind, max_iter=1).fit(frame).reconstruct(frame)
        pd.testing.assert_frame_equal(made.iloc[:0], frame.iloc[:0])
        assert not made.isna().any(axis=None)


@pytest.mark.parametrize("dtype", ["timestamp[ns][pyarrow]", "duration[s][pyarrow]", "date32[pyarrow]"])
def test_times_of_pyarrow_are_refused_as_those_of_pandas(dtype):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"x": np.arange(4.0), "c": pd.Series([1, 2, 3, 4]).astype("int64[pyarrow]")})
    if dtype == "date32[pyarrow]":
        frame["c"] = frame["c"].astype("int32[pyarrow]")
    assert_refused(quick(), frame.astype({"c": dtype}), "Column 'c' of X holds .*give the days since a date")


# ---- errors ----------------------------------------------------------------------------------------------------

BAD = {
    "lists": ([[1]] * 30, "'bad'.*neither numbers nor categories"),
    "sets": ([{1}] * 30, "'bad'.*neither numbers nor categories"),
    "times": (pd.date_range("2020", periods=30), "'bad'.*days since a date"),
    "dates": ([datetime.date(2020, 1, day + 1) for day in range(30)], "'bad'.*days since a date"),
    "periods": (pd.period_range("2020", periods=30), "'bad'.*days since a date"),
    "durations": (pd.to_timedelta(np.arange(30)), "'bad'.*days since a date"),
    "complex": (np.arange(30) * 1j, "'bad'.*neither numbers nor categories"),
    "empty": ([None] * 30, r"\['bad'\] of X are empty throughout"),
    "NaN only": ([np.nan] * 30, r"\['bad'\] of X are empty throughout"),
    "infinity": ([np.inf, *range(29)], r"\['bad'\] of X hold infinity"),
    "identifiers": ([f"row {i}" for i in range(30)], "'bad'.*30 levels in 30 rows"),
    "unused levels": (pd.Categorical(["a"] * 30, [*"a", *map(str, range(30))]), "'bad'.*31 levels in 30 rows"),
}


def assert_refused(estimator, X, match):
    with pytest.raises(ValueError, match=match):
        estimator.fit(X)
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)
    assert not hasattr(estimator, "loss_curve_")


@pytest.mark.parametrize("make", [*CLASSES, AutoEncoderOutlierDetector])
@pytest.mark.parametrize(("values", "match"), BAD.values(), ids=BAD)
def test_columns_that_cannot_be_learned_from_are_named(make, values, match):
    frame = pd.DataFrame({"x": np.arange(30.0), "bad": values})
    assert_refused(detector() if make is AutoEncoderOutlierDetector else quick(make), frame, match)


@pytest.mark.parametrize(
    ("chosen", "match"),
    [
        (None, "'city'.*not numbers"),
        (["town"], "no columns.*'town'"),
        ([7], "no columns.*7"),
        ([-1], "no columns.*-1"),
        ([True, False], "2 values as a mask; X has 3 columns"),
    ],
)
def test_categories_that_are_chosen_wrongly(chosen, match, mixed):
    assert_refused(quick(categorical_features=chosen), mixed, match)
    assert_refused(detector(categorical_features=chosen), mixed, match)


@pytest.mark.parametrize("change", [lambda f: f.drop(columns="city"), lambda f: f[["city", "x", "y"]]])
def test_frames_of_other_columns_than_the_fitted_ones(change, mixed):
    for fitted in (quick().fit(mixed), detector().fit(mixed)):
        with pytest.raises(ValueError, match=r"feature names|names should match"):
            fitted.score_samples(change(mixed))


def test_rows_to_score_may_not_hold_infinity_or_text_for_numbers(mixed):
    for fitted in (quick().fit(mixed), detector().fit(mixed)):
        with pytest.raises(ValueError, match=r"\['y'\] of X hold infinity"):
            fitted.score_samples(mixed.assign(y=np.inf))
        with pytest.raises(ValueError, match="'y' of X holds"):
            fitted.score_samples(mixed.assign(y="much"))


def pair(n_features, n_components):
    import torch

    return torch.nn.Linear(n_features, n_components), torch.nn.Linear(n_components, n_features)


NUMBERS_ONLY = {
    "contractive": quick(ContractiveAutoEncoder),
    "stacked": quick(StackedAutoEncoder),
    "adversarial": quick(AdversarialAutoEncoder),
    "convolutional": quick(network=ConvNetwork((1, 1, 3), (2,))),
    "recurrent": quick(network=LSTMNetwork((3, 1))),
    "callable": quick(network=pair),
    "cross-entropy": quick(loss="binary_cross_entropy"),
    "bounded output": quick(network=DenseNetwork((4,), output_activation="tanh")),
    "whitened": AutoEncoderOutlierDetector(quick(), error="whitened"),
    "squared": AutoEncoderOutlierDetector(quick(), error="squared_error"),
}


@pytest.mark.parametrize("estimator", NUMBERS_ONLY.values(), ids=NUMBERS_ONLY)
def test_what_takes_no_categories_says_so(estimator, mixed):
    match = "categories have none" if isinstance(estimator, AutoEncoderOutlierDetector) else "city"
    assert_refused(clone(estimator), mixed, match)
    if not hasattr(estimator, "error"):
        assert_refused(AutoEncoderOutlierDetector(clone(estimator)), mixed, "city")


def test_no_parameter_is_recommended_that_a_class_does_not_have(mixed):
    with pytest.raises(ValueError, match="city") as caught:
        quick(ContractiveAutoEncoder).fit(mixed)
    assert "categorical_features" not in str(caught.value)


@pytest.mark.parametrize("as_frame", [np.asarray, pd.DataFrame], ids=["array", "frame"])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: repr(e)[:60])
def test_tag_says_whether_holes_are_taken(estimator, as_frame):
    X = np.random.default_rng(0).uniform(size=(60, 4))
    with_holes = X.copy()
    with_holes[::5, 1] = np.nan
    is_detector = isinstance(estimator, AutoEncoderOutlierDetector)
    estimator, y = clone(estimator), None if is_detector else np.arange(60) % 2
    for part in (estimator, getattr(estimator, "autoencoder", None)):
        if hasattr(part, "max_iter"):
            part.set_params(max_iter=2)
    takes_holes = get_tags(estimator).input_tags.allow_nan
    refused = pytest.raises(ValueError, match=r"NaN|missing|hole")
    with nullcontext() if takes_holes else refused:
        clone(estimator).fit(as_frame(with_holes), y)
    estimator.fit(as_frame(X), y)
    score = getattr(estimator, "score_samples", None) or estimator.transform
    with nullcontext() if takes_holes else refused:
        assert np.isfinite(score(as_frame(with_holes))).all()


def test_clean_rows_of_a_denoiser_may_be_frames(numbers):
    fitted = quick(DenoisingAutoEncoder).fit(some_holes(numbers + 0.1), some_holes(numbers, seed=3))
    assert np.isfinite(fitted.score_samples(numbers)).all()
    with pytest.raises(ValueError, match="y has missing values where X has none"):
        quick(DenoisingAutoEncoder).fit(numbers + 0.1, some_holes(numbers))


def test_clean_rows_of_a_table_may_be_a_list(mixed):
    fitted = quick(DenoisingAutoEncoder).fit(mixed, mixed)
    of_list = quick(DenoisingAutoEncoder).fit(mixed, mixed.to_numpy().tolist())
    np.testing.assert_array_equal(of_list.transform(mixed), fitted.transform(mixed))


@classes
def test_fitted_estimators_of_tables_survive_pickling(kind, mixed):
    fitted = quick(kind).fit(some_holes(mixed))
    copied = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copied.score_samples(mixed), fitted.score_samples(mixed))
    pd.testing.assert_frame_equal(copied.reconstruct(mixed), fitted.reconstruct(mixed))
