from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import median_abs_deviation
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score, f1_score

from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer, VariationalAutoEncoder
from skae.outliers.threshold import best_threshold, parse_rule, threshold_rule

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
    "rule",
    [
        "",
        "max",
        "mean+",
        "mean+2",
        "mean*2",
        "mean+1.2.3*std",
        "std",
        "mean+-1*std",
        "2*std",
        "mean+1e400*std",
        "1e400*median",
    ],
)
def test_what_does_not_parse_is_told_the_rules(rule):
    with pytest.raises(
        ValueError, match=r"threshold=.* is not a rule\. Rules are 'auto', 'mean' or 'median'.*'mean\+1\*std'"
    ):
        parse_rule(rule)


# ---- errors that are the same but for rounding -------------------------------------------------------------

RNG = np.random.default_rng(0)
RARE = (RNG.uniform(size=(1000, 6)) < 0.05).astype(float)  # three of four rows are all zeros
KINDS = np.repeat([[0.1] * 5, [0.4] * 5], [600, 400], axis=0)
DETECTORS = [
    AutoEncoderOutlierDetector(random_state=0),
    AutoEncoderOutlierDetector(novelty=True, threshold="median+5*mad", random_state=0),
    *[
        AutoEncoderOutlierDetector(autoencoder, error=error, threshold="median+5*mad")
        for autoencoder in (
            AutoEncoderTransformer(2, hidden_layer_sizes=(8,), max_iter=5, random_state=0),
            AutoEncoderTransformer(2, hidden_layer_sizes=(64,), loss="absolute_error", max_iter=20, random_state=0),
        )
        for error in ("auto", "whitened")
    ],
    AutoEncoderOutlierDetector(VariationalAutoEncoder(2, hidden_layer_sizes=(8,), max_iter=5, random_state=0)),
]
detectors = pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: repr(d)[27:100])


def n_flagged_in_any_company(detector, X):
    """Count the rows that are outliers among all, in the opposite order, among some or alone."""
    among_all = detector.predict(X) == -1
    others = [detector.predict(X[::-1])[::-1], np.r_[detector.predict(X[:7]), detector.predict(X[7:])]]
    alone = [int(detector.predict(X[i : i + 1])[0]) for i in range(0, len(X), 97)]
    assert all(np.array_equal(other == -1, among_all) for other in others)
    assert np.array_equal(np.equal(alone, -1), among_all[::97])
    return among_all.sum()


@detectors
def test_binary_columns_flag_few_rows(detector):
    n = n_flagged_in_any_company(clone(detector).fit(RARE), RARE)
    assert 0 < n <= (RARE.sum(1) > 0).sum() - 100  # not all that differ from most


@detectors
@pytest.mark.parametrize("threshold", ["auto", "mean", "median", "mean+3*std", "median+5*mad"])
@pytest.mark.parametrize("value", [0.0, 0.1, -3.3, 1000.1])
def test_equal_rows_are_inliers_in_any_company(value, threshold, detector):
    X = np.full((300, 5), value)
    assert n_flagged_in_any_company(clone(detector).set_params(threshold=threshold).fit(X), X) == 0


@detectors
def test_two_kinds_of_rows_are_both_normal(detector):
    assert n_flagged_in_any_company(clone(detector).fit(KINDS), KINDS) == 0


def test_equal_rows_are_inliers_under_a_contamination_too():
    X = np.full((300, 5), 0.1)
    detector = clone(DETECTORS[2]).set_params(threshold="auto", contamination=0.2).fit(X)
    assert n_flagged_in_any_company(detector, X) == 0


@given(st.floats(0.01, 100), st.floats(0, 0.9), st.integers(0, 2**32 - 1))
def test_rounding_does_not_pass_for_a_spread(error, share, seed):
    rng = np.random.default_rng(seed)
    errors = np.where(rng.uniform(size=400) < 0.4 * share, 2 * error, error) * (1 + 1e-6 * rng.normal(size=400))
    threshold = threshold_rule("median+5*mad", "auto", False)(errors, lambda e: 1e-4 * e)
    assert (errors[errors < 1.5 * error] <= threshold).all()


def test_a_threshold_between_errors_is_left_where_it_is():
    assert threshold_rule("auto", 0.5, False)(np.array([1.0, 2.0]), lambda e: 1e-4) == 1.5
    assert threshold_rule(1.0, "auto", False)(np.array([1.0, 1.0]), lambda e: 1e-4) == 1.0
    assert threshold_rule("median", "auto", False)(np.array([1.0, 1.0]), lambda e: 1e-4) == 1.0001


def test_outliers_cannot_drag_the_median_along():
    errors = np.r_[ERRORS, 1e6]
    assert parse_rule("median+5*mad")(errors) < 1.1 * parse_rule("median+5*mad")(ERRORS)


