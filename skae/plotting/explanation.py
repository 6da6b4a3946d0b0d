"""Which features make a row an outlier."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skae.networks.initialisation import check_shape
from skae.plotting.axes import axes_to_draw_on, remove_upper_and_right_frame
from skae.plotting.fitted import fitted_detector, one_row, rows_and_reconstructions
from skae.plotting.reconstruction import GAP, as_images
from skae.plotting.signals import title_of_error

COLOR, COLOR_OF_OTHERS = "tab:red", "lightgray"
INCHES_OF_BAR, INCHES_OF_IMAGE = 0.28, 2.2
INCHES_FOR_LABELS, INCHES_FOR_TITLE = 0.9, 0.6
FIGSIZE_OF_SEQUENCE = (8, 4)
HEIGHT_OF_ERROR = 0.25  # share of the axes, in the picture of a sequence


class ExplanationDisplay:
    """What each feature adds to the error of a row: bars, an error map of an image or an error curve of a sequence.

    It is recommended to use `from_estimator` to create a display. All parameters are stored as attributes.

    Parameters
    ----------
    x, reconstruction : ndarray of shape (n_features,)
        Row, and what the detector's autoencoder makes of it.
    contributions : ndarray of shape (n_features,)
        What each feature adds to the error of the row.
    names : sequence of str
        Names of the features.
    error : float
        Error of the row, the sum of the contributions.
    threshold : float
        Error above which a row is an outlier.
    image_shape : tuple of int, default=None
        Of a row that is an image its height and width, or channels, height and width, with 1 or 3 channels.
    sequence_shape : tuple of int, default=None
        Of a row that is a sequence the number of steps and of channels.

    Attributes
    ----------
    bars_ : matplotlib BarContainer or None
        The features, largest first, and the others as one; None where the row is an image or a sequence.
    image_ : matplotlib AxesImage or None
        The error of each pixel; None where the row is no image.
    area_ : matplotlib PolyCollection or None
        The error of each step; None where the row is no sequence.
    ax_ : matplotlib Axes
        Axes with the picture.
    figure_ : matplotlib Figure
        Figure with the axes.

    See Also
    --------
    SignalDisplay : A row that is a curve and its reconstruction, without a detector.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_wine
    >>> from skae import AutoEncoderOutlierDetector
    >>> from skae.plotting import ExplanationDisplay
    >>> X, _ = load_wine(return_X_y=True, as_frame=True)
    >>> detector = AutoEncoderOutlierDetector(random_state=0).fit(X)
    >>> worst = detector.score_samples(X).argmin()
    >>> ExplanationDisplay.from_estimator(detector, X.iloc[worst])
    <...>
    >>> plt.show()  # doctest: +SKIP
    """

    def __init__(
        self, *, x, reconstruction, contributions, names, error, threshold, image_shape=None, sequence_shape=None
    ):
        self.x = x
        self.reconstruction = reconstruction
        self.contributions = contributions
        self.names = names
        self.error = error
        self.threshold = threshold
        self.image_shape = image_shape
        self.sequence_shape = sequence_shape

    def plot(self, ax=None, *, max_features=10, error_kw=None):
        """Draw the error, under a title that says whether it is above the threshold.

        Features are bars, beside which stands the row's value and that of the reconstruction. An image and its
        reconstruction are left of the map of the error, and the curve of a sequence's error is under those of its
        channels; both sum over channels.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        max_features : int, default=10
            How many features get a bar of their own, at most. The others share one, so that all sum to the error.
        error_kw : dict, default=None
            Keyword arguments for what draws the error: `matplotlib.axes.Axes.barh`, `matplotlib.axes.Axes.imshow` or
            `matplotlib.axes.Axes.fill_between`.

        Returns
        -------
        display : ExplanationDisplay
            The display itself.

        Raises
        ------
        ValueError
            If ``image_shape`` or ``sequence_shape`` is not the shape of n_features values, both are given, or
            ``max_features`` is less than 1.
        """
        if self.image_shape is not None and self.sequence_shape is not None:
            raise ValueError(
                f"image_shape={self.image_shape!r} and sequence_shape={self.sequence_shape!r} say two things of one "
                "row: leave one of them None."
            )
        if max_features < 1:
            raise ValueError(f"max_features={max_features} leaves no feature to draw: it must be 1 or more.")
        self.bars_ = self.image_ = self.area_ = None
        if self.image_shape is not None:
            ax = self._draw_image(ax, error_kw or {})
        elif self.sequence_shape is not None:
            ax = self._draw_sequence(ax, error_kw or {})
        else:
            ax = self._draw_bars(ax, max_features, error_kw or {})
        ax.set_title(title_of_error(self.error, self.threshold))
        self.ax_ = ax
        self.figure_ = ax.figure
        return self

    def _draw_bars(self, ax, max_features: int, options: dict):
        order = np.argsort(-self.contributions, kind="stable")
        shown, others = order[:max_features], order[max_features:]
        widths = [*self.contributions[shown]]
        labels = [str(self.names[i]) for i in shown]
        values = [f"{self.x[i]:.4g} instead of {self.reconstruction[i]:.4g}" for i in shown]
        if len(others):
            widths.append(self.contributions[others].sum())
            labels.append(f"{len(others)} other" + "s" * (len(others) > 1))
            values.append("")
        n = len(widths)
        ax = axes_to_draw_on(self, ax, (7, n * INCHES_OF_BAR + INCHES_FOR_LABELS))
        colors = [COLOR] * len(shown) + [COLOR_OF_OTHERS] * (n - len(shown))
        self.bars_ = ax.barh(range(n), widths, **{"color": colors, **options})
        small: dict[str, Any] = {"va": "center", "fontsize": "small", "color": "dimgray"}
        for i, text in enumerate(values):
            ax.annotate(text, (max(widths[i], 0), i), (4, 0), textcoords="offset points", **small)
        ax.set_yticks(range(n), labels)
        ax.tick_params(axis="y", length=0)
        ax.set(ylim=(n - 0.5, -0.5), xlabel="part of the error")
        remove_upper_and_right_frame(ax)
        return ax

    def _draw_image(self, ax, options: dict):
        images = as_images(np.stack([self.x, self.reconstruction]), self.image_shape)
        error = as_images(self.contributions[None], self.image_shape)[0]
        height, width, *channels = images.shape[1:]
        low, high = images[0].min(), images[0].max()
        high = high if high > low else low + 1
        if channels:  # imshow scales grey values only
            images = np.clip((images - low) / (high - low), 0, 1)
            error = error.sum(-1)
        step, inches = width * (1 + GAP), INCHES_OF_IMAGE / max(height, width)
        ax = axes_to_draw_on(self, ax, (3 * step * inches + INCHES_FOR_LABELS, height * inches + INCHES_FOR_TITLE))
        largest = np.abs(error).max() or 1.0
        signed = error.min() < 0
        grey = {"cmap": "gray", "vmin": low, "vmax": high}
        heat = {"cmap": "coolwarm" if signed else "inferno", "vmin": -largest if signed else 0, "vmax": largest}
        lefts = [0, step, 2 * step]
        for left, image, scale in zip(lefts, [*images, error], [grey, grey, {**heat, **options}], strict=True):
            self.image_ = ax.imshow(image, **{"extent": (left, left + width, height, 0), **scale})
        ax.figure.colorbar(self.image_, cax=ax.inset_axes([1.02, 0, 0.025, 1])).outline.set_visible(False)
        ax.set(xlim=(0, lefts[2] + width), ylim=(height, 0), yticks=[])
        ax.set_xticks([left + width / 2 for left in lefts], ["image", "reconstruction", "part of the error"])
        ax.tick_params(axis="x", length=0)
        ax.spines[:].set_visible(False)
        return ax

    def _draw_sequence(self, ax, options: dict):
        shape = check_shape("sequence_shape", self.sequence_shape, "(n_steps, n_channels)", "(140, 1)", len(self.x))
        x, reconstruction, contributions = (
            rows.reshape(shape) for rows in (self.x, self.reconstruction, self.contributions)
        )
        steps, error = np.arange(shape[0]), contributions.sum(1)
        ax = axes_to_draw_on(self, ax, FIGSIZE_OF_SEQUENCE)
        colors = ["black"] if shape[1] == 1 else [f"C{channel}" for channel in range(shape[1])]
        for channel, color in enumerate(colors):
            ax.plot(steps, x[:, channel], color=color, label="input" if shape[1] == 1 else f"channel {channel + 1}")
        for channel, color in enumerate(colors):
            label = "_" if channel else "reconstruction"
            ax.plot(steps, reconstruction[:, channel], color=color, ls="--", lw=1, label=label)
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        low, high = ax.dataLim.intervaly
        ticks = [tick for tick in ax.get_yticks() if low <= tick <= high]
        ax.set_ylim(high - (high - low or 1.0) / (0.95 - HEIGHT_OF_ERROR))
        ax.set(xlabel="step", ylabel="value", yticks=ticks)
        ax.margins(x=0)
        remove_upper_and_right_frame(ax)

        below = ax.inset_axes([0, 0, 1, HEIGHT_OF_ERROR], sharex=ax, facecolor="none")
        self.area_ = below.fill_between(steps, error, **{"color": COLOR, "lw": 0, **options})
        below.tick_params(axis="x", bottom=False, labelbottom=False)
        below.set_ylabel("error")
        below.margins(0)
        remove_upper_and_right_frame(below)
        return ax

    @classmethod
    def from_estimator(
        cls, estimator, x, *, image_shape=None, sequence_shape=None, max_features=10, ax=None, error_kw=None
    ):
        """Share out the error of a row among its features and draw it.

        Parameters
        ----------
        estimator : AutoEncoderOutlierDetector
            Fitted detector.
        x : array-like of shape (n_features,) or (1, n_features)
            Row.
        image_shape : tuple of int, default=None
            Of a row that is an image its height and width, or channels, height and width, with 1 or 3 channels.
        sequence_shape : tuple of int, default=None
            Of a row that is a sequence the number of steps and of channels, as `LSTMNetwork` takes it.
        max_features : int, default=10
            How many features get a bar of their own, at most. The others share one, so that all sum to the error.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        error_kw : dict, default=None
            Keyword arguments for what draws the error: `matplotlib.axes.Axes.barh`, `matplotlib.axes.Axes.imshow` or
            `matplotlib.axes.Axes.fill_between`.

        Returns
        -------
        display : ExplanationDisplay
            Object that holds the parts of the error.

        Raises
        ------
        ValueError
            If x is not one row, ``image_shape`` or ``sequence_shape`` is not the shape of n_features values, both are
            given, ``max_features`` is less than 1, or the detector's error does not belong to single features.
        TypeError
            If the estimator is not a detector.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        detector = fitted_detector(estimator)
        X = one_row(x)
        rows, reconstructions = rows_and_reconstructions(detector, X)
        contributions = detector.explain(X)
        display = cls(
            x=rows[0],
            reconstruction=reconstructions[0],
            contributions=contributions.to_numpy()[0],
            names=list(contributions.columns),
            error=-float(detector.score_samples(X)[0]),
            threshold=detector.threshold_,
            image_shape=image_shape,
            sequence_shape=sequence_shape,
        )
        return display.plot(ax, max_features=max_features, error_kw=error_kw)
