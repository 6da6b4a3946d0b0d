"""Whatever is given: a clear error that leaves the estimator as it was, or the result for the same plain numbers.

Some examples are part of the suite; `SKAE_FUZZ=5000 python -m pytest -n0 -s -m long tests/test_hostile_input.py` looks
at as many of each kind and prints the seed, which `SKAE_FUZZ_SEED` sets.
"""

import copy
import decimal
import os
import random
import warnings

import hypothesis
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from sklearn.base import clone

from skae import (
    AdversarialAutoEncoder,
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    ContractiveAutoEncoder,
    DenoisingAutoEncoder,
    SparseAutoEncoder,
    StackedAutoEncoder,
    StackedAutoEncoderClassifier,
    VariationalAutoEncoder,
)
from skae.networks import ConvNetwork, DenseNetwork, LSTMNetwork, MemoryNetwork

SMALL = {"hidden_layer_sizes": (4,), "max_iter": 1, "random_state": 0, "device": "cpu"}
X = np.random.default_rng(0).integers(0, 4, size=(24, 3)).astype(float)
Y = np.arange(24) % 2
ESTIMATORS = {
    "autoencoder": AutoEncoderTransformer(2, **SMALL),
    "without tables": ContractiveAutoEncoder(2, **SMALL),
    "density": VariationalAutoEncoder(2, **SMALL),
    "detector": AutoEncoderOutlierDetector(n_estimators=2, random_state=0),
    "detector of one": AutoEncoderOutlierDetector(DenoisingAutoEncoder(2, **SMALL), error="absolute_error"),
    "classifier": StackedAutoEncoderClassifier(2, pretrain_max_iter=1, **SMALL),
}
FITTED = {name: clone(estimator).fit(X, Y) for name, estimator in ESTIMATORS.items()}
each_estimator = pytest.mark.parametrize("name", ESTIMATORS)


def scores(estimator, rows):
    return estimator.predict_proba(rows) if hasattr(estimator, "predict_proba") else estimator.score_samples(rows)


def attributes(estimator):
    return {name: id(value) for name, value in vars(estimator).items() if "callback" not in name}


def outcome(function, *estimators):
    """Return what a function returns, or None where it raises a clear error and leaves the estimators as they were."""
    before = [attributes(estimator) for estimator in estimators]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function()
    except (ValueError, TypeError, FloatingPointError) as error:
        message = str(error)
    assert len(message.split()) >= 3, f"{message!r} says too little"
    assert [attributes(estimator) for estimator in estimators] == before
    return None


def assert_same_outcome(found, expected):
    assert (found is None) == (expected is None), f"{found} against {expected}"
    if expected is not None:
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


# ---- the same numbers in other forms -----------------------------------------------------------------------


class Subclass(np.ndarray):
    pass


class Convertible:
    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype=dtype)


def with_strides(rows):
    spacious = np.full((2 * rows.shape[0], 3 * rows.shape[1]), 99.0)
    spacious[::2, ::3] = rows
    return spacious[::2, ::3]


def unaligned(rows):
    moved = np.frombuffer(bytearray(rows.nbytes + 1), np.uint8)[1:].view(float).reshape(rows.shape)
    moved[:] = rows
    return moved


DTYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "g", "O", "U8", ">i4", ">u2", ">f4", ">f8"]
PANDAS_DTYPES = ["int8", "float32", "object", "Int64", "Float64", "Sparse[float]", "uint8[pyarrow]", "float[pyarrow]"]
FORMS = {
    **{dtype: lambda rows, dtype=dtype: rows.astype(dtype) for dtype in DTYPES},
    "Fortran order": np.asfortranarray,
    "negative strides": lambda rows: rows[::-1, ::-1].copy()[::-1, ::-1],
    "strides": with_strides,
    "unaligned": unaligned,
    "read-only": lambda rows: np.frombuffer(rows.tobytes()).reshape(rows.shape),
    "subclass": lambda rows: rows.view(Subclass),
    "mask of nothing": np.ma.array,
    "lists": lambda rows: rows.tolist(),
    "tuples": lambda rows: tuple(map(tuple, rows.tolist())),
    "list of arrays": list,
    "decimals": lambda rows: [[decimal.Decimal(value) for value in row] for row in rows.tolist()],
    "numbers as text": lambda rows: [[str(value) for value in row] for row in rows.tolist()],
    "__array__": Convertible,
    "tensor": torch.tensor,
    **{f"pandas {dtype}": lambda rows, dtype=dtype: pd.DataFrame(rows).astype(dtype) for dtype in PANDAS_DTYPES},
    "pandas with an index of its own": lambda rows: pd.DataFrame(rows, index=[0] * len(rows)),
    **{
        f"polars {dtype}": lambda rows, dtype=dtype: pl.DataFrame(rows).cast(dtype)
        for dtype in (pl.UInt8, pl.Int128, pl.Float32, pl.Decimal(20, 3))
    },
}


@st.composite
def forms_of_rows(draw):
    shape = draw(st.integers(1, 30)), 3
    rows = draw(hnp.arrays(np.float64, shape, elements=st.integers(0, 9).map(float)))
    return draw(st.sampled_from(sorted(ESTIMATORS))), draw(st.sampled_from(sorted(FORMS))), rows


def check_form(case):
    name, form, rows = case
    given_rows = FORMS[form](rows)
    assert_same_outcome(scores(FITTED[name], given_rows), scores(FITTED[name], rows))
    labels = np.arange(len(rows)) % 2
    fits = [clone(ESTIMATORS[name]), clone(ESTIMATORS[name])]
    found, expected = (
        outcome(lambda e=e, r=r: scores(e.fit(r, labels), rows), e)
        for e, r in zip(fits, (given_rows, rows), strict=True)
    )
    assert_same_outcome(found, expected)
    np.testing.assert_array_equal(rows, np.round(rows))  # not written to


@pytest.mark.parametrize("name", ["autoencoder", "without tables", "density", "detector of one", "classifier"])
@pytest.mark.filterwarnings("ignore:X .* feature names")
def test_every_form_of_the_same_numbers_has_the_same_result(name):
    for form in FORMS:
        check_form((name, form, X))


def test_a_memory_map(tmp_path):
    np.save(tmp_path / "rows.npy", X)
    for mode in ("r", "c"):
        mapped = np.load(tmp_path / "rows.npy", mmap_mode=mode)
        np.testing.assert_allclose(scores(FITTED["autoencoder"], mapped), scores(FITTED["autoencoder"], X))


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "O"])
@each_estimator
def test_masked_values_are_missing_ones(name, dtype):
    masked = np.ma.array(X.astype(dtype), mask=np.zeros(X.shape, bool))
    masked.data[3, 1], masked.mask[3, 1] = 100_000, True
    holes = X.copy()
    holes[3, 1] = np.nan
    for method in (lambda e, rows: scores(e, rows), lambda e, rows: scores(clone(e).fit(rows, Y), X)):
        estimator = FITTED[name]
        assert_same_outcome(
            outcome(lambda m=method, e=estimator: m(e, masked), estimator),
            outcome(lambda m=method, e=estimator: m(e, holes), estimator),
        )


# ---- extreme values ----------------------------------------------------------------------------------------

EXTREMES = [0.0, -0.0, 1e-320, 1e-300, 1e-40, 1e-30, 1e-8, 1.0, 1e8, 1e30, 3.4e38, 1e39, 1e300, 1.7e308]
EXTREMES += [float("inf"), float("nan"), *[-value for value in EXTREMES]]


@st.composite
def extreme_rows(draw):
    dtype = draw(st.sampled_from(["f2", "f4", "f8", "g", ">f8"]))
    elements = st.sampled_from(EXTREMES) | st.floats(-10, 10)
    rows = draw(hnp.arrays(np.float64, (draw(st.integers(1, 12)), 3), elements=elements))
    with np.errstate(all="ignore"):
        return draw(st.sampled_from(sorted(ESTIMATORS))), rows.astype(dtype)