# ---- "auto" --------------------------------------------------------------------------------------------------


def auto(errors, novelty):
    return threshold_rule("auto", "auto", novelty)(np.asarray(errors), lambda error: 0.0)


@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.sampled_from([0.3, 1.0, 3.0]))
def test_auto_is_the_stated_rule_of_errors_without_gross_ones(seed, n, sigma):
    errors = np.random.default_rng(seed).lognormal(sigma=sigma, size=n)
    median, high = np.median(errors), np.quantile(errors, 0.9, method="higher")
    for novelty, k, n_spreads in ((True, 2.25, 1000), (False, 1.0, 20)):
        clipped = np.minimum(errors, median + n_spreads * (high - median)) if high > median else errors
        expected = clipped.mean() + k * clipped.std()
        expected = expected if novelty else max(expected, high)
        # above the value where an error equals it
        assert auto(errors, novelty) == pytest.approx(expected, rel=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.floats(0, 0.5))
def test_without_novelty_at_most_a_tenth_is_flagged(seed, n, share):
    rng = np.random.default_rng(seed)
    errors = np.where(rng.uniform(size=n) < share, 1.1, 1.0) * rng.uniform(0.99, 1, size=n)
    assert (errors > auto(errors, False)).sum() < 0.1 * n + 1  # quantiles lie between rows


def test_the_tenth_binds_where_a_rule_alone_would_flag_more():
    errors = np.repeat([1.0, 2.0, 2.1], [85, 9, 6])  # mean+1*std is 1.5
    assert parse_rule("mean+1*std")(errors) < 1.6
    assert auto(errors, False) >= 2.0


@pytest.mark.parametrize(("novelty", "n_spreads", "k"), [(True, 1000, 2.25), (False, 20, 1.0)])
def test_a_gross_error_does_not_hide_others(novelty, n_spreads, k):
    gross = [auto(np.r_[ERRORS, size], novelty) for size in (1e5, 1e12, 1e300, np.inf)]
    assert len(set(gross)) == 1  # however gross
    median, high = np.quantile(np.r_[ERRORS, np.inf], [0.5, 0.9])
    counts_as = np.r_[ERRORS, median + n_spreads * (high - median)]
    assert gross[0] == pytest.approx(counts_as.mean() + k * counts_as.std())
    # without the limit the threshold would be above what it is limited to
    assert parse_rule(f"mean+{k}*std")(np.r_[ERRORS, 1e12]) > 1e5 * gross[0]
    if not novelty:
        assert gross[0] < ERRORS.max()


def test_named_rules_are_not_limited():
    errors = np.r_[ERRORS, 1e6]
    assert threshold_rule("mean+1*std", "auto", False)(errors, lambda e: 0.0) == errors.mean() + errors.std()


# ---- the best threshold on labelled rows -------------------------------------------------------------------

F1 = partial(f1_score, pos_label=-1, zero_division=0.0)


@pytest.mark.parametrize(("name", "metric"), [("f1", F1), ("balanced_accuracy", balanced_accuracy_score)])
@given(
    errors=arrays(np.float64, 30, elements=st.sampled_from([0.1, 0.2, 0.25, 1.0, 3.0, 1e9])),
    outlier=arrays(bool, 30).filter(lambda outlier: 0 < outlier.sum() < 30),
)
def test_no_other_threshold_is_better(name, metric, errors, outlier):
    y = np.where(outlier, -1, 1)

    def value(threshold):
        return metric(y, np.where(errors > threshold, -1, 1))

    best = max(map(value, np.unique(errors)))
    assert value(best_threshold(errors, y, name)) >= best - 1e-12
    assert value(best_threshold(errors, y, metric)) >= best - 1e-12


@pytest.mark.parametrize("metric", ["f1", F1])
def test_few_outliers_among_many_rows_are_found(metric):
    errors, y = np.random.default_rng(0).gamma(2, size=5000), np.ones(5000, int)
    y[:3], errors[:3] = -1, [20, 30, 40]
    assert F1(y, np.where(errors > best_threshold(errors, y, metric), -1, 1)) == 1


def test_a_metric_must_return_numbers():
    with pytest.raises(ValueError, match="returned NaN; it must return a number"):
        best_threshold(ERRORS, np.r_[-1, np.ones(199)], lambda y, labels: np.nan)


def test_errors_beyond_any_threshold_are_an_error():
    with pytest.raises(ValueError, match=r"Most errors of the training rows exceed 1e\+150: scale X"):
        threshold_rule("auto", "auto", True)(np.array([1.0, 1e160, 1e200]), lambda error: 0.0)
