"""Images over their reconstructions."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skae.plotting.axes import axes_to_draw_on
from skae.plotting.fitted import fitted_estimator, rows_and_reconstructions, rows_for_autoencoder

GAP = 0.08  # between images, in widths of one
INCHES = 0.75  # height and, if it is as wide, width of an image
INCHES_FOR_LABELS = 1.15
INCHES_FOR_EDGES = 0.08


class ReconstructionDisplay:
    """Images over their reconstructions, and under their noisy versions if there are any.

    It is recommended to use `from_estimator` to create a display. All parameters are stored as attributes.

    Parameters
    ----------
    originals : ndarray of shape (n_images, n_features)
        Images, an image a row.
    reconstructions : ndarray of shape (n_images, n_features)
        Their reconstructions.
    image_shape : tuple of int
        Height and width of an image, or channels, height and width, with 1 or 3 channels.
    noisy : ndarray of shape (n_images, n_features), default=None
        What the reconstructions are made from, if not from the originals.

    Attributes
    ----------
    images_ : ndarray of matplotlib AxesImage, of shape (n_rows, n_images)
        The images; a row each of noisy ones (if any), originals and reconstructions.
    ax_ : matplotlib Axes
        Axes with the images.
    figure_ : matplotlib Figure
        Figure with the axes.

    See Also
    --------
    SignalDisplay : The same for a row that is a curve.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoEncoderTransformer
    >>> from skae.plotting import ReconstructionDisplay
    >>> X = load_digits().data / 16
    >>> autoencoder = AutoEncoderTransformer(8, max_iter=5, random_state=0).fit(X)
    >>> ReconstructionDisplay.from_estimator(autoencoder, X, image_shape=(8, 8))
    <...>
    >>> plt.show()  # doctest: +SKIP
    """

    def __init__(self, *, originals, reconstructions, image_shape, noisy=None):
        self.originals = originals
        self.reconstructions = reconstructions
        self.image_shape = image_shape
        self.noisy = noisy

    def plot(self, ax=None, *, image_kw=None):
        """Draw the images.

        All are on the scale of the originals: their lowest value is black, their highest white.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made. The labels are left of the axes: a figure with
            ``layout="constrained"`` makes room for them.
        image_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.imshow`, such as ``cmap``.

        Returns
        -------
        display : ReconstructionDisplay
            The display itself.

        Raises
        ------
        ValueError
            If ``image_shape`` is not the shape of an image of n_features values.
        """
        rows = {"noisy input": self.noisy, "original": self.originals, "reconstruction": self.reconstructions}
        rows = {label: as_images(row, self.image_shape) for label, row in rows.items() if row is not None}
        low, high = self.originals.min(), self.originals.max()
        high = high if high > low else low + 1
        options: dict[str, Any] = {"cmap": "gray", "vmin": low, "vmax": high, **(image_kw or {})}

        n_images, height, width = rows["original"].shape[:3]
        step_x, step_y = width * (1 + GAP), height + width * GAP
        inches = INCHES / height
        figsize = (n_images * step_x * inches + INCHES_FOR_LABELS, len(rows) * step_y * inches + INCHES_FOR_EDGES)
        ax = axes_to_draw_on(self, ax, figsize)
        self.images_ = np.empty((len(rows), n_images), dtype=object)
        for i, images in enumerate(rows.values()):
            for j, image in enumerate(images):
                if image.ndim == 3:  # imshow scales grey values only
                    image = np.clip((image - low) / (high - low), 0, 1)
                left, top = j * step_x, i * step_y
                self.images_[i, j] = ax.imshow(image, extent=(left, left + width, top + height, top), **options)
        ax.set(xlim=(0, n_images * step_x - width * GAP), ylim=(len(rows) * step_y - width * GAP, 0), xticks=[])
        ax.set_yticks([i * step_y + height / 2 for i in range(len(rows))], list(rows))
        ax.tick_params(axis="y", length=0)
        ax.spines[:].set_visible(False)
        ax.set_anchor("W")  # the layout measures the labels where the images are not centred
        self.ax_ = ax
        self.figure_ = ax.figure
        return self

    @classmethod
    def from_estimator(cls, estimator, X, *, image_shape, X_noisy=None, n_images=10, ax=None, image_kw=None):
        """Reconstruct the first images of X and draw them.

        Parameters
        ----------
        estimator : autoencoder or AutoEncoderOutlierDetector
            Fitted autoencoder, or detector over one.
        X : array-like of shape (n_samples, n_features)
            Images, an image a row.
        image_shape : tuple of int
            Height and width of an image, or channels, height and width, with 1 or 3 channels.
        X_noisy : array-like of shape (n_samples, n_features), default=None
            Noisy versions of the images. If given, these are reconstructed.
        n_images : int, default=10
            How many images to draw, at most.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made. The labels are left of the axes: a figure with
            ``layout="constrained"`` makes room for them.
        image_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.imshow`, such as ``cmap``.

        Returns
        -------
        display : ReconstructionDisplay
            Object that holds the images.

        Raises
        ------
        ValueError
            If ``image_shape`` is not the shape of an image of n_features values, ``X_noisy`` has not the shape of X,
            or ``n_images`` is less than 1.
        TypeError
            If the estimator is neither an autoencoder nor a detector.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        fitted_estimator(estimator)
        if n_images < 1:
            raise ValueError(f"n_images={n_images} leaves nothing to draw: it must be 1 or more.")
        if X_noisy is None:
            originals, reconstructions = rows_and_reconstructions(estimator, X[:n_images])
            noisy = None
        elif np.shape(X_noisy) != np.shape(X):
            raise ValueError(
                f"X_noisy of shape {np.shape(X_noisy)} cannot be the noisy version of X, which has shape "
                f"{np.shape(X)}: give a noisy row for each row of X, in the same order."
            )
        else:
            originals, _ = rows_for_autoencoder(estimator, X[:n_images])
            noisy, reconstructions = rows_and_reconstructions(estimator, X_noisy[:n_images])
        display = cls(originals=originals, reconstructions=reconstructions, image_shape=image_shape, noisy=noisy)
        return display.plot(ax, image_kw=image_kw)


def as_images(rows: np.ndarray, image_shape) -> np.ndarray:
    """Return rows as grey images, (n, height, width), or as colour images, (n, height, width, 3)."""
    n_features = rows.shape[1]
    shape = tuple(image_shape)
    if len(shape) not in (2, 3) or min(shape) < 1 or prod(shape) != n_features:
        raise ValueError(
            f"image_shape={image_shape!r} is not the shape of an image of {n_features} values: give (height, width) or "
            f"(channels, height, width) whose product is {n_features}, the number of features of X."
        )
    if len(shape) == 2:
        return rows.reshape(-1, *shape)
    if shape[0] not in (1, 3):
        raise ValueError(
            f"image_shape={image_shape!r} has {shape[0]} channels: an image has 1 (grey) or 3 (red, green, blue), and "
            "they come first, (channels, height, width)."
        )
    images = rows.reshape(-1, *shape)
    return images[:, 0] if shape[0] == 1 else np.moveaxis(images, 1, -1)
