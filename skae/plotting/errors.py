"""Where the threshold lies among the errors."""

from __future__ import annotations

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skae.plotting.axes import axes_to_draw_on, remove_upper_and_right_frame
from skae.plotting.fitted import fitted_detector
from skae.plotting.labels import one_label_a_row

KINDS = {1: ("inliers", "tab:blue"), -1: ("outliers", "tab:red")}


class ErrorHistogramDisplay:
    """Histogram of reconstruction errors, and the threshold above which rows are outliers.

    It is recommended to use `from_estimator` to create a display. All parameters are stored as attributes.

    Parameters
    ----------
    errors : ndarray of shape (n_samples,)
        Reconstruction errors.
    threshold : float
        Error above which a row is an outlier.
    y : ndarray of shape (n_samples,), default=None
        What the rows are: +1 for inliers, -1 for outliers.

    Attributes
    ----------
    bars_ : list of matplotlib BarContainer
        The histogram of all errors or, with ``y``, of those of the inliers and of the outliers.
    bin_edges_ : ndarray of shape (n_bins + 1,)
        Edges of the bins, the same for all histograms.
    line_ : matplotlib Line2D
        The line at the threshold.
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
            Whether the error axis is logarithmic, and the bins are equally wide on it. It shows more where a few
            errors are far above the others.
        hist_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.hist`, such as ``{"log": True}`` for a
            logarithmic axis of counts, on which few outliers show among many inliers.
        line_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.axvline`, which draws the threshold.

        Returns
        -------
        display : ErrorHistogramDisplay
            The display itself.

        Raises
        ------
        ValueError
            If an axis is to be logarithmic on which zero or less is to be drawn.
        """
        lowest = min(self.errors.min(), self.threshold)
        if log and lowest <= 0:
            what = "threshold" if lowest == self.threshold else "lowest error"
            raise ValueError(f"log=True cannot show the {what}, {lowest:.3g}: set log=False.")
        ax = axes_to_draw_on(self, ax)
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
        remove_upper_and_right_frame(ax)
        ax.legend(frameon=False)
        self.ax_ = ax
        self.figure_ = ax.figure
        return self

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, bins=50, log=False, ax=None, hist_kw=None, line_kw=None):
        """Draw the errors of rows, and a detector's threshold.

        Parameters
        ----------
        estimator : AutoEncoderOutlierDetector
            Fitted detector.
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), default=None
            What the rows are: +1 for inliers, -1 for outliers. Each get a histogram of their own.
        bins : int, default=50
            Number of bins.
        log : bool, default=False
            Whether the error axis is logarithmic, and the bins are equally wide on it. It shows more where a few
            errors are far above the others.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        hist_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.hist`, such as ``{"log": True}`` for a
            logarithmic axis of counts, on which few outliers show among many inliers.
        line_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.axvline`, which draws the threshold.

        Returns
        -------
        display : ErrorHistogramDisplay
            Object that holds the errors.

        Raises
        ------
        ValueError
            If y has not a label of +1 or -1 for each row, or an axis is to be logarithmic on which zero or less is to
            be drawn.
        TypeError
            If the estimator is not a detector.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        detector = fitted_detector(estimator)
        errors = -detector.score_samples(X)
        y = one_label_a_row(y, len(errors))
        if y is not None and not ((y == 1) | (y == -1)).all():
            raise ValueError(
                f"y has the labels {np.unique(y)[:5]}: label inliers +1 and outliers -1. If 1 stands for outliers, "
                "give np.where(y == 1, -1, 1)."
            )
        display = cls(errors=errors, threshold=detector.threshold_, y=y)
        return display.plot(ax, bins=bins, log=log, hist_kw=hist_kw, line_kw=line_kw)
