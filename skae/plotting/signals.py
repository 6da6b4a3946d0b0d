"""A row drawn as a curve, and its reconstruction."""

from __future__ import annotations

import numpy as np

from skae._compat import check_matplotlib_support
from skae.plotting.axes import Display, add_legend
from skae.plotting.checks import one_row
from skae.plotting.fitted import row_with_error, rows_of_numbers
from skae.plotting.style import ORANGE


class SignalDisplay(Display):
    """A row and its reconstruction as two curves, with the gap between them filled.

    It is recommended to use `from_estimator` to create a display. All parameters are stored as attributes.

    Parameters
    ----------
    x : ndarray of shape (n_features,)
        Row.
    reconstruction : ndarray of shape (n_features,)
        Reconstruction of the row.
    error : float
        Reconstruction error of the row.
    threshold : float, default=None
        Error above which a row is an outlier.

    Attributes
    ----------
    input_line_ : matplotlib Line2D
        Curve of the row.
    reconstruction_line_ : matplotlib Line2D
        Curve of the reconstruction.
    gap_ : matplotlib PolyCollection
        Area between the two curves.
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure with the axes.

    See Also
    --------
    ReconstructionDisplay : Rows drawn as images, and their reconstructions.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from skae import AutoEncoderTransformer
    >>> from skae.plotting import SignalDisplay
    >>> phase = np.random.default_rng(0).uniform(0, 6, size=(200, 1))
    >>> X = np.sin(np.linspace(0, 6, 50) + phase)
    >>> autoencoder = AutoEncoderTransformer(2, max_iter=5, random_state=0).fit(X)
    >>> SignalDisplay.from_estimator(autoencoder, X[0])
    <...>
    >>> plt.show()  # doctest: +SKIP
    """

    def __init__(self, *, x, reconstruction, error, threshold=None):
        self.x = x
        self.reconstruction = reconstruction
        self.error = error
        self.threshold = threshold

    def plot(self, ax=None, *, input_kw=None, reconstruction_kw=None, gap_kw=None):
        """Draw the curves. The title gives the error and, with a threshold, says whether the row is an outlier.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        input_kw, reconstruction_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.plot`, which draws the curves.
        gap_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.fill_between`, which fills the gap.

        Returns
        -------
        display : SignalDisplay
            The display itself.
        """
        ax = self._set_axes(ax)
        position = np.arange(len(self.x))
        gap = {"color": ORANGE, "alpha": 0.3, "lw": 0, "label": "gap", **(gap_kw or {})}
        line = {"color": "black", "lw": 1.5, "label": "input", **(input_kw or {})}
        other_line = {"color": ORANGE, "lw": 1.5, "ls": "--", "label": "reconstruction", **(reconstruction_kw or {})}
        (self.input_line_,) = ax.plot(position, self.x, **line)
        (self.reconstruction_line_,) = ax.plot(position, self.reconstruction, **other_line)
        self.gap_ = ax.fill_between(position, self.x, self.reconstruction, **gap)
        ax.set_title(**title_of_error(self.error, self.threshold))
        ax.set(xlabel="feature", ylabel="value")
        ax.margins(x=0)
        add_legend(ax)
        return self

    @classmethod
    def from_estimator(cls, estimator, x, *, ax=None, input_kw=None, reconstruction_kw=None, gap_kw=None):
        """Reconstruct a row and draw both.

        Parameters
        ----------
        estimator : autoencoder or AutoEncoderOutlierDetector
            Fitted autoencoder or detector. With a detector, the title also gives the threshold.
        x : array-like of shape (n_features,) or (1, n_features)
            Row.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        input_kw, reconstruction_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.plot`, which draws the curves.
        gap_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.fill_between`, which fills the gap.

        Returns
        -------
        display : SignalDisplay
            Object that holds the curves.

        Raises
        ------
        ValueError
            If x is not one row, or some of its columns are categories.
        TypeError
            If the estimator is neither an autoencoder nor a detector.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        row = one_row(x)
        rows_of_numbers(estimator, row)
        display = cls(**row_with_error(estimator, row))
        return display.plot(ax, input_kw=input_kw, reconstruction_kw=reconstruction_kw, gap_kw=gap_kw)


def title_of_error(error: float, threshold: float | None) -> dict:
    """Return a title with the error and, if there is a threshold, what it makes of the row."""
    text = f"error {error:.3g}"
    if threshold is not None:
        # short lines, which small axes have room for
        text += f" ({'outlier' if error > threshold else 'inlier'})\nthreshold {threshold:.3g}"
    return {"label": text, "fontsize": "medium"}
