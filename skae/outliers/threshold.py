"""Rules that turn training errors into a threshold, in the style of ``SelectFromModel``."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from scipy.stats import median_abs_deviation

# with novelty, and without it, where at most the share FLAGGED of the training rows is called outliers; chosen on 22
# sets of ADBench
AUTO_RULES = {True: "mean+2.25*std", False: "mean+1*std"}
FLAGGED = 0.1
# distances of the 90% quantile from the median, beyond which an error counts as that, by novelty: a gross row would
# raise the threshold above all others
AUTO_CLIPS = {True: 1000.0, False: 20.0}
Resolution = Callable[[float], float]  # from an error to how far from it another one is the same
LARGEST = 1e150  # float64 holds its square

_STATISTICS: dict[str, Callable[[np.ndarray], float]] = {"mean": np.mean, "median": np.median}


def _spread(name: str, errors: np.ndarray, resolution: Resolution) -> float:
    """Return the standard deviation or the median absolute deviation.

    The latter is nothing but rounding where more than half of the errors are the same, as with binary columns. Then the
    mean absolute deviation takes its place, times what makes the two equal for a normal distribution (Iglewicz &
    Hoaglin 1993).
    """
    if name == "std":
        return float(np.std(errors))
    median, mad = np.median(errors), float(median_abs_deviation(errors))
    return mad if mad > resolution(float(median)) else 0.8453 * float(np.abs(errors - median).mean())


_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RULE = re.compile(
    rf"(?:(?P<factor>{_NUMBER})\*)?(?P<center>mean|median)"
    rf"|(?P<origin>mean|median)(?P<sign>[+-])(?:(?P<k>{_NUMBER})\*)?(?P<spread>std|mad)"
)


def parse_rule(rule: str) -> Callable[..., float]:
    """Return the function from training errors, (n_samples,), and their resolution to the threshold of a rule.

    A rule is "mean" or "median", which may be scaled ("2*median"), or one of them plus or minus a multiple of "std" or
    of "mad", the median absolute deviation.
    """
    match = _RULE.fullmatch(rule.replace(" ", ""))
    if match is None or not np.isfinite([float(match[name] or 1) for name in ("factor", "k")]).all():
        raise ValueError(
            f"threshold={rule!r} is not a rule. Rules are 'auto', 'mean' or 'median', also scaled ('2*median') or plus "
            "a multiple of the errors' spread, 'std' or 'mad' (median absolute deviation): 'mean+1*std', "
            "'median+3*mad'."
        )
    if match["center"]:
        factor, center = float(match["factor"] or 1), _STATISTICS[match["center"]]

        def scaled(errors: np.ndarray, resolution: Resolution = lambda error: 0.0) -> float:
            value = center(errors)
            if value < 0 and factor != 1:
                raise ValueError(
                    f"threshold={rule!r} multiplies errors, which must be positive; their {match['center']} is "
                    f"{value:.3g}, as bounds on densities can be. Add a spread instead: 'median+3*mad'."
                )
            return float(factor * value)

        return scaled
    k = float(match["sign"] + (match["k"] or "1"))
    origin = _STATISTICS[match["origin"]]

    def shifted(errors: np.ndarray, resolution: Resolution = lambda error: 0.0) -> float:
        return float(origin(errors)) + k * _spread(match["spread"], errors, resolution)

    return shifted


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
                f"threshold={threshold!r} and contamination={contamination!r} both set the threshold: leave one of "
                "them at 'auto'."
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


# of arrays, one item a threshold: outliers found, rows flagged; and of numbers: outliers, inliers
METRICS: dict[str, Callable[..., np.ndarray]] = {
    "f1": lambda found, flagged, n_outliers, n_inliers: 2 * found / (flagged + n_outliers),
    "balanced_accuracy": lambda found, flagged, n_outliers, n_inliers: (
        (1 + found / n_outliers - (flagged - found) / n_inliers) / 2
    ),
}
MAX_TRIED = 500  # thresholds for another metric, half of them the highest


def best_threshold(errors: np.ndarray, y: np.ndarray, metric: str | Callable[[np.ndarray, np.ndarray], float]) -> float:
    """Return the threshold between two of the errors for which the metric of y and the labels is largest."""
    errors = np.minimum(errors, LARGEST)
    distinct = np.unique(errors)
    tried = np.r_[distinct[:-1] + np.diff(distinct) / 2, distinct[-1]]  # the last calls no row an outlier
    if isinstance(metric, str):
        ordered, of_outliers = np.sort(errors), np.sort(errors[y == -1])
        flagged, found = (len(e) - np.searchsorted(e, tried, side="right") for e in (ordered, of_outliers))
        values = METRICS[metric](found, flagged, len(of_outliers), len(errors) - len(of_outliers))
    else:
        n, half = len(tried), MAX_TRIED // 2
        tried = tried[np.unique(np.r_[np.linspace(0, n - 1, half).astype(int), np.arange(max(0, n - half), n)])]
        values = np.array([metric(y, np.where(errors > threshold, -1, 1)) for threshold in tried], dtype=float)
        if np.isnan(values).any():
            raise ValueError(f"metric={metric!r} returned NaN; it must return a number, the larger the better.")
    return float(tried[np.argmax(values)])
