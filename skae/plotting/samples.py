"""Images alone, such as those that a generative model draws."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_array

from skae._compat import check_matplotlib_support
from skae.estimators import ConditionalVariationalAutoEncoder
from skae.plotting.axes import Display, literal
from skae.plotting.checks import check_at_least_one, one_label_per_row
from skae.plotting.fitted import fitted_autoencoder
from skae.plotting.grid import ImageGrid, wrapped
from skae.plotting.shapes import scaled_images


class SampleDisplay(Display):
    """Images in a grid: drawn from a generative autoencoder, or given. With classes there is a row for each.

    It is recommended to use `from_estimator` or `from_samples` to create a display. All parameters are stored as
    attributes.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, n_features)
        Images, one per row.
    image_shape : tuple of int
        Shape of an image: (height, width), or (channels, height, width) with 1 or 3 channels.
    y : ndarray of shape (n_samples,), default=None
        Class of each image.

    Attributes
    ----------
    images_ : list of list of matplotlib AxesImage
        The images of each row of the grid.
    ax_ : matplotlib Axes
        Axes with the images.
    figure_ : matplotlib Figure
        Figure with the axes.

    See Also
    --------
    ManifoldDisplay : Images decoded from a grid of codes with two components.
    ReconstructionDisplay : Images above their reconstructions.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from skae import ConditionalVariationalAutoEncoder
    >>> from skae.plotting import SampleDisplay
    >>> X, y = load_digits(n_class=3, return_X_y=True)
    >>> cvae = ConditionalVariationalAutoEncoder(4, loss="binary_cross_entropy", max_iter=5, random_state=0)
    >>> SampleDisplay.from_estimator(cvae.fit(X / 16, y), image_shape=(8, 8))
    <...>
    >>> plt.show()  # doctest: +SKIP
    """

    def __init__(self, *, samples, image_shape, y=None):
        self.samples = samples
        self.image_shape = image_shape
        self.y = y

    def plot(self, ax=None, *, image_kw=None):
        """Draw the images. Their lowest value is black, their highest white. More than ten in a row are wrapped.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        image_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.imshow`, such as ``cmap``.

        Returns
        -------
        display : SampleDisplay
            The display itself.

        Raises
        ------
        ValueError
            If ``image_shape`` is not the shape of an image with n_features values.
        """
        images, options = scaled_images(self.samples, self.image_shape, self.samples, image_kw or {})
        if self.y is None:
            rows = [("", images)]
        else:
            rows = [(literal(label), images[self.y == label]) for label in np.unique(self.y)]
        blocks = [_wrapped(*row) for row in rows]
        if all(len(block) == 1 for block in blocks):
            blocks = [[row for block in blocks for row in block]]
        grid = ImageGrid(blocks)
        self.images_ = grid.draw(self._set_axes(ax, grid.figsize, frame=False), options)
        return self

    @classmethod
    def from_estimator(cls, estimator, *, image_shape, n_samples=10, y=None, ax=None, image_kw=None):
        """Draw images from a fitted generative autoencoder.

        Parameters
        ----------
        estimator : autoencoder with ``sample``, or AutoEncoderOutlierDetector
            Fitted `VariationalAutoEncoder`, `ConditionalVariationalAutoEncoder` or `AdversarialAutoEncoder`, or fitted
            detector with a single one.
        image_shape : tuple of int
            Shape of an image: (height, width), or (channels, height, width) with 1 or 3 channels.
        n_samples : int, default=10
            Number of images; of a `ConditionalVariationalAutoEncoder` the number of images of each class. If its
            ``random_state`` is an integer, the images of a column have the same code.
        y : class or array-like of shape (n_classes,), default=None
            Classes to draw with a `ConditionalVariationalAutoEncoder`. If None, all its classes are drawn.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        image_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.imshow`, such as ``cmap``.

        Returns
        -------
        display : SampleDisplay
            Object that holds the images.

        Raises
        ------
        ValueError
            If ``image_shape`` is not the shape of an image with n_features values, ``n_samples`` is less than 1, or y
            holds what is not a class of the autoencoder.
        TypeError
            If the estimator is neither an autoencoder with ``sample`` nor a detector with a single one.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        autoencoder = fitted_autoencoder(estimator)
        kind = type(autoencoder).__name__
        if not hasattr(autoencoder, "sample"):
            raise TypeError(
                f"estimator must have a sample method, but {kind} has none: fit a VariationalAutoEncoder, a "
                "ConditionalVariationalAutoEncoder or an AdversarialAutoEncoder, or draw rows with from_samples."
            )
        check_at_least_one("n_samples", n_samples)
        if isinstance(autoencoder, ConditionalVariationalAutoEncoder):
            classes = autoencoder.classes_ if y is None else np.unique(y)
            if not len(classes):
                raise ValueError(f"y={y!r} holds no class to draw: set y=None for all classes.")
            samples = np.concatenate([autoencoder.sample(n_samples, y=label)[0] for label in classes])
            labels = np.repeat(classes, n_samples)
        elif y is None:
            samples, labels = autoencoder.sample(n_samples), None
        else:
            raise ValueError(
                f"y={y!r} is not supported for {kind}, which has no classes: set y=None, or fit a "
                "ConditionalVariationalAutoEncoder."
            )
        display = cls(samples=np.asarray(samples), image_shape=image_shape, y=labels)
        return display.plot(ax, image_kw=image_kw)

    @classmethod
    def from_samples(cls, X, y=None, *, image_shape, n_samples=10, ax=None, image_kw=None):
        """Draw the first rows of X, with y the first of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Images, one per row.
        y : array-like of shape (n_samples,), default=None
            Class of each image.
        image_shape : tuple of int
            Shape of an image: (height, width), or (channels, height, width) with 1 or 3 channels.
        n_samples : int, default=10
            Maximum number of images, with y the maximum number of images of each class.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        image_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.imshow`, such as ``cmap``.

        Returns
        -------
        display : SampleDisplay
            Object that holds the images.

        Raises
        ------
        ValueError
            If ``image_shape`` is not the shape of an image with n_features values, y does not have one label per row,
            or none in a row, or ``n_samples`` is less than 1.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sklearn.datasets import load_digits
        >>> from skae.plotting import SampleDisplay
        >>> X, y = load_digits(return_X_y=True)
        >>> SampleDisplay.from_samples(X, y, image_shape=(8, 8))
        <...>
        >>> plt.show()  # doctest: +SKIP
        """
        check_matplotlib_support(f"{cls.__name__}.from_samples")
        check_at_least_one("n_samples", n_samples)
        X = check_array(X, input_name="X")
        y = one_label_per_row(y, len(X))
        if y is None:
            return cls(samples=X[:n_samples], image_shape=image_shape).plot(ax, image_kw=image_kw)
        if pd.isna(y).any():
            raise ValueError(f"y has no label in {pd.isna(y).sum()} rows: leave them out, or give them one.")
        chosen = np.concatenate([np.flatnonzero(y == label)[:n_samples] for label in np.unique(y)])
        return cls(samples=X[chosen], image_shape=image_shape, y=y[chosen]).plot(ax, image_kw=image_kw)


def _wrapped(label: str, images: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return the rows of a class, of which the first has the label."""
    (first, *others) = (row for (row,) in wrapped([(label, images)]))
    return [first, *(("", images) for _, images in others)]
