import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import median_abs_deviation

from skae.outliers.threshold import parse_rule

ERRORS = np.random.default_rng(0).gamma(2, size=200)


@given(
    st.floats(0, 100), st.sampled_from(["mean", "median"]), st.sampled_from(["+", "-"]), st.sampled_from(["std", "mad"])
)
def test_center_and_spread(k, center, sign, spread):
    expected = (
        getattr(np, center)(ERRORS)
        + float(sign + "1")
        * k
        * {
            "std": np.std(ERRORS),
            "mad": median_abs_deviation(ERRORS),
        }[spread]
    )
    assert parse_rule(f"{center}{sign}{k!r}*{spread}")(ERRORS) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("mean", ERRORS.mean()),
        (" median ", np.median(ERRORS)),
        ("1.25*mean", 1.25 * ERRORS.mean()),
        ("mean + std", ERRORS.mean() + ERRORS.std()),
        ("median + 3 * mad", np.median(ERRORS) + 3 * median_abs_deviation(ERRORS)),
    ],
)
def test_forms(rule, expected):
    assert parse_rule(rule)(ERRORS) == pytest.approx(expected)


@pytest.mark.parametrize(
    "rule", ["", "max", "mean+", "mean+2", "mean*2", "mean+1.2.3*std", "std", "mean+-1*std", "2*std"]
)
def test_what_does_not_parse_is_told_the_rules(rule):
    with pytest.raises(
        ValueError, match=r"threshold=.* is not a rule\. Rules are 'auto', 'mean' or 'median'.*'mean\+1\*std'"
    ):
        parse_rule(rule)
