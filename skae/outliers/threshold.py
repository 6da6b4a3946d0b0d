"""Rules that turn training errors into a threshold, in the style of ``SelectFromModel``."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from scipy.stats import median_abs_deviation

AUTO_RULES = {True: "mean+3*std", False: "median+5*mad"}  # by novelty


def _mad(errors: np.ndarray) -> float:
    """Return the median absolute deviation.

    It is 0 where more than half of the errors are equal, as with binary columns. Then the mean absolute deviation takes
    its place, times what makes the two equal for a normal distribution (Iglewicz & Hoaglin 1993).
    """
    return float(median_abs_deviation(errors)) or 0.8453 * float(np.abs(errors - np.median(errors)).mean())


_STATISTICS: dict[str, Callable[[np.ndarray], float]] = {
    "mean": np.mean,
    "median": np.median,
    "std": np.std,
    "mad": _mad,
}
_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RULE = re.compile(
    rf"(?:(?P<factor>{_NUMBER})\*)?(?P<center>mean|median)"
    rf"|(?P<origin>mean|median)(?P<sign>[+-])(?:(?P<k>{_NUMBER})\*)?(?P<spread>std|mad)"
)


def parse_rule(rule: str) -> Callable[[np.ndarray], float]:
    """Return the function from training errors, (n_samples,), to the threshold that a rule describes.

    Parameters
    ----------
    rule : str
        ``"mean"``, ``"median"`` (either may be scaled, ``"2*median"``), or one of them plus or minus a multiple
        of ``std`` or of ``mad``, the median absolute deviation: ``"mean+1*std"``, ``"median+3*mad"``.

    Raises
    ------
    ValueError
        If the rule does not parse.
    """
    match = _RULE.fullmatch(rule.replace(" ", ""))
    if match is None:
        raise ValueError(
            f"threshold={rule!r} is not a rule. Rules are 'auto', 'mean' or 'median', also scaled ('2*median') or plus "
            "a multiple of the errors' spread, 'std' or 'mad' (median absolute deviation): 'mean+1*std', "
            "'median+3*mad'."
        )
    if match["center"]:
        factor, center = float(match["factor"] or 1), _STATISTICS[match["center"]]

        def scaled(errors: np.ndarray) -> float:
            value = center(errors)
            if value < 0 and factor != 1:
                raise ValueError(
                    f"threshold={rule!r} multiplies errors, which must be positive; their {match['center']} is "
                    f"{value:.3g}, as bounds on densities can be. Add a spread instead: 'median+3*mad'."
                )
            return float(factor * value)

        return scaled
    k = float(match["sign"] + (match["k"] or "1"))
    origin, spread = _STATISTICS[match["origin"]], _STATISTICS[match["spread"]]
    return lambda errors: float(origin(errors) + k * spread(errors))


def threshold_rule(threshold: float | str, contamination: float | str, novelty: bool) -> Callable[[np.ndarray], float]:
    """Return the function from training errors to the threshold that a detector's parameters stand for."""
    if not isinstance(contamination, str):
        if threshold != "auto":
            raise ValueError(
                f"threshold={threshold!r} and contamination={contamination!r} both set the threshold: leave one of "
                "them at 'auto'."
            )
        # the quantile of the scores, as IsolationForest takes it; minus turns scores into errors
        return lambda errors: -float(np.percentile(-errors, 100 * contamination))
    if isinstance(threshold, str):
        return parse_rule(AUTO_RULES[novelty] if threshold == "auto" else threshold)
    number = float(threshold)
    return lambda errors: number