def check_extremes(case):
    name, rows = case
    estimator, plain = FITTED[name], np.ascontiguousarray(rows, np.float64)
    with np.errstate(all="ignore"):
        found = outcome(lambda: scores(estimator, np.asfortranarray(rows)), estimator)
        expected = outcome(lambda: scores(estimator, plain), estimator)
    assert (found is None) == (expected is None)
    if found is not None:
        assert (np.isfinite(found) | np.isneginf(found)).all()
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    new = clone(ESTIMATORS[name])
    with np.errstate(all="ignore"):
        learned = outcome(lambda: scores(new.fit(rows, np.arange(len(rows)) % 2), X), new)
    assert learned is None or not np.isnan(learned).any()


# ---- what is refused ---------------------------------------------------------------------------------------

REFUSED = {
    "complex": (X.astype(complex), "[Cc]omplex"),
    "dates": (X.astype("M8[D]"), "datetime64"),
    "durations": (X.astype("m8[s]"), "timedelta64"),
    "records": (np.array([tuple(row) for row in X], dtype="f8,f8,f8"), "dtype|Cannot cast"),
    "matrix": (X.view(np.matrix), "np.matrix is not supported"),
    "sparse": (sparse.csr_array(X), "[Ss]parse"),
    "text in lists": ([["a", 1.0, 2.0]] * 24, r"not a number .*'a'.*OneHotEncoder.*categorical_features"),
    "text in an array": (np.array([["a", 1, 2]] * 24, dtype=object), "not a number .*'a'"),
    "integers beyond float64": ([[10**400, 1, 2]] * 24, "not a number .*too large"),
    "integers beyond float64 in a frame": (pd.DataFrame([[10**400, 1, 2]] * 24), "Column 0 .*beyond float64"),
    "tensor with gradients": (torch.tensor(X, requires_grad=True), "not a number .*detach"),
    "lazy frame": (pl.LazyFrame(X), r"LazyFrame: give X.collect\(\)"),
    "dates in a frame": (pd.DataFrame(X.astype("M8[s]")), "datetime64"),
    "lists in a frame": (pd.DataFrame({0: [[1]] * 24, 1: X[:, 0], 2: X[:, 1]}), "neither numbers nor categories"),
    "mixed names": (pd.DataFrame(X, columns=["a", 1, "c"]), "string names"),
    "names twice": (pd.DataFrame(X, columns=["a", "a", "c"]), "unique column names"),
    "one axis": (X[:, 0], "2D array"),
    "three axes": (X[:, :, None], "dim 3"),
    "scalar": (3.0, "2D array"),
    "None": (None, "2D array"),
    "no rows": (X[:0], "0 sample"),
    "no columns": (X[:, :0], "0 feature"),
    "ragged": ([[1.0, 2.0, 3.0], [1.0]], "inhomogeneous"),
    "generator": ((row for row in X), "generator|Expected 2D array|no rows"),
    "infinity": (np.where(X == 3, np.inf, X), "infinity"),
}


@pytest.mark.parametrize("kind", REFUSED)
@each_estimator
def test_what_is_no_rows_of_numbers_is_refused_and_changes_nothing(name, kind):
    rows, message = REFUSED[kind]
    for estimator in (clone(ESTIMATORS[name]), FITTED[name]):
        before = attributes(estimator)
        for method in ("fit", "partial_fit", "transform", "score_samples", "predict_proba", "predict"):
            # whether an estimator is fitted comes first in scoring
            if hasattr(estimator, method) and ("fit" in method or "n_features_in_" in before):
                with pytest.raises((ValueError, TypeError), match=message):
                    getattr(estimator, method)(rows, *([Y] if "fit" in method else []))
                assert attributes(estimator) == before


# ---- labels ------------------------------------------------------------------------------------------------

