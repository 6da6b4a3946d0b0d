"""Histograms of reconstruction errors."""

from __future__ import annotations

import numpy as np

from skae._compat import check_matplotlib_support
from skae.plotting.axes import Display
from skae.plotting.checks import one_label_per_row
from skae.plotting.fitted import fitted_detector

KINDS = {1: ("inliers", "tab:blue"), -1: ("outliers", "tab:red")}


class ErrorHistogramDisplay(Display):
    """Histogram of reconstruction errors, with the threshold above which rows are outliers.

    It is recommended to use `from_estimator` to create a display. All parameters are stored as attributes.

    Parameters
    ----------
    errors : ndarray of shape (n_samples,)
        Reconstruction errors.
    threshold : float
        Error above which a row is an outlier.
    y : ndarray of shape (n_samples,), default=None
        Labels of the rows: +1 for inliers, -1 for outliers.

    Attributes
    ----------
    bars_ : list of matplotlib BarContainer
        Histogram of all errors. With ``y``, one histogram of the inliers and one of the outliers.
    bin_edges_ : ndarray of shape (n_bins + 1,)
        Edges of the bins, which are the same for all histograms.
    line_ : matplotlib Line2D
        Line at the threshold.
    ax_ : matplotlib Axes
        Axes with the histogram.
    figure_ : matplotlib Figure
        Figure with the axes.

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

    def __init__(self, *, errors, threshold, y=None):
        self.errors = errors
        self.threshold = threshold
        self.y = y

    def plot(self, ax=None, *, bins=50, log=False, hist_kw=None, line_kw=None):
        """Draw the histogram.

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
            If ``log`` is True and an error or the threshold is not positive.
        """
        lowest = min(self.errors.min(), self.threshold)
        if log and lowest <= 0:
            what = "threshold" if lowest == self.threshold else "lowest error"
            raise ValueError(f"log=True needs positive values, but the {what} is {lowest:.3g}: set log=False.")
        ax = self._set_axes(ax)
        if log:
            ax.set_xscale("log")
            self.bin_edges_ = np.geomspace(self.errors.min(), self.errors.max(), bins + 1)
        else:
            self.bin_edges_ = np.histogram_bin_edges(self.errors, bins)
        groups: list[tuple[np.ndarray, str | None, str]] = [(self.errors, None, "tab:blue")]
        if self.y is not None:
            groups = [(self.errors[self.y == sign], *kind) for sign, kind in KINDS.items() if (self.y == sign).any()]
        hist_kw = {"alpha": 0.6, **(hist_kw or {})}
        self.bars_ = [
            ax.hist(errors, self.bin_edges_, **{"color": color, "label": label, **hist_kw})[2]
            for errors, label, color in groups
        ]
        label = f"threshold {self.threshold:.3g}"
        self.line_ = ax.axvline(self.threshold, **{"color": "black", "ls": "--", "label": label, **(line_kw or {})})
        ax.set(xlabel="reconstruction error", ylabel="density" if hist_kw.get("density") else "number of rows")
        ax.legend(frameon=False)
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
            If y does not have one label of +1 or -1 per row, or if ``log`` is True and an error or the threshold is
            not positive.
        TypeError
            If the estimator is not a detector.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        detector = fitted_detector(estimator)
        errors = -detector.score_samples(X)
        y = one_label_per_row(y, len(errors))
        if y is not None and not ((y == 1) | (y == -1)).all():
            raise ValueError(
                f"y has the labels {np.unique(y)[:5]}, but inliers must be labelled +1 and outliers -1. If outliers "
                "are labelled 1, pass np.where(y == 1, -1, 1)."
            )
        display = cls(errors=errors, threshold=detector.threshold_, y=y)
        return display.plot(ax, bins=bins, log=log, hist_kw=hist_kw, line_kw=line_kw)
