"""A row that is a curve, and its reconstruction."""

from __future__ import annotations

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skae.plotting.axes import axes_to_draw_on, remove_upper_and_right_frame
from skae.plotting.fitted import one_row, rows_and_reconstructions


class SignalDisplay:
    """A row and its reconstruction as two curves, with the gap between them filled.

    It is recommended to use `from_estimator` to create a display. All parameters are stored as attributes.

    Parameters
    ----------
    x : ndarray of shape (n_features,)
        Row.
    reconstruction : ndarray of shape (n_features,)
        Its reconstruction.
    error : float
        Its reconstruction error.
    threshold : float, default=None
        Error above which a row is an outlier.

    Attributes
    ----------
    input_line_ : matplotlib Line2D
        Curve of the row.
    reconstruction_line_ : matplotlib Line2D
        Curve of its reconstruction.
    gap_ : matplotlib PolyCollection
        Area between the two.
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure with the axes.

    See Also
    --------
    ReconstructionDisplay : The same for rows that are images.

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
        """Draw the curves. The title says the error and, with a threshold, whether it is above it.

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
        ax = axes_to_draw_on(self, ax)
        position = np.arange(len(self.x))
        gap = {"color": "tab:red", "alpha": 0.25, "lw": 0, "label": "gap", **(gap_kw or {})}
        line = {"color": "black", "lw": 1.5, "label": "input", **(input_kw or {})}
        reconstruction_line = {"color": "tab:red", "lw": 1.5, "label": "reconstruction", **(reconstruction_kw or {})}
        (self.input_line_,) = ax.plot(position, self.x, **line)
        (self.reconstruction_line_,) = ax.plot(position, self.reconstruction, **reconstruction_line)
        self.gap_ = ax.fill_between(position, self.x, self.reconstruction, **gap)
        ax.set(title=title_of_error(self.error, self.threshold), xlabel="feature", ylabel="value")
        ax.margins(x=0)
        remove_upper_and_right_frame(ax)
        ax.legend(frameon=False)
        self.ax_ = ax
        self.figure_ = ax.figure
        return self

    @classmethod
    def from_estimator(cls, estimator, x, *, ax=None, input_kw=None, reconstruction_kw=None, gap_kw=None):
        """Reconstruct a row and draw both.

        Parameters
        ----------
        estimator : autoencoder or AutoEncoderOutlierDetector
            Fitted autoencoder, or detector over one. The title names a detector's threshold.
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
            If x is not one row.
        TypeError
            If the estimator is neither an autoencoder nor a detector.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        X = one_row(x)
        rows, reconstructions = rows_and_reconstructions(estimator, X)
        display = cls(
            x=rows[0],
            reconstruction=reconstructions[0],
            error=-float(estimator.score_samples(X)[0]),
            threshold=getattr(estimator, "threshold_", None),
        )
        return display.plot(ax, input_kw=input_kw, reconstruction_kw=reconstruction_kw, gap_kw=gap_kw)


def title_of_error(error: float, threshold: float | None) -> str:
    """Say how large an error is and, with a threshold, whether it is above it."""
    if threshold is None:
        return f"error {error:.3g}"
    return f"error {error:.3g}, {'above' if error > threshold else 'not above'} the threshold {threshold:.3g}"
