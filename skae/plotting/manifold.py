"""Images decoded from a grid of codes."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.special import ndtri

from skae._compat import check_matplotlib_support
from skae.estimators import AdversarialAutoEncoder, ConditionalVariationalAutoEncoder, VariationalAutoEncoder
from skae.plotting.axes import Display
from skae.plotting.checks import check_at_least_one
from skae.plotting.fitted import codes_of_rows, fitted_autoencoder
from skae.plotting.shapes import scaled_images

INCHES = 6  # longer side of all images together
INCHES_FOR_LABELS = 0.6
MAX_TICKS = 5


class ManifoldDisplay(Display):
    """Images decoded from a grid of codes with two components [1]_.

    It is recommended to use `from_estimator` to create a display. All parameters are stored as attributes.

    Parameters
    ----------
    steps : ndarray of shape (n_steps, 2)
        Grid values of each component, in ascending order.
    images : ndarray of shape (n_steps, n_steps, n_features)
        Decoded grid: ``images[i, j]`` is decoded from the code ``(steps[j, 0], steps[i, 1])``.
    image_shape : tuple of int
        Shape of an image: (height, width), or (channels, height, width) with 1 or 3 channels.

    Attributes
    ----------
    image_ : matplotlib AxesImage
        All images as one. The first component increases to the right, the second upwards.
    ax_ : matplotlib Axes
        Axes with the images.
    figure_ : matplotlib Figure
        Figure with the axes.

    See Also
    --------
    CodeDisplay : Scatter plot of the codes of rows.

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
        """Draw the images. Their lowest value is black, their highest white.

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
            If ``image_shape`` is not the shape of an image with n_features values.
        """
        from skae.plotting.fitting import Fitter

        n = len(self.steps)
        images, options = scaled_images(self.images.reshape(n * n, -1), self.image_shape, self.images, image_kw or {})
        _, height, width, *channels = images.shape
        upwards = images.reshape(n, n, height, width, *channels)[::-1]
        mosaic = upwards.swapaxes(1, 2).reshape(n * height, n * width, *channels)

        inches = INCHES / max(height, width)
        figsize = (width * inches + INCHES_FOR_LABELS, height * inches + INCHES_FOR_LABELS)
        ax = self._set_axes(ax, figsize, frame=False)
        edges = (-0.5, n - 0.5, -0.5, n - 0.5)
        self.image_ = ax.imshow(mosaic, **{"extent": edges, "aspect": height / width, **options})
        n_ticks = min(n, MAX_TICKS - (n % 2 == 0))  # so that they are symmetric
        ticks = np.linspace(0, n - 1, n_ticks).round().astype(int)
        labels = [[f"{value:.2g}" for value in component] for component in self.steps[ticks].T]
        ax.set_xticks(ticks, labels[0])
        ax.set_yticks(ticks, labels[1])
        ax.set(xlabel="code 1", ylabel="code 2")
        Fitter(ax, partial(_fit_ticks, ax))
        return self

    @classmethod
    def from_estimator(cls, estimator, X=None, *, image_shape, y=None, n_steps=15, ax=None, image_kw=None):
        """Decode a grid of codes and draw the images.

        The grid values of a component are its quantiles at the midpoints of ``n_steps`` intervals of equal
        probability. They are quantiles of the standard normal distribution or, with X, of the codes of X. The grid is
        therefore finer where codes are denser.

        Parameters
        ----------
        estimator : autoencoder or AutoEncoderOutlierDetector
            Fitted autoencoder with two components, or fitted detector with one such autoencoder.
        X : array-like of shape (n_samples, n_features), default=None
            Rows whose codes the grid covers. It is not needed if the prior of the codes is the standard normal
            distribution, as in a variational autoencoder.
        image_shape : tuple of int
            Shape of an image: (height, width), or (channels, height, width) with 1 or 3 channels.
        y : class, default=None
            Class to draw with a `ConditionalVariationalAutoEncoder`. If None, the mean over its classes is drawn.
        n_steps : int, default=15
            Number of images along each side of the grid.
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
            If the code does not have two components, X is None and the prior is not the standard normal distribution,
            ``image_shape`` is not the shape of an image with n_features values, ``n_steps`` is less than 1, or y is not
            a class of the autoencoder.
        TypeError
            If the estimator is neither an autoencoder nor a detector with a single autoencoder.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        autoencoder = fitted_autoencoder(estimator)
        kind, n_components = type(autoencoder).__name__, len(autoencoder.get_feature_names_out())
        if n_components != 2:
            raise ValueError(
                f"estimator has n_components={n_components}, but {cls.__name__} needs 2: fit a {kind} with "
                "n_components=2."
            )
        check_at_least_one("n_steps", n_steps)
        if y is not None and not isinstance(autoencoder, ConditionalVariationalAutoEncoder):
            raise ValueError(
                f"y={y!r} is not supported for {kind}, which has no classes: set y=None, or fit a "
                "ConditionalVariationalAutoEncoder."
            )
        shares = (np.arange(n_steps) + 0.5) / n_steps
        if X is not None:
            steps = np.quantile(codes_of_rows(estimator, X), shares, axis=0)
        elif _has_normal_prior(autoencoder):
            steps = np.tile(ndtri(shares)[:, None], 2)
        else:
            raise ValueError(
                f"X=None is not supported for this {kind}, whose codes have no normal prior: pass rows X, whose codes "
                "the grid covers."
            )
        Z = np.stack(np.meshgrid(*steps.T), axis=-1).reshape(-1, 2)
        rows = autoencoder.inverse_transform(Z) if y is None else autoencoder.inverse_transform(Z, y)
        display = cls(steps=steps, images=np.asarray(rows).reshape(n_steps, n_steps, -1), image_shape=image_shape)
        return display.plot(ax, image_kw=image_kw)


def _fit_ticks(ax, renderer) -> None:
    from skae.plotting.fitting import are_apart, font_size, shrink

    for axis in (ax.xaxis, ax.yaxis):
        texts = axis.get_ticklabels()
        shrink(texts, font_size(), partial(are_apart, texts, renderer))


def _has_normal_prior(autoencoder) -> bool:
    if isinstance(autoencoder, AdversarialAutoEncoder):
        return autoencoder.prior == "normal"
    return isinstance(autoencoder, VariationalAutoEncoder | ConditionalVariationalAutoEncoder)