LABELS = {
    "bool": Y.astype(bool),
    **{dtype: Y.astype(dtype) for dtype in ("u1", "u8", "i1", "f2", "f4", "g", ">i4", "U1")},
    "list": Y.tolist(),
    "column": Y[:, None],
    "series": pd.Series(Y, dtype="Int64"),
    "categories": pd.Series(Y).astype("category"),
    "polars": pl.Series(Y),
    "tensor": torch.tensor(Y),
}
NO_LABELS = {
    "complex": Y.astype(complex),
    "NaN": np.where(Y == 1, np.nan, 0.0),
    "None": np.array([None, 1] * 12, dtype=object),
    "mixed": np.array([1, "a"] * 12, dtype=object),
    "masked": np.ma.array(Y, mask=Y == 1),
    "infinity": np.where(Y == 1, np.inf, 0.0),
    "shares": np.linspace(0, 1, 24),
    "-1 in unsigned": np.where(Y == 1, np.uint8(255), np.uint8(0)),
    "two columns": np.eye(2)[Y],
    "sparse": sparse.csr_array(Y[:, None]),
    "too few": Y[:5],
    "scalar": 3,
    "bytes": Y.astype("S1"),
    "ragged": [[1], [0, 1]] * 12,
}
WITH_LABELS = [ConditionalVariationalAutoEncoder(2, **SMALL), ESTIMATORS["classifier"]]


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("estimator", WITH_LABELS, ids=lambda e: type(e).__name__)
def test_labels_of_every_kind_are_the_same_classes(estimator, kind):
    found, expected = clone(estimator).fit(X, LABELS[kind]), clone(estimator).fit(X, Y)
    np.testing.assert_allclose(found.predict_proba(X), expected.predict_proba(X), rtol=1e-4)
    np.testing.assert_array_equal(np.asarray(found.predict(X)).astype(float), expected.predict(X))


@pytest.mark.parametrize("kind", NO_LABELS)
@pytest.mark.parametrize("estimator", WITH_LABELS, ids=lambda e: type(e).__name__)
def test_what_is_no_labels_is_refused_and_changes_nothing(estimator, kind):
    for model in (clone(estimator), clone(estimator).fit(X, Y)):
        assert outcome(lambda m=model: m.fit(X, NO_LABELS[kind]), model) is None


@pytest.mark.parametrize("kind", ["NaN", "None", "masked", "complex", "two columns", "sparse", "too few", "ragged"])
def test_a_detector_refuses_them_too(kind):
    detector = AutoEncoderOutlierDetector(AutoEncoderTransformer(2, **SMALL), novelty=True)
    assert outcome(lambda: detector.fit(X, NO_LABELS[kind]), detector) is None


@pytest.mark.parametrize("y", [sparse.csr_array(X), X[:, :, None], np.ma.array(X, mask=X == 3), X.astype(complex)])
def test_clean_rows_that_are_none(y):
    autoencoder = DenoisingAutoEncoder(2, **SMALL)
    assert outcome(lambda: autoencoder.fit(X, y), autoencoder) is None


# ---- frames at scoring -------------------------------------------------------------------------------------


def frame():
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1] * 2, "c": np.array(list("xyzw"))[X[:, 2].astype(int)]})


