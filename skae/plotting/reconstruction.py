"""Images and their reconstructions."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_array

from skae._compat import check_matplotlib_support
from skae.plotting.axes import Display
from skae.plotting.checks import check_at_least_one
from skae.plotting.fitted import rows_of_numbers
from skae.plotting.grid import ImageGrid, wrapped
from skae.plotting.shapes import scaled_images


class ReconstructionDisplay(Display):
    """Images above their reconstructions, with the noisy images in between if there are any.

    It is recommended to use `from_estimator` or `from_predictions` to create a display. All parameters are stored as
    attributes.

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
    images_ : ndarray of matplotlib AxesImage, of shape (2, n_images) or (3, n_images)
        The images: the originals, the noisy images (if any) and the reconstructions.
    ax_ : matplotlib Axes
        Axes with the images.
    figure_ : matplotlib Figure
        Figure with the axes.

    See Also
    --------
    SampleDisplay : Images alone, drawn from a model for example.
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

        All images have the scale of the originals: the lowest value of the originals is black, the highest white. More
        than ten images are wrapped.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
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
        given = {"original": self.originals, "noisy input": self.noisy, "reconstruction": self.reconstructions}
        given = {label: rows for label, rows in given.items() if rows is not None}
        images, options = scaled_images(
            np.concatenate(list(given.values())), self.image_shape, self.originals, image_kw or {}
        )
        blocks = wrapped(list(zip(given, np.split(images, len(given)), strict=True)))
        grid = ImageGrid(blocks)
        drawn = grid.draw(self._set_axes(ax, grid.figsize, frame=False), options)
        rows: list[list] = [[] for _ in given]
        for i, images_of_row in enumerate(drawn):
            rows[i % len(given)] += images_of_row
        self.images_ = np.array(rows)
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
            Axes to draw on. If None, a new figure is made.
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
        _check_shape("X_noisy", X_noisy, X)
        originals = rows_of_numbers(estimator, X[:n_images])
        noisy = None if X_noisy is None else rows_of_numbers(estimator, X_noisy[:n_images])
        reconstructions = estimator._reconstruct_checked(originals if noisy is None else noisy)
        display = cls(originals=originals, reconstructions=reconstructions, image_shape=image_shape, noisy=noisy)
        return display.plot(ax, image_kw=image_kw)

    @classmethod
    def from_predictions(cls, X, reconstructions, *, image_shape, X_noisy=None, n_images=10, ax=None, image_kw=None):
        """Draw the first images of X and their reconstructions by any model, such as a pipeline or PCA.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Images, one per row.
        reconstructions : array-like of shape (n_samples, n_features)
            Their reconstructions.
        image_shape : tuple of int
            Shape of an image: (height, width), or (channels, height, width) with 1 or 3 channels.
        X_noisy : array-like of shape (n_samples, n_features), default=None
            Noisy versions of the images, if the reconstructions are made from these.
        n_images : int, default=10
            Maximum number of images to draw.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        image_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.imshow`, such as ``cmap``.

        Returns
        -------
        display : ReconstructionDisplay
            Object that holds the images.

        Raises
        ------
        ValueError
            If ``image_shape`` is not the shape of an image with n_features values, ``reconstructions`` or ``X_noisy``
            does not have the shape of X, or ``n_images`` is less than 1.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sklearn.datasets import load_digits
        >>> from sklearn.decomposition import PCA
        >>> from skae.plotting import ReconstructionDisplay
        >>> X = load_digits().data
        >>> pca = PCA(8).fit(X)
        >>> reconstructions = pca.inverse_transform(pca.transform(X))
        >>> ReconstructionDisplay.from_predictions(X, reconstructions, image_shape=(8, 8))
        <...>
        >>> plt.show()  # doctest: +SKIP
        """
        check_matplotlib_support(f"{cls.__name__}.from_predictions")
        check_at_least_one("n_images", n_images)
        given = {"X": X, "reconstructions": reconstructions, "X_noisy": X_noisy}
        rows = {
            name: None if value is None else check_array(value[:n_images], input_name=name)
            for name, value in given.items()
        }
        for name in ("reconstructions", "X_noisy"):
            _check_shape(name, given[name], X)
        display = cls(
            originals=rows["X"],
            reconstructions=rows["reconstructions"],
            image_shape=image_shape,
            noisy=rows["X_noisy"],
        )
        return display.plot(ax, image_kw=image_kw)


def _check_shape(name: str, rows, X) -> None:
    if rows is not None and np.shape(rows) != np.shape(X):
        raise ValueError(
            f"{name} has shape {np.shape(rows)}, but must have the shape of X, {np.shape(X)}: pass one row for each "
            "row of X, in the same order."
        )
