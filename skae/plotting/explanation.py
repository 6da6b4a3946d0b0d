"""The contribution of each feature to the error of a row."""

from __future__ import annotations

from typing import Any

import numpy as np

from skae._compat import check_matplotlib_support
from skae.plotting.axes import Display
from skae.plotting.checks import check_at_least_one, one_row
from skae.plotting.fitted import fitted_detector, row_with_error, rows_of_numbers
from skae.plotting.shapes import GAP, as_images, as_sequences, imshow_options, scaled_images
from skae.plotting.signals import title_of_error

COLOR, COLOR_OF_OTHERS = "tab:red", "lightgray"
INCHES_OF_BAR, INCHES_OF_IMAGE = 0.28, 2.2
INCHES_FOR_LABELS, INCHES_FOR_TITLE = 0.9, 0.6
FIGSIZE_OF_SEQUENCE = (8, 4)
HEIGHT_OF_ERROR = 0.25  # share of the axes that the error of a sequence takes


class ExplanationDisplay(Display):
    """Contribution of each feature to the error of a row, drawn as bars, as an image or as a curve.

    It is recommended to use `from_estimator` to create a display. All parameters are stored as attributes.

    Parameters
    ----------
    x, reconstruction : sequence of float or str of shape (n_features,)
        Row, and its reconstruction by the detector. A value of the row may be None, where it is missing.
    contributions : ndarray of shape (n_features,)
        Contribution of each feature to the error of the row.
    names : sequence of str
        Names of the features.
    error : float
        Error of the row, the sum of the contributions.
    threshold : float
        Error above which a row is an outlier.
    image_shape : tuple of int, default=None
        Shape of a row that is an image: (height, width), or (channels, height, width) with 1 or 3 channels.
    sequence_shape : tuple of int, default=None
        Shape of a row that is a sequence: (n_steps, n_channels).

    Attributes
    ----------
    bars_ : matplotlib BarContainer or None
        Bars of the features, largest first, then one bar of all others. None if the row is an image or a sequence.
    image_ : matplotlib AxesImage or None
        Error of each pixel. None if the row is not an image.
    area_ : matplotlib PolyCollection or None
        Error of each step. None if the row is not a sequence.
    ax_ : matplotlib Axes
        Axes with the plot.
    figure_ : matplotlib Figure
        Figure with the axes.

    See Also
    --------
    SignalDisplay : A row drawn as a curve, and its reconstruction. It also accepts an autoencoder.

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
        """Draw the error. The title says whether it is above the threshold.

        Features are drawn as bars, with the value in the row and the value in the reconstruction beside each bar. An
        image is drawn beside its reconstruction and a map of the error. A sequence is drawn as curves of its channels,
        above a curve of the error. Map and curve show the sum of the error over the channels.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        max_features : int, default=10
            Maximum number of features with a bar of their own. The other features share one bar, so that all bars sum
            to the error.
        error_kw : dict, default=None
            Keyword arguments for the function that draws the error: `matplotlib.axes.Axes.barh`,
            `matplotlib.axes.Axes.imshow` or `matplotlib.axes.Axes.fill_between`.

        Returns
        -------
        display : ExplanationDisplay
            The display itself.

        Raises
        ------
        ValueError
            If ``image_shape`` or ``sequence_shape`` is not a shape of n_features values, both are given, or
            ``max_features`` is less than 1.
        """
        if self.image_shape is not None and self.sequence_shape is not None:
            raise ValueError(
                f"image_shape={self.image_shape!r} and sequence_shape={self.sequence_shape!r} cannot both be set: "
                "leave one of them None."
            )
        check_at_least_one("max_features", max_features)
        self.bars_ = self.image_ = self.area_ = None
        if self.image_shape is not None:
            self._draw_image(ax, error_kw or {})
        elif self.sequence_shape is not None:
            self._draw_sequence(ax, error_kw or {})
        else:
            self._draw_bars(ax, max_features, error_kw or {})
        self.ax_.set_title(title_of_error(self.error, self.threshold))
        return self

    def _draw_bars(self, ax, max_features: int, options: dict):
        order = np.argsort(-self.contributions, kind="stable")
        shown, others = order[:max_features], order[max_features:]
        widths = [*self.contributions[shown]]
        labels = [str(self.names[i]) for i in shown]
        values = [_instead(self.x[i], self.reconstruction[i]) for i in shown]
        if len(others):
            widths.append(self.contributions[others].sum())
            labels.append(f"{len(others)} other" + "s" * (len(others) > 1))
            values.append("")
        n = len(widths)
        ax = self._set_axes(ax, (7, n * INCHES_OF_BAR + INCHES_FOR_LABELS))
        colors = [COLOR] * len(shown) + [COLOR_OF_OTHERS] * (n - len(shown))
        self.bars_ = ax.barh(range(n), widths, **{"color": colors, **options})
        small: dict[str, Any] = {"va": "center", "fontsize": "small", "color": "dimgray"}
        for i, text in enumerate(values):
            ax.annotate(text, (max(widths[i], 0), i), (4, 0), textcoords="offset points", **small)
        ax.set_yticks(range(n), labels)
        ax.tick_params(axis="y", length=0)
        ax.set(ylim=(n - 0.5, -0.5), xlabel="part of the error")

    def _draw_image(self, ax, options: dict):
        images, grey = scaled_images(np.stack([self.x, self.reconstruction]), self.image_shape, self.x, {})
        error = as_images(self.contributions[None], self.image_shape)[0]
        height, width, *channels = images.shape[1:]
        if channels:
            error = error.sum(-1)
        step, inches = width * (1 + GAP), INCHES_OF_IMAGE / max(height, width)
        figsize = (3 * step * inches + INCHES_FOR_LABELS, height * inches + INCHES_FOR_TITLE)
        ax = self._set_axes(ax, figsize, frame=False)
        largest = np.abs(error).max() or 1.0
        signed = error.min() < 0
        cmap, lowest = ("coolwarm", -largest) if signed else ("inferno", 0)
        heat = imshow_options(options, cmap=cmap, vmin=lowest, vmax=largest)
        lefts = [0, step, 2 * step]
        for left, image, scale in zip(lefts, [*images, error], [grey, grey, heat], strict=True):
            self.image_ = ax.imshow(image, **{"extent": (left, left + width, height, 0), **scale})
        ax.figure.colorbar(self.image_, cax=ax.inset_axes([1.02, 0, 0.025, 1])).outline.set_visible(False)
        ax.set(xlim=(0, lefts[2] + width), ylim=(height, 0), yticks=[])
        ax.set_xticks([left + width / 2 for left in lefts], ["image", "reconstruction", "part of the error"])
        ax.tick_params(axis="x", length=0)

    def _draw_sequence(self, ax, options: dict):
        x, reconstruction, contributions = as_sequences(
            np.stack([self.x, self.reconstruction, self.contributions]), self.sequence_shape
        )
        (n_steps, n_channels), error = x.shape, contributions.sum(1)
        steps = np.arange(n_steps)
        ax = self._set_axes(ax, FIGSIZE_OF_SEQUENCE)
        colors = ["black"] if n_channels == 1 else [f"C{channel}" for channel in range(n_channels)]
        for channel, color in enumerate(colors):
            ax.plot(steps, x[:, channel], color=color, label="input" if n_channels == 1 else f"channel {channel + 1}")
        for channel, color in enumerate(colors):
            label = "_" if channel else "reconstruction"
            ax.plot(steps, reconstruction[:, channel], color=color, ls="--", lw=1, label=label)
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        low, high = ax.dataLim.intervaly
        ticks = [tick for tick in ax.get_yticks() if low <= tick <= high]
        ax.set_ylim(high - (high - low or 1.0) / (0.95 - HEIGHT_OF_ERROR))
        ax.set(xlabel="step", ylabel="value", yticks=ticks)
        ax.margins(x=0)

        below = ax.inset_axes([0, 0, 1, HEIGHT_OF_ERROR], sharex=ax, facecolor="none")
        self.area_ = below.fill_between(steps, error, **{"color": COLOR, "lw": 0, **options})
        below.tick_params(axis="x", bottom=False, labelbottom=False)
        below.set_ylabel("error")
        below.margins(0)
        below.spines[["top", "right"]].set_visible(False)

    @classmethod
    def from_estimator(
        cls, estimator, x, *, image_shape=None, sequence_shape=None, max_features=10, ax=None, error_kw=None
    ):
        """Compute the contribution of each feature to the error of a row and draw it.

        Parameters
        ----------
        estimator : AutoEncoderOutlierDetector
            Fitted detector.
        x : array-like of shape (n_features,) or (1, n_features)
            Row.
        image_shape : tuple of int, default=None
            Shape of a row that is an image: (height, width), or (channels, height, width) with 1 or 3 channels.
        sequence_shape : tuple of int, default=None
            Shape of a row that is a sequence: (n_steps, n_channels), as in `LSTMNetwork`.
        max_features : int, default=10
            Maximum number of features with a bar of their own. The other features share one bar, so that all bars sum
            to the error.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        error_kw : dict, default=None
            Keyword arguments for the function that draws the error: `matplotlib.axes.Axes.barh`,
            `matplotlib.axes.Axes.imshow` or `matplotlib.axes.Axes.fill_between`.

        Returns
        -------
        display : ExplanationDisplay
            Object that holds the contributions.

        Raises
        ------
        ValueError
            If x is not one row, ``image_shape`` or ``sequence_shape`` is not a shape of n_features values, both are
            given with each other or with categories, ``max_features`` is less than 1, or the error of the detector is
            not a sum over features.
        TypeError
            If the estimator is not a detector.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        detector = fitted_detector(estimator)
        X = one_row(x)
        if image_shape is not None or sequence_shape is not None:
            rows_of_numbers(detector, X)
        contributions = detector.explain(X)
        display = cls(
            **row_with_error(detector, X),
            contributions=contributions.to_numpy()[0],
            names=list(contributions.columns),
            image_shape=image_shape,
            sequence_shape=sequence_shape,
        )
        return display.plot(ax, max_features=max_features, error_kw=error_kw)


def _instead(value, other) -> str:
    if value is None or value != value:
        return "missing"
    return " instead of ".join(part if isinstance(part, str) else f"{part:.4g}" for part in (value, other))
