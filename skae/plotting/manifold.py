"""Images that the codes of a plane stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skae.estimators import AdversarialAutoEncoder, ConditionalVariationalAutoEncoder, VariationalAutoEncoder
from skae.plotting.axes import axes_to_draw_on
from skae.plotting.fitted import fitted_autoencoder, rows_for_autoencoder
from skae.plotting.reconstruction import as_images

INCHES = 6  # longer side of all images together
INCHES_FOR_LABELS = 0.6
MAX_TICKS = 5


class ManifoldDisplay:
    """The images that a grid of codes of two components stands for [1]_.

    It is recommended to use `from_estimator` to create a display. All parameters are stored as attributes.

    Parameters
    ----------
    steps : ndarray of shape (n_steps, 2)
        Values of either component in the grid, ascending.
    images : ndarray of shape (n_steps, n_steps, n_features)
        Decoded grid: ``images[i, j]`` stands for the code ``(steps[j, 0], steps[i, 1])``.
    image_shape : tuple of int
        Height and width of an image, or channels, height and width, with 1 or 3 channels.

    Attributes
    ----------
    image_ : matplotlib AxesImage
        All images as one. The first component grows to the right, the second upwards.
    ax_ : matplotlib Axes
        Axes with the images.
    figure_ : matplotlib Figure
        Figure with the axes.

    See Also
    --------
    CodeDisplay : Where the codes of rows lie in the plane.

    References
    ----------
    .. [1] Kingma, D. P. and Welling, M., "Auto-encoding variational Bayes", ICLR 2014, Figure 4.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from skae import VariationalAutoEncoder
    >>> from skae.plotting import ManifoldDisplay
    >>> X = load_digits().data / 16
    >>> vae = VariationalAutoEncoder(2, loss="binary_cross_entropy", max_iter=5, random_state=0).fit(X)
    >>> ManifoldDisplay.from_estimator(vae, image_shape=(8, 8))
    <...>
    >>> plt.show()  # doctest: +SKIP
    """

    def __init__(self, *, steps, images, image_shape):
        self.steps = steps
        self.images = images
        self.image_shape = image_shape

    def plot(self, ax=None, *, image_kw=None):
        """Draw the images: their lowest value is black, their highest white.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        image_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.imshow`, such as ``cmap``.

        Returns
        -------
        display : ManifoldDisplay
            The display itself.

        Raises
        ------
        ValueError
            If ``image_shape`` is not the shape of an image of n_features values.
        """
        n = len(self.steps)
        images = as_images(self.images.reshape(n * n, -1), self.image_shape)
        _, height, width, *channels = images.shape
        if channels:  # imshow scales grey values only
            images = (images - images.min()) / (np.ptp(images) or 1)
        upwards = images.reshape(n, n, height, width, *channels)[::-1]
        mosaic = upwards.swapaxes(1, 2).reshape(n * height, n * width, *channels)

        inches = INCHES / max(height, width)
        ax = axes_to_draw_on(self, ax, (width * inches + INCHES_FOR_LABELS, height * inches + INCHES_FOR_LABELS))
        edges = (-0.5, n - 0.5, -0.5, n - 0.5)
        options = {"cmap": "gray", "extent": edges, "aspect": height / width, **(image_kw or {})}
        self.image_ = ax.imshow(mosaic, **options)
        ticks = np.linspace(0, n - 1, min(n, MAX_TICKS)).round().astype(int)
        labels = [[f"{value:.2g}" for value in component] for component in self.steps[ticks].T]
        ax.set_xticks(ticks, labels[0])
        ax.set_yticks(ticks, labels[1])
        ax.set(xlabel="code 1", ylabel="code 2")
        ax.spines[:].set_visible(False)
        self.ax_ = ax
        self.figure_ = ax.figure
        return self

    @classmethod
    def from_estimator(cls, estimator, X=None, *, image_shape, y=None, n_steps=15, ax=None, image_kw=None):
        """Decode a grid of codes and draw the images.

        The grid has the quantiles in the middle of ``n_steps`` equal shares of either component's distribution, so that
        images are many where codes are many: of the standard normal distribution or, with X, of its codes.

        Parameters
        ----------
        estimator : autoencoder or AutoEncoderOutlierDetector
            Fitted autoencoder of two components, or detector over one.
        X : array-like of shape (n_samples, n_features), default=None
            Rows whose codes the grid is to span. It can be left out where the prior of the codes is the standard normal
            distribution, as that of variational autoencoders is.
        image_shape : tuple of int
            Height and width of an image, or channels, height and width, with 1 or 3 channels.
        y : class, default=None
            What a `ConditionalVariationalAutoEncoder` is to draw. None stands for the mean over its classes.
        n_steps : int, default=15
            Images a side.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        image_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.imshow`, such as ``cmap``.

        Returns
        -------
        display : ManifoldDisplay
            Object that holds the images.

        Raises
        ------
        ValueError
            If the code has not two components, X is missing where the prior is not normal, ``image_shape`` is not the
            shape of an image of n_features values, ``n_steps`` is less than 1, or y is not a class that the autoencoder
            knows.
        TypeError
            If the estimator is neither an autoencoder nor a detector over one.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        autoencoder: Any = fitted_autoencoder(estimator)  # whose inverse_transform may take a class
        kind, n_components = type(autoencoder).__name__, len(autoencoder.get_feature_names_out())
        if n_components != 2:
            raise ValueError(
                f"The code of estimator has n_components={n_components}, but a plane has 2: fit a {kind} with "
                "n_components=2."
            )
        if n_steps < 1:
            raise ValueError(f"n_steps={n_steps} leaves nothing to draw: it must be 1 or more.")
        if y is not None and not isinstance(autoencoder, ConditionalVariationalAutoEncoder):
            raise ValueError(
                f"y={y!r} cannot be drawn, for a {kind} knows no classes: set y=None, or fit a "
                "ConditionalVariationalAutoEncoder."
            )
        shares = (np.arange(n_steps) + 0.5) / n_steps
        if X is not None:
            _, given = rows_for_autoencoder(estimator, X)
            steps = np.quantile(np.asarray(autoencoder.transform(given)), shares, axis=0)
        elif _has_normal_prior(autoencoder):
            steps = np.tile(ndtri(shares)[:, None], 2)
        else:
            raise ValueError(
                f"X=None leaves the grid without bounds, for a {kind} has no normal prior: give X, rows whose codes "
                "the grid is to span."
            )
        Z = np.stack(np.meshgrid(*steps.T), axis=-1).reshape(-1, 2)
        rows = autoencoder.inverse_transform(Z) if y is None else autoencoder.inverse_transform(Z, y)
        display = cls(steps=steps, images=rows.reshape(n_steps, n_steps, -1), image_shape=image_shape)
        return display.plot(ax, image_kw=image_kw)


def _has_normal_prior(autoencoder) -> bool:
    if isinstance(autoencoder, AdversarialAutoEncoder):
        return autoencoder.prior == "normal"
    return isinstance(autoencoder, VariationalAutoEncoder | ConditionalVariationalAutoEncoder)
