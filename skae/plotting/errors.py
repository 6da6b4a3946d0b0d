"""Histograms of reconstruction errors."""

from __future__ import annotations

from typing import Any

import numpy as np

from skae._compat import check_matplotlib_support
from skae.plotting.axes import Display, add_legend
from skae.plotting.checks import check_at_least_one, errors_of_rows, outlier_labels
from skae.plotting.fitted import fitted_detector
from skae.plotting.style import BLUE, LIGHT_BLUE, ORANGE

KINDS: dict[int, dict[str, Any]] = {
    1: {"label": "inliers", "color": LIGHT_BLUE},
    # hatched in black, without edges
    -1: {"label": "outliers", "facecolor": ORANGE, "edgecolor": "black", "linewidth": 0, "hatch": "/////"},
}


class ErrorHistogramDisplay(Display):
    """Histogram of reconstruction errors, with the threshold above which rows are outliers.

    It is recommended to use `from_estimator` or `from_predictions` to create a display. All parameters are stored as
    attributes.

    Parameters
    ----------
    errors : ndarray of shape (n_samples,)
        Reconstruction errors.
    threshold : float, default=None
        Error above which a row is an outlier. If None, it is not drawn.
    y : ndarray of shape (n_samples,), default=None
        Labels of the rows: +1 for inliers, -1 for outliers.

    Attributes
    ----------
    bars_ : list of matplotlib BarContainer
        Histogram of all errors. With ``y``, one histogram of the inliers and one of the outliers.
    bin_edges_ : ndarray of shape (n_bins + 1,)
        Edges of the bins, which are the same for all histograms.
    line_ : matplotlib Line2D or None
        Line at the threshold. None if there is none.
    ax_ : matplotlib Axes
        Axes with the histogram.
    figure_ : matplotlib Figure
        Figure with the axes.

    See Also
    --------
    ThresholdDisplay : Precision and recall against the threshold.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer
    >>> from skae.plotting import ErrorHistogramDisplay
    >>> X = np.random.default_rng(0).normal(size=(200, 1)) @ [[1.0, -1.0, 2.0]]
    >>> X[:10] = X[:10, ::-1]
    >>> y = np.repeat([-1, 1], [10, 190])
    >>> detector = AutoEncoderOutlierDetector(AutoEncoderTransformer(1, random_state=0)).fit(X)
    >>> ErrorHistogramDisplay.from_estimator(detector, X, y, log=True)
    <...>
    >>> plt.show()  # doctest: +SKIP
    """

    def __init__(self, *, errors, threshold=None, y=None):
        self.errors = errors
        self.threshold = threshold
        self.y = y

    def plot(self, ax=None, *, bins=50, log=False, hist_kw=None, line_kw=None):
        """Draw the histogram. The title counts the rows with infinite errors, which have no place on the axis.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        bins : int, default=50
            Number of bins.
        log : bool, default=False
            Whether the error axis is logarithmic, with bins of equal width on that axis. Use it if a few errors are
            much larger than the others.
        hist_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.hist`. With ``{"log": True}`` the axis of counts is
            logarithmic, so that a few outliers are visible among many inliers.
        line_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.axvline`, which draws the threshold.

        Returns
        -------
        display : ErrorHistogramDisplay
            The display itself.

        Raises
        ------
        ValueError
            If all errors are infinite, or ``log`` is True and an error or the threshold is not positive.
        """
        is_finite = np.isfinite(self.errors)
        if not is_finite.any():
            raise ValueError(f"The errors of all {len(is_finite)} rows are infinite: scale the rows (StandardScaler).")
        if log:
            check_positive(self.errors, self.threshold)
            check_at_least_one("bins", bins)
        ax = self._set_axes(ax)
        if log:
            ax.set_xscale("log")
        self.bin_edges_ = _bin_edges(self.errors[is_finite], bins, log)
        groups: list[tuple[np.ndarray, dict]] = [(self.errors[is_finite], {"color": BLUE})]
        if self.y is not None:
            groups = [
                (self.errors[is_finite & (self.y == sign)], kind)
                for sign, kind in KINDS.items()
                if (self.y == sign).any()
            ]
        if n_infinite := (~is_finite).sum():
            ax.set_title(f"not drawn: {n_infinite} with infinite error", fontsize="medium")
        hist_kw = {"alpha": 0.7, **(hist_kw or {})}
        self.bars_ = [ax.hist(errors, self.bin_edges_, **{**kind, **hist_kw})[2] for errors, kind in groups]
        ax.set(xlabel="reconstruction error", ylabel="density" if hist_kw.get("density") else "number of rows")
        self.line_ = draw_threshold(ax, self.threshold, line_kw)
        return self

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, bins=50, log=False, ax=None, hist_kw=None, line_kw=None):
        """Draw the reconstruction errors of rows and the threshold of a detector.

        Parameters
        ----------
        estimator : AutoEncoderOutlierDetector
            Fitted detector.
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), default=None
            Labels of the rows: +1 for inliers, -1 for outliers. If given, inliers and outliers have separate
            histograms.
        bins : int, default=50
            Number of bins.
        log : bool, default=False
            Whether the error axis is logarithmic, with bins of equal width on that axis. Use it if a few errors are
            much larger than the others.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        hist_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.hist`. With ``{"log": True}`` the axis of counts is
            logarithmic, so that a few outliers are visible among many inliers.
        line_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.axvline`, which draws the threshold.

        Returns
        -------
        display : ErrorHistogramDisplay
            Object that holds the errors.

        Raises
        ------
        ValueError
            If y does not have one label of +1 or -1 per row, if all errors are infinite, or if ``log`` is True and an
            error or the threshold is not positive.
        TypeError
            If the estimator is not a detector.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        detector = fitted_detector(estimator)
        errors = -detector.score_samples(X)
        display = cls(errors=errors, threshold=detector.threshold_, y=outlier_labels(y, len(errors)))
        return display.plot(ax, bins=bins, log=log, hist_kw=hist_kw, line_kw=line_kw)

    @classmethod
    def from_predictions(
        cls, y_true, errors, *, threshold=None, bins=50, log=False, ax=None, hist_kw=None, line_kw=None
    ):
        """Draw errors of rows, and a threshold if there is one.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,) or None
            Labels of the rows: +1 for inliers, -1 for outliers. If given, inliers and outliers have separate
            histograms.
        errors : array-like of shape (n_samples,)
            Errors of the rows, such as minus the ``score_samples`` of an outlier detector.
        threshold : float, default=None
            Error above which a row is an outlier. If None, it is not drawn.
        bins : int, default=50
            Number of bins.
        log : bool, default=False
            Whether the error axis is logarithmic, with bins of equal width on that axis. Use it if a few errors are
            much larger than the others.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        hist_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.hist`. With ``{"log": True}`` the axis of counts is
            logarithmic, so that a few outliers are visible among many inliers.
        line_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.axvline`, which draws the threshold.

        Returns
        -------
        display : ErrorHistogramDisplay
            Object that holds the errors.

        Raises
        ------
        ValueError
            If ``errors`` hold NaN or are all infinite, ``y_true`` does not have one label of +1 or -1 per row, or
            ``log`` is True and an error or the threshold is not positive.
        """
        check_matplotlib_support(f"{cls.__name__}.from_predictions")
        errors = errors_of_rows(errors)
        display = cls(errors=errors, threshold=threshold, y=outlier_labels(y_true, len(errors), name="y_true"))
        return display.plot(ax, bins=bins, log=log, hist_kw=hist_kw, line_kw=line_kw)


def _bin_edges(errors: np.ndarray, bins: int, log: bool) -> np.ndarray:
    low, high = errors.min(), errors.max()
    rounding = 1000 * np.spacing(max(abs(low), abs(high)))
    if high - low < rounding:  # equal errors have bins around them
        margin = max(rounding, 0.5)
        low, high = (low / 2, high * 2) if log else (low - margin, high + margin)
    return np.geomspace(low, high, bins + 1) if log else np.histogram_bin_edges(errors, bins, (low, high))


def check_positive(errors: np.ndarray, threshold: float | None) -> None:
    """Raise where errors or a threshold cannot be drawn on a logarithmic axis."""
    for what, value in {"lowest error": errors.min(), "threshold": threshold}.items():
        if value is not None and value <= 0:
            raise ValueError(f"log=True needs positive values, but the {what} is {value:.3g}: set log=False.")


def draw_threshold(ax, threshold: float | None, line_kw: dict | None):
    """Draw a line at the threshold, if there is one, and the legend; return the line. All else has been drawn."""
    from skae.plotting.fitting import label_logarithms

    line = None
    if threshold is not None:
        options = {"color": "black", "ls": "--", "label": f"threshold {threshold:.3g}", **(line_kw or {})}
        line = ax.axvline(threshold, **options)
    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() == "log":
            label_logarithms(axis)
    if ax.get_legend_handles_labels()[0]:
        add_legend(ax, line=line)
    return line
