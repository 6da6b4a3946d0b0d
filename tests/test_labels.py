"""Labels of which some are unknown, as both classes that take them read them."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from skae import ConditionalVariationalAutoEncoder, StackedAutoEncoderClassifier

Y = np.repeat([0, 1, 2], 10)
KNOWN = np.arange(30) % 3 > 0
X = np.random.default_rng(0).normal(size=(30, 4)) + 3 * np.eye(3, 4)[Y]
PARTIAL = np.where(KNOWN, Y, -1)
TEXT = np.where(KNOWN, Y.astype(str), "-1")

both = pytest.mark.parametrize("make", [StackedAutoEncoderClassifier, ConditionalVariationalAutoEncoder])
ways = pytest.mark.parametrize("method", ["fit", "partial_fit"])


def quick(make):
    first = {"pretrain_max_iter": 0} if make is StackedAutoEncoderClassifier else {}
    return make(2, hidden_layer_sizes=(4,), max_iter=2, random_state=0, **first)


def labelled(make, method, y):
    return getattr(quick(make), method)(X, y)


@both
@ways
@pytest.mark.parametrize(
    "y",
    [PARTIAL.astype(float), pd.Series(PARTIAL, dtype="Int8"), pd.Categorical(PARTIAL), PARTIAL.tolist()],
    ids=["float", "nullable", "categorical", "list"],
)
def test_minus_one_is_unknown_in_every_type_of_numbers(y, method, make):
    expected, found = labelled(make, method, PARTIAL), labelled(make, method, y)
    assert found.classes_.tolist() == [0, 1, 2]
    assert found.loss_curve_ == expected.loss_curve_


@both
@ways
@pytest.mark.parametrize(
    "y",
    [
        TEXT,
        TEXT.tolist(),
        TEXT.astype(object),
        np.where(KNOWN, TEXT.astype(object), -1),
        pd.Series(TEXT, dtype="string"),
        pd.Series(pd.Categorical(TEXT)),
    ],
    ids=["array", "list", "objects", "number among strings", "pandas", "categorical"],
)
def test_minus_one_is_unknown_in_every_type_of_strings(y, method, make):
    expected, found = labelled(make, method, PARTIAL), labelled(make, method, y)
    assert found.classes_.tolist() == ["0", "1", "2"]
    assert found.loss_curve_ == expected.loss_curve_


@both
@ways
@pytest.mark.parametrize(
    "y", [PARTIAL.astype(np.uint8), PARTIAL.astype(np.uint64), pd.Series(PARTIAL.astype(np.uint8), dtype="UInt8")]
)
def test_a_minus_one_that_has_become_the_largest_unsigned_number_is_an_error(y, method, make):
    with pytest.raises(ValueError, match=r"largest uint\d+: -1, which stands for an unknown class.*astype\(int\)"):
        labelled(make, method, y)
    with pytest.raises(ValueError, match="largest uint"):
        labelled(make, method, y[:, None] if isinstance(y, np.ndarray) else y.to_frame())


@both
@ways
def test_other_unsigned_labels_are_classes(method, make):
    assert labelled(make, method, Y.astype(np.uint8)).classes_.tolist() == [0, 1, 2]


@both
@ways
@pytest.mark.parametrize(
    "y",
    [
        np.where(KNOWN, Y, np.nan),
        np.where(KNOWN, Y.astype(object), None),
        np.where(KNOWN, TEXT.astype(object), None),
        pd.Series(Y, dtype="Int64").where(KNOWN),
        pd.Series(TEXT, dtype="string").where(KNOWN),
        pd.Series(Y > 0, dtype="boolean").where(KNOWN),
        pd.Series(pd.Categorical(np.where(KNOWN, Y.astype(object), None))),
    ],
    ids=["nan", "None", "None among strings", "pd.NA", "pd.NA strings", "pd.NA booleans", "categorical"],
)
def test_missing_labels_say_what_unknown_is(y, method, make):
    with pytest.raises(ValueError, match=r"NaN or None\. A class that is unknown is -1: np\.where\(known, y, -1\)"):
        labelled(make, method, y)


@both
def test_labels_of_a_later_call_are_read_alike(make):
    fitted = quick(make).fit(X, Y)
    with pytest.raises(ValueError, match="largest uint8"):
        fitted.partial_fit(X, PARTIAL.astype(np.uint8))
    with pytest.raises(ValueError, match="A class that is unknown is -1"):
        fitted.partial_fit(X, np.where(KNOWN, Y, np.nan))
    assert fitted.partial_fit(X, PARTIAL).n_iter_ == 3


@both
def test_booleans_are_two_classes(make):
    assert labelled(make, "fit", Y > 0).classes_.tolist() == [False, True]


@both
def test_a_column_is_taken_with_a_warning_and_two_are_not(make):
    with pytest.warns(UserWarning, match="column-vector y was passed"):
        assert labelled(make, "fit", PARTIAL[:, None]).classes_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="should be a 1d array"):
        labelled(make, "fit", np.c_[PARTIAL, PARTIAL])
    with pytest.raises(TypeError, match="Sparse data was passed for y"):
        labelled(make, "fit", csr_array(PARTIAL[:, None]))