TABLES = {
    "autoencoder": AutoEncoderTransformer(2, **SMALL),
    "density": VariationalAutoEncoder(2, **SMALL),
    "detector": AutoEncoderOutlierDetector(n_estimators=2, random_state=0),
}
SAME_FRAMES = {
    "other number types": lambda f: f.astype({"a": "int8", "b": "Float64"}),
    "objects": lambda f: f.astype(object),
    "categories": lambda f: f.astype({"c": pd.CategoricalDtype(["w", "z", "q", "y", "x"], ordered=True)}),
    "arrow": lambda f: f.astype({"a": "int64[pyarrow]", "c": "string[pyarrow]"}),
    "polars": pl.from_pandas,
    "polars categories": lambda f: pl.from_pandas(f).with_columns(pl.col("c").cast(pl.Categorical)),
}
OTHER_FRAMES = {
    "another order": (lambda f: f[["b", "a", "c"]], "order"),
    "a column less": (lambda f: f[["a", "b"]], "missing"),
    "a column more": (lambda f: f.assign(d=1), "unseen"),
    "another name": (lambda f: f.rename(columns={"a": "z"}), "unseen"),
    "text for numbers": (lambda f: f.assign(a="one"), "Column 'a' .*not numbers"),
    "dates for numbers": (lambda f: f.assign(a=pd.Timestamp("2020-01-01")), "Column 'a' .*neither numbers"),
    "infinity": (lambda f: f.assign(a=np.inf), "infinity"),
    "lists for categories": (lambda f: f.assign(c=[[1]] * len(f)), "Column 'c' .*neither numbers"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_fitted_frame_takes_the_same_values_in_other_types_and_refuses_others(name):
    rows = frame()
    model = clone(TABLES[name]).fit(rows)
    expected, before = scores(model, rows), attributes(model)
    for form in SAME_FRAMES.values():
        np.testing.assert_allclose(scores(model, form(rows)), expected, rtol=1e-4, atol=1e-5)
    for form, message in OTHER_FRAMES.values():
        with pytest.raises((ValueError, TypeError), match=message):
            scores(model, form(rows))
    unseen = scores(model, rows.assign(c="never seen"))
    assert np.isfinite(unseen).all()
    np.testing.assert_allclose(unseen, scores(model, rows.assign(c=-7.5)), rtol=1e-4, atol=1e-5)
    assert attributes(model) == before


@pytest.mark.parametrize("make", [set, frozenset, list, tuple, pd.Index])
def test_categories_named_in_any_collection(make):
    rows = frame().assign(a=X[:, 0])
    expected = clone(TABLES["autoencoder"]).set_params(categorical_features=["a", "c"]).fit(rows)
    found = clone(TABLES["autoencoder"]).set_params(categorical_features=make(["a", "c"])).fit(rows)
    np.testing.assert_allclose(found.score_samples(rows), expected.score_samples(rows), rtol=1e-4)


def test_integers_of_128_bits_come_back_as_they_were():
    rows = pl.DataFrame({"a": [1, 2, 3] * 4, "b": ["x", "y"] * 6}).cast({"a": pl.Int128})
    reconstructed = AutoEncoderTransformer(2, **SMALL).fit(rows).reconstruct(rows)
    assert reconstructed.schema == rows.schema


# ---- parameters --------------------------------------------------------------------------------------------

WILD = [None, "", b"x", "auto", (), [None], ["a"], [-1], [2.5], {"a": 1}, {1, 2}, 1j, object(), pd.NA, int, len, X]
WILD += [np.array([2]), np.array(2), range(3), DenseNetwork, MemoryNetwork(), np.float16(0.5), np.int8(2), -1, 2**70]
PLAUSIBLE = {
    bool: [True, False, 1, np.bool_(True)],
    int: [0, 1, 2, 3, 7, np.int64(2), True, 2.0],
    float: [0, 1, 0.0, -0.0, 0.1, 0.5, 0.99, 1.0, 3.0, 1e-300, 1e-30, 1e30, 1e300, float("inf"), float("nan")],
    tuple: [(), (1,), (2, 3), [3], np.array([2]), 2, (1, 3, 1), (3, 1), (1, 1, 3), (2, 2)],
    type(None): [None, 0, 1, 0.2, 0.5, 0.9, "relu", np.random.RandomState(0)],
}
WORDS = {
    "loss": ["squared_error", "absolute_error", "huber", "binary_cross_entropy"],
    "activation": ["relu", "gelu", "silu", "tanh", "sigmoid", "identity", "softmax"],
    "code_activation": ["relu", "softmax", "identity", "sigmoid"],
    "output_activation": ["identity", "sigmoid", "softmax", "relu"],
    "normalization": ["batch", "layer", None],
    "learning_rate": ["cosine", "constant", "adaptive"],
    "precision": ["float32", "tf32", "bfloat16"],
    "corruption": ["gaussian", "masking", "salt_and_pepper", "swap", None],
    "error": ["auto", "squared_error", "absolute_error", "whitened"],
    "threshold": ["auto", "mean", "2*median", "mean+1*std", "median-1e9*mad", "mean+1e400*std", 0.0, -1.0, 1e300],
    "contamination": ["auto", 1e-300, 0.1, 0.5],
    "categorical_features": ["from_dtype", None, [0], [True, False, True], ["a"], {0, 2}, [0.5], [-1], [7]],
    "max_samples": ["auto", 1, 2, 1.0, 0.01, 1e-300, 100],
    "n_estimators": ["auto", 1, 3],
    "sparsity": ["l1", "kl"],
    "method": ["exact", "stochastic"],
    "bound": ["elbo", "importance_weighted"],
    "prior": ["normal", "uniform"],
    "device": ["cpu", "cuda:99", "auto"],
    "batch_size": ["auto", 1, 5, 1000],
}
MAKERS = [
    AdversarialAutoEncoder,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    ContractiveAutoEncoder,
    DenoisingAutoEncoder,
    SparseAutoEncoder,
    StackedAutoEncoder,
    StackedAutoEncoderClassifier,
    VariationalAutoEncoder,
    AutoEncoderOutlierDetector,
]
SPECIFICATIONS = [
    DenseNetwork((4,)),
    ConvNetwork((1, 3, 1), channels=(2,)),
    LSTMNetwork((3, 1), hidden_size=2),
    MemoryNetwork(),
]


@st.composite
def wild_parameters(draw):
    make = draw(st.sampled_from(MAKERS))
    if make is AutoEncoderOutlierDetector:
        autoencoder = draw(st.sampled_from([None, *ESTIMATORS.values()][:4]))
        estimator = make(autoencoder and clone(autoencoder), n_estimators=2)
    else:
        estimator = make(2, **SMALL)
        if "pretrain_max_iter" in estimator.get_params():
            estimator.set_params(pretrain_max_iter=1)
        if draw(st.booleans()):
            estimator.set_params(network=clone(draw(st.sampled_from(SPECIFICATIONS))))
    names = sorted(set(estimator.get_params()) - {"verbose", "memory", "autoencoder__verbose"})
    for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)):
        if name not in (parameters := estimator.get_params()):  # of what another value has replaced
            continue
        known = WORDS.get(name.rpartition("__")[2]) or PLAUSIBLE.get(type(parameters[name]), WILD)
        value = draw(st.sampled_from(known if draw(st.integers(0, 4)) else WILD))
        if isinstance(value, int) and value > 2**32 and type(parameters[name]) is int:
            continue  # networks may be as large as the memory
        estimator.set_params(**{name: copy.deepcopy(value)})
    return estimator


