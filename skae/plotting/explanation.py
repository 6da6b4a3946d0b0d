"""The contribution of each feature to the error of a row."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from skae._compat import check_matplotlib_support
from skae.images import as_images
from skae.plotting.axes import Display, add_legend, literal
from skae.plotting.checks import check_at_least_one, one_row
from skae.plotting.fitted import fitted_detector, row_with_error, rows_of_numbers
from skae.plotting.shapes import GAP, as_sequences, imshow_options, scaled_images
from skae.plotting.signals import title_of_error
from skae.plotting.style import BLUE, ORANGE, class_style

INCHES_OF_BAR, INCHES_OF_IMAGE = 0.28, 1.7
INCHES_FOR_LABELS, INCHES_FOR_TITLE = 1.0, 0.75
FIGSIZE_OF_SEQUENCE = (6.4, 3.8)
POINTS_AFTER_BAR, LEAST_SHARE_OF_BARS = 4, 0.4
POINTS_OF_BAR = (6, 6, 4)  # before, of and after a bar of colours
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
        """Draw the error. The title says whether the row is an outlier.

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
        return self

    def _draw_bars(self, ax, max_features: int, options: dict):
        from skae.plotting.fitting import Fitter

        order = np.argsort(-self.contributions, kind="stable")
        shown, others = order[:max_features], order[max_features:]
        widths = [*self.contributions[shown]]
        labels = [literal(self.names[i]) for i in shown]
        values = [_instead(self.x[i], self.reconstruction[i]) for i in shown]
        if len(others):
            widths.append(self.contributions[others].sum())
            labels.append(f"{len(others)} other" + "s" * (len(others) > 1))
            values.append("")
        n = len(widths)
        ax = self._set_axes(ax, (6.4, n * INCHES_OF_BAR + INCHES_FOR_LABELS))
        colors = [ORANGE] * len(shown) + ["lightgray"] * (n - len(shown))
        self.bars_ = ax.barh(range(n), widths, **{"color": colors, **options})
        ax.set_title(**title_of_error(self.error, self.threshold))
        ax.set_yticks(range(n), labels)
        ax.tick_params(axis="y", length=0)
        ax.set(ylim=(n - 0.5, -0.5), xlabel="part of the error")
        small: dict[str, Any] = {"va": "center", "color": "dimgray", "textcoords": "offset points", "in_layout": False}
        texts = [
            ax.annotate(text, (max(width, 0), i), (POINTS_AFTER_BAR, 0), **small)
            for i, (text, width) in enumerate(zip(values, widths, strict=True))
        ]
        Fitter(ax, partial(_fit_bars, ax, texts, ax.get_xlim()))

    def _draw_image(self, ax, options: dict):
        from skae.plotting.fitting import Fitter

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
        # of a signed error the sign is the lightness, so that it can be seen on paper, too
        cmap, lowest = ("cividis", -largest) if signed else ("inferno", 0)
        heat = imshow_options(options, cmap=cmap, vmin=lowest, vmax=largest)
        lefts = [0, step, 2 * step]
        for left, image, scale in zip(lefts, [*images, error], [grey, grey, heat], strict=True):
            image = ax.imshow(image, **{"extent": (left, left + width, height, 0), **scale})
        self.image_ = image
        ax.set_title(**title_of_error(self.error, self.threshold))
        ax.set_xticks([left + width / 2 for left in lefts], ["input", "reconstruction", "error"])
        ax.tick_params(axis="x", length=0)
        # the colours and their limits are within the axes, beside the images
        low, high = image.get_clim()
        colors = np.linspace(high, low, 256)[:, None]
        bar = ax.imshow(colors, cmap=image.get_cmap(), norm=image.norm)
        limits = [
            ax.text(0, y, f"{value:.2g}", va=va, in_layout=False)
            for y, value, va in ((0, high, "top"), (height, low, "bottom"))
        ]
        ax.set(xlim=(0, lefts[2] + width), ylim=(height, 0), yticks=[])
        Fitter(ax, partial(_fit_image, ax, bar, limits, lefts[2] + width, height))

    def _draw_sequence(self, ax, options: dict):
        x, reconstruction, contributions = as_sequences(
            np.stack([self.x, self.reconstruction, self.contributions]), self.sequence_shape
        )
        (n_steps, n_channels), error = x.shape, contributions.sum(1)
        steps = np.arange(n_steps)
        ax = self._set_axes(ax, FIGSIZE_OF_SEQUENCE)
        colors = ["black"] if n_channels == 1 else [class_style(channel)[0] for channel in range(n_channels)]
        for channel, color in enumerate(colors):
            ax.plot(steps, x[:, channel], color=color, label="input" if n_channels == 1 else f"channel {channel + 1}")
        for channel, color in enumerate(colors):
            label = "_" if channel else "reconstruction"
            other = BLUE if n_channels == 1 else color
            ax.plot(steps, reconstruction[:, channel], color=other, ls="--", lw=1.2, label=label)
        ax.margins(x=0)
        ax.set(xlabel="step")
        ax.set_title(**title_of_error(self.error, self.threshold))
        low, high = ax.dataLim.intervaly
        ticks = [tick for tick in ax.get_yticks() if low <= tick <= high]
        ax.set_ylim(high - (high - low or 1.0) / (0.95 - HEIGHT_OF_ERROR))
        add_legend(ax)
        ax.set_yticks(ticks)
        ax.set_ylabel("value", y=(1 + HEIGHT_OF_ERROR) / 2)

        below = ax.inset_axes([0, 0, 1, HEIGHT_OF_ERROR], sharex=ax, facecolor="none")
        self.area_ = below.fill_between(steps, error, **{"color": ORANGE, "lw": 0, **options})
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


