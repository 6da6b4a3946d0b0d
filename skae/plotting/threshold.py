"""Precision and recall of outliers against the threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve

from skae._compat import check_matplotlib_support
from skae.plotting.axes import Display
from skae.plotting.checks import errors_of_rows, outlier_labels
from skae.plotting.errors import check_positive, draw_threshold
from skae.plotting.fitted import fitted_detector
from skae.plotting.style import BLUE, ORANGE

CURVES: dict[str, dict[str, Any]] = {
    "precision": {"color": BLUE, "ls": "--"},
    "recall": {"color": ORANGE, "ls": ":", "lw": 2},
    "F1": {"color": "black", "lw": 2},
}


class ThresholdDisplay(Display):
    """Precision, recall and F1 of the outliers for every threshold of the error, with the chosen one marked.

    It is recommended to use `from_estimator` or `from_predictions` to create a display. All parameters are stored as
    attributes.

    Parameters
    ----------
    thresholds : ndarray of shape (n_thresholds,)
        Errors of the rows, in ascending order. One that is infinite is not drawn.
    precision, recall : ndarray of shape (n_thresholds,)
        Precision and recall where the rows of at least this error are called outliers, as
        `sklearn.metrics.precision_recall_curve` returns them.
    threshold : float, default=None
        Error above which a row is called an outlier. If None, no threshold is marked.

    Attributes
    ----------
    lines_ : dict of str to matplotlib Line2D
        Curves of "precision", "recall" and "F1".
    line_ : matplotlib Line2D or None
        Line at the threshold. None if there is none.
    points_ : matplotlib Line2D or None
        Points of the curves at the threshold. None if there is none, or no row has a larger error.
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure with the axes.

    See Also
    --------
    ErrorHistogramDisplay : Histogram of the errors, with the threshold.
    sklearn.metrics.PrecisionRecallDisplay : Precision against recall.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer
    >>> from skae.plotting import ThresholdDisplay
    >>> X = np.random.default_rng(0).normal(size=(200, 1)) @ [[1.0, -1.0, 2.0]]
    >>> X[:10] = X[:10, ::-1]
    >>> y = np.repeat([-1, 1], [10, 190])
    >>> detector = AutoEncoderOutlierDetector(AutoEncoderTransformer(1, random_state=0)).fit(X)
    >>> ThresholdDisplay.from_estimator(detector, X, y, log=True)
    <...>
    >>> plt.show()  # doctest: +SKIP
    """

    def __init__(self, *, thresholds, precision, recall, threshold=None):
        self.thresholds = thresholds
        self.precision = precision
        self.recall = recall
        self.threshold = threshold

    def plot(self, ax=None, *, log=False, curve_kw=None, line_kw=None):
        """Draw the curves. The legend gives their values at the threshold.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        log : bool, default=False
            Whether the error axis is logarithmic. Use it if a few errors are much larger than the others.
        curve_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.plot`, which draws the curves.
        line_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.axvline`, which draws the threshold.

        Returns
        -------
        display : ThresholdDisplay
            The display itself.

        Raises
        ------
        ValueError
            If ``log`` is True and an error or the threshold is not positive.
        """
        if log:
            check_positive(self.thresholds, self.threshold)
        ax = self._set_axes(ax)
        if log:
            ax.set_xscale("log")
        total = self.precision + self.recall
        f1 = np.divide(2 * self.precision * self.recall, total, out=np.zeros(len(total)), where=total > 0)
        values = dict(zip(CURVES, [self.precision, self.recall, f1], strict=True))
        at = None  # of the lowest error above the threshold, so that this and all larger ones are outliers'
        if self.threshold is not None and self.threshold < self.thresholds[-1]:
            at = np.searchsorted(self.thresholds, self.threshold, side="right")
        self.lines_ = {}
        for name, style in CURVES.items():
            label = name if at is None else f"{name} {values[name][at]:.2f}"
            options = {"drawstyle": "steps-pre", **style, "label": label, **(curve_kw or {})}
            (self.lines_[name],) = ax.plot(self.thresholds, values[name], **options)
        self.points_ = None
        if at is not None:
            marked = [curve[at] for curve in values.values()]
            (self.points_,) = ax.plot([self.threshold] * 3, marked, "o", ms=4, color="black", label="_")
        ax.set(xlabel="error threshold", ylabel="metric", ylim=(-0.03, 1.03))
        self.line_ = draw_threshold(ax, self.threshold, line_kw)
        ax.set_yticks(np.linspace(0, 1, 6))
        return self

    @classmethod
    def from_estimator(cls, estimator, X, y, *, log=False, ax=None, curve_kw=None, line_kw=None):
        """Draw the metrics of a detector on labelled rows, and its threshold.

        Parameters
        ----------
        estimator : AutoEncoderOutlierDetector
            Fitted detector.
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Labels of the rows: +1 for inliers, -1 for outliers.
        log : bool, default=False
            Whether the error axis is logarithmic. Use it if a few errors are much larger than the others.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        curve_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.plot`, which draws the curves.
        line_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.axvline`, which draws the threshold.

        Returns
        -------
        display : ThresholdDisplay
            Object that holds the metrics.

        Raises
        ------
        ValueError
            If y does not have one label of +1 or -1 per row, or no -1, or if ``log`` is True and an error or the
            threshold is not positive.
        TypeError
            If the estimator is not a detector.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        See Also
        --------
        skae.AutoEncoderOutlierDetector.tune_threshold : Sets the threshold with the largest F1.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        detector = fitted_detector(estimator)
        display = cls._of_errors(-detector.score_samples(X), y, "y", detector.threshold_)
        return display.plot(ax, log=log, curve_kw=curve_kw, line_kw=line_kw)

    @classmethod
    def from_predictions(cls, y_true, errors, *, threshold=None, log=False, ax=None, curve_kw=None, line_kw=None):
        """Draw the metrics of errors of labelled rows, and a threshold if there is one.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Labels of the rows: +1 for inliers, -1 for outliers.
        errors : array-like of shape (n_samples,)
            Errors of the rows, such as minus the ``score_samples`` of an outlier detector.
        threshold : float, default=None
            Error above which a row is called an outlier. If None, no threshold is marked.
        log : bool, default=False
            Whether the error axis is logarithmic. Use it if a few errors are much larger than the others.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        curve_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.plot`, which draws the curves.
        line_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.axvline`, which draws the threshold.

        Returns
        -------
        display : ThresholdDisplay
            Object that holds the metrics.

        Raises
        ------
        ValueError
            If ``errors`` hold NaN, ``y_true`` does not have one label of +1 or -1 per row, or no -1, or
            if ``log`` is True and an error or the threshold is not positive.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from skae.plotting import ThresholdDisplay
        >>> ThresholdDisplay.from_predictions([1, 1, 1, -1, -1], [0.1, 0.2, 0.4, 0.3, 0.5], threshold=0.25)
        <...>
        >>> plt.show()  # doctest: +SKIP
        """
        check_matplotlib_support(f"{cls.__name__}.from_predictions")
        display = cls._of_errors(errors_of_rows(errors), y_true, "y_true", threshold)
        return display.plot(ax, log=log, curve_kw=curve_kw, line_kw=line_kw)

    @classmethod
    def _of_errors(cls, errors, y, name: str, threshold: float | None) -> ThresholdDisplay:
        y = outlier_labels(y, len(errors), name)
        if y is None or not (y == -1).any():
            raise ValueError(f"{name} must label some rows -1, as outliers, to measure how many of them are found.")
        largest = np.finfo(np.float64).max  # stands for infinity, which scikit-learn does not take
        precision, recall, thresholds = precision_recall_curve(y == -1, np.minimum(errors, largest))
        thresholds[thresholds == largest] = np.inf
        # without the last, where no row is an outlier
        return cls(thresholds=thresholds, precision=precision[:-1], recall=recall[:-1], threshold=threshold)