def check_parameters(estimator):
    result = outcome(lambda: scores(estimator.fit(X, Y), X), estimator)
    assert result is None or not np.isnan(result).any()


# ---- hypothesis --------------------------------------------------------------------------------------------

PROPERTIES = {
    "forms": (forms_of_rows(), check_form),
    "extremes": (extreme_rows(), check_extremes),
    "parameters": (wild_parameters(), check_parameters),
}


def run_property(name, n_examples, seed=None):
    strategy, check = PROPERTIES[name]

    @settings(max_examples=n_examples, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck))
    @given(strategy)
    def holds(case):
        check(case)

    (holds if seed is None else hypothesis.seed(seed)(holds))()


@pytest.mark.filterwarnings("ignore:X .* feature names")
@pytest.mark.parametrize("name", PROPERTIES)
def test_properties(name):
    run_property(name, 60)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:X .* feature names")
@pytest.mark.parametrize("name", PROPERTIES)
def test_properties_at_length(name):
    seed = int(os.environ.get("SKAE_FUZZ_SEED", random.randrange(2**32)))
    n_examples = int(os.environ.get("SKAE_FUZZ", "3000"))
    print(f"{name}: {n_examples} examples, SKAE_FUZZ_SEED={seed}")
    run_property(name, n_examples, seed)