def _fit_bars(ax, texts: list, limits: tuple[float, float], renderer) -> None:
    """Choose the font sizes, and extend the axes to the right until the texts beside the bars are within."""
    from skae.plotting.fitting import are_apart, extent_in_points, font_size, shrink, size_in_points

    width, _ = size_in_points(ax)
    ends = np.array([text.xy[0] for text in texts])
    low, high = limits

    def fit() -> bool:
        shares = 1 - np.array([POINTS_AFTER_BAR + extent_in_points(text, renderer)[0] for text in texts]) / width
        ax.set_xlim(low, max(high, low + ((ends - low) / np.maximum(shares, LEAST_SHARE_OF_BARS)).max()))
        return shares.min() > LEAST_SHARE_OF_BARS and are_apart(texts, renderer)

    shrink(texts, font_size("small"), fit)
    labels = ax.get_yticklabels()
    shrink(labels, font_size(), partial(are_apart, labels, renderer))


def _fit_image(ax, bar, limits: list, right: float, height: float, renderer) -> None:
    """Make room for the bar of colours and its limits, and choose the font size of the labels."""
    from skae.plotting.fitting import are_apart, extent_in_points, font_size, shrink, size_in_points

    axes_width, axes_height = size_in_points(ax)
    before, thickness, after = POINTS_OF_BAR

    def measure() -> tuple[float, float]:  # the room beside the images and the size of a pixel
        room = before + thickness + after + max(extent_in_points(text, renderer)[0] for text in limits)
        return room, min(max(axes_width - room, 0.5 * axes_width) / right, axes_height / height)

    shrink(limits, font_size(), lambda: 2.4 * limits[0].get_fontsize() <= measure()[1] * height)
    room, pixel = measure()
    ax.set_xlim(0, right + room / pixel)
    bar.set_extent((right + before / pixel, right + (before + thickness) / pixel, height, 0))
    for text in limits:
        text.set_x(right + (before + thickness + after) / pixel)
    ax.apply_aspect()
    labels = ax.get_xticklabels()
    shrink(labels, font_size(), partial(are_apart, labels, renderer))


def _instead(value, other) -> str:
    if value is None or value != value:
        return "missing"
    texts = [part if isinstance(part, str) else f"{part:.4g}" for part in (value, other)]
    return literal(" instead of ".join(dict.fromkeys(texts)))  # once where they are the same
