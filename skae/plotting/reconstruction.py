"""Images and their reconstructions."""

from __future__ import annotations

import numpy as np

from skae._compat import check_matplotlib_support
from skae.plotting.axes import Display
from skae.plotting.checks import check_at_least_one
from skae.plotting.fitted import rows_of_numbers
from skae.plotting.shapes import GAP, scaled_images

INCHES = 0.75  # height of an image
INCHES_FOR_LABELS = 1.15
INCHES_FOR_EDGES = 0.08


class ReconstructionDisplay(Display):
    """Images above their reconstructions, with the noisy images on top if there are any.

    It is recommended to use `from_estimator` to create a display. All parameters are stored as attributes.

    Parameters
    ----------
    originals : ndarray of shape (n_images, n_features)
        Images, one per row.
    reconstructions : ndarray of shape (n_images, n_features)
        Reconstructions of the images.
    image_shape : tuple of int
        Shape of an image: (height, width), or (channels, height, width) with 1 or 3 channels.
    noisy : ndarray of shape (n_images, n_features), default=None
        Noisy images, if the reconstructions are made from these.

    Attributes
    ----------
    images_ : ndarray of matplotlib AxesImage, of shape (n_rows, n_images)
        The images: a row of noisy images (if any), a row of originals and a row of reconstructions.
    ax_ : matplotlib Axes
        Axes with the images.
    figure_ : matplotlib Figure
        Figure with the axes.

    See Also
    --------
    SignalDisplay : A row drawn as a curve, and its reconstruction.

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

        All images have the scale of the originals: the lowest value of the originals is black, the highest white.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made. The labels are to the left of the axes. A figure with
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
            If ``image_shape`` is not the shape of an image with n_features values.
        """
        given = {"noisy input": self.noisy, "original": self.originals, "reconstruction": self.reconstructions}
        rows = {label: row for label, row in given.items() if row is not None}
        images, options = scaled_images(
            np.concatenate(list(rows.values())), self.image_shape, self.originals, image_kw or {}
        )
        (height, width), n_images = images.shape[1:3], len(self.originals)
        step_x, step_y = width * (1 + GAP), height + width * GAP
        inches = INCHES / height
        figsize = (n_images * step_x * inches + INCHES_FOR_LABELS, len(rows) * step_y * inches + INCHES_FOR_EDGES)
        ax = self._set_axes(ax, figsize, frame=False)
        self.images_ = np.empty((len(rows), n_images), dtype=object)
        for (i, j), image in zip(np.ndindex(self.images_.shape), images, strict=True):
            left, top = j * step_x, i * step_y
            self.images_[i, j] = ax.imshow(image, extent=(left, left + width, top + height, top), **options)
        ax.set(xlim=(0, n_images * step_x - width * GAP), ylim=(len(rows) * step_y - width * GAP, 0), xticks=[])
        ax.set_yticks([i * step_y + height / 2 for i in range(len(rows))], list(rows))
        ax.tick_params(axis="y", length=0)
        ax.set_anchor("W")  # the layout measures the labels as if the images were not centred
        return self

    @classmethod
    def from_estimator(cls, estimator, X, *, image_shape, X_noisy=None, n_images=10, ax=None, image_kw=None):
        """Reconstruct the first images of X and draw them.

        Parameters
        ----------
        estimator : autoencoder or AutoEncoderOutlierDetector
            Fitted autoencoder or detector.
        X : array-like of shape (n_samples, n_features)
            Images, one per row.
        image_shape : tuple of int
            Shape of an image: (height, width), or (channels, height, width) with 1 or 3 channels.
        X_noisy : array-like of shape (n_samples, n_features), default=None
            Noisy versions of the images. If given, these are reconstructed.
        n_images : int, default=10
            Maximum number of images to draw.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made. The labels are to the left of the axes. A figure with
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
            If ``image_shape`` is not the shape of an image with n_features values, ``X_noisy`` does not have the shape
            of X, or ``n_images`` is less than 1.
        TypeError
            If the estimator is neither an autoencoder nor a detector.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        check_at_least_one("n_images", n_images)
        if X_noisy is not None and np.shape(X_noisy) != np.shape(X):
            raise ValueError(
                f"X_noisy has shape {np.shape(X_noisy)}, but must have the shape of X, {np.shape(X)}: pass one noisy "
                "row for each row of X, in the same order."
            )
        originals = rows_of_numbers(estimator, X[:n_images])
        noisy = None if X_noisy is None else rows_of_numbers(estimator, X_noisy[:n_images])
        reconstructions = estimator._reconstruct_checked(originals if noisy is None else noisy)
        display = cls(originals=originals, reconstructions=reconstructions, image_shape=image_shape, noisy=noisy)
        return display.plot(ax, image_kw=image_kw)
