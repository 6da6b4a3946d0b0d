"""Rules that turn training errors into a threshold, in the style of ``SelectFromModel``."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from scipy.stats import median_abs_deviation

# by novelty, chosen on 22 sets of ADBench; without it at most the share FLAGGED of the training rows are outliers
AUTO_RULES = {True: "mean+2.25*std", False: "mean+1*std"}
FLAGGED = 0.1
# by novelty; errors further from the median than so many times their 90% quantile are clipped: they would hide others
AUTO_CLIPS = {True: 1000.0, False: 20.0}
Resolution = Callable[[float], float]  # from an error to how far from it another one is the same
LARGEST = 1e150  # float64 holds its square


def _spread(name: str, errors: np.ndarray, resolution: Resolution) -> float:
    """Return the standard deviation or the median absolute deviation.

    The latter is nothing but rounding where more than half of the errors are equal, as with binary columns. Then it is
    the mean absolute deviation, times what makes both equal for a normal distribution (Iglewicz & Hoaglin 1993).
    """
    if name == "std":
        return float(np.std(errors))
    median, mad = np.median(errors), float(median_abs_deviation(errors))
    return mad if mad > resolution(float(median)) else 0.8453 * float(np.abs(errors - median).mean())


_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RULE = re.compile(
    rf"(?:(?P<factor>{_NUMBER})\*)?(?P<center>mean|median)(?:(?P<sign>[+-])(?:(?P<k>{_NUMBER})\*)?(?P<spread>std|mad))?"
)


def parse_rule(rule: str) -> Callable[..., float]:
    """Return the function from training errors, (n_samples,), and their resolution to the threshold of a rule.

    A rule is "mean" or "median", which may be scaled ("2*median"), perhaps plus or minus a multiple of "std" or of
    "mad", the median absolute deviation.
    """
    match = _RULE.fullmatch(rule.replace(" ", ""))
    factor, k = (float((match and match[name]) or 1) for name in ("factor", "k"))
    if match is None or not np.isfinite([factor, k]).all():
        raise ValueError(
            f"threshold={rule!r} is not a rule. Rules are 'auto', 'mean' or 'median', also scaled ('2*median') or plus "
            "a multiple of 'std' or 'mad' (median absolute deviation): 'mean+1*std', 'median+3*mad'."
        )
    center, spread = match["center"], match["spread"]

    def threshold(errors: np.ndarray, resolution: Resolution = lambda error: 0.0) -> float:
        value = float(getattr(np, center)(errors))
        if value < 0 and factor != 1:
            raise ValueError(
                f"threshold={rule!r} multiplies errors, which must be positive; their {center} is {value:.3g}, as "
                "bounds on densities can be. Add a spread instead: 'median+3*mad'."
            )
        value *= factor
        return value if spread is None else value + float(match["sign"] + "1") * k * _spread(spread, errors, resolution)

    return threshold


def _auto_rule(novelty: bool) -> Callable[..., float]:
    parsed = parse_rule(AUTO_RULES[novelty])

    def rule(errors: np.ndarray, resolution: Resolution) -> float:
        median, high = np.median(errors), np.quantile(errors, 1 - FLAGGED, method="higher")
        clipped = np.minimum(errors, median + AUTO_CLIPS[novelty] * (high - median)) if high > median else errors
        value = parsed(clipped, resolution)
        return value if novelty else max(value, float(high))

    return rule


def threshold_rule(
    threshold: float | str, contamination: float | str, novelty: bool
) -> Callable[[np.ndarray, Resolution], float]:
    """Return the function from training errors and their resolution to the threshold that parameters stand for.

    A threshold that equals some of the errors is put above them: rounding would decide which of them exceed it.
    """
    if not isinstance(contamination, str):
        if threshold != "auto":
            raise ValueError(
                f"threshold={threshold!r} and contamination={contamination!r} both set it: leave one of them at 'auto'."
            )
        share = 100 * contamination

        def rule(errors: np.ndarray, resolution: Resolution) -> float:
            # the quantile of the scores, as IsolationForest takes it; minus turns scores into errors
            return -float(np.percentile(-errors, share))
    elif isinstance(threshold, str):
        rule = _auto_rule(novelty) if threshold == "auto" else parse_rule(threshold)
    else:
        number = float(threshold)
        return lambda errors, resolution: number

    def above_equals(errors: np.ndarray, resolution: Resolution) -> float:
        if np.median(errors) > LARGEST:
            raise ValueError(f"Most errors of the training rows exceed {LARGEST}: scale X (StandardScaler).")
        errors = np.minimum(errors, LARGEST)  # infinite ones are outliers' whatever the threshold
        value = rule(errors, resolution)
        near = resolution(value)
        return value + near if (np.abs(errors - value) <= near).any() else value

    return above_equals


# up to constants, for n_outliers and n_inliers in all, of which a threshold flags so many
METRICS: dict[str, Callable[..., np.ndarray]] = {
    "f1": lambda found, alarms, n_outliers, n_inliers: found / (found + alarms + n_outliers),
    "balanced_accuracy": lambda found, alarms, n_outliers, n_inliers: found / n_outliers - alarms / n_inliers,
}
MAX_TRIED = 500  # thresholds for another metric, half of them the highest


def best_threshold(errors: np.ndarray, y: np.ndarray, metric: str | Callable[[np.ndarray, np.ndarray], float]) -> float:
    """Return the threshold between two of the errors for which the metric of y and the labels is largest."""
    errors = np.minimum(errors, LARGEST)
    distinct = np.unique(errors)
    tried = np.r_[distinct[:-1] + np.diff(distinct) / 2, distinct[-1]]  # the last calls no row an outlier
    if isinstance(metric, str):
        kinds = [np.sort(errors[y == label]) for label in (-1, 1)]
        flagged = [len(kind) - np.searchsorted(kind, tried, side="right") for kind in kinds]
        values = METRICS[metric](*flagged, *map(len, kinds))
    else:
        n, half = len(tried), MAX_TRIED // 2
        tried = tried[np.unique(np.r_[np.linspace(0, n - 1, half).astype(int), np.arange(max(0, n - half), n)])]
        values = np.array([metric(y, np.where(errors > threshold, -1, 1)) for threshold in tried], dtype=float)
        if np.isnan(values).any():
            raise ValueError(f"metric={metric!r} returned NaN; it must return a number, the larger the better.")
    return float(tried[np.argmax(values)])
