"""Codes in the plane."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import check_array

from skae.plotting.axes import axes_to_draw_on, remove_upper_and_right_frame
from skae.plotting.fitted import fitted_autoencoder, rows_for_autoencoder
from skae.plotting.labels import one_label_a_row

MAX_CLASSES = 20  # as many colours can be told apart, just


class CodeDisplay:
    """Codes as points in the plane, coloured by class or by a number.

    It is recommended to use `from_estimator` or `from_codes` to create a display. All parameters are stored as
    attributes.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, 2)
        Points.
    y : ndarray of shape (n_samples,), default=None
        A class or a number for each.
    name : str, default="dimension"
        What the axes' labels call the two coordinates; a number is appended.

    Attributes
    ----------
    scatter_ : matplotlib PathCollection
        The points.
    legend_ : matplotlib Legend or None
        What colour is which class; None where y is no class.
    colorbar_ : matplotlib Colorbar or None
        What colour is which number; None where y is no number.
    ax_ : matplotlib Axes
        Axes with the points.
    figure_ : matplotlib Figure
        Figure with the axes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from skae import AutoEncoderTransformer
    >>> from skae.plotting import CodeDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> autoencoder = AutoEncoderTransformer(2, max_iter=5, random_state=0).fit(X)
    >>> CodeDisplay.from_estimator(autoencoder, X, y)
    <...>
    >>> plt.show()  # doctest: +SKIP
    """

    def __init__(self, *, codes, y=None, name="dimension"):
        self.codes = codes
        self.y = y
        self.name = name

    def plot(self, ax=None, *, scatter_kw=None):
        """Draw the points.

        Up to 20 classes get a colour each and a legend: y is taken for classes unless it holds fractions. Other
        numbers get a colour bar.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        scatter_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.scatter`, such as ``s``, the size of the points.

        Returns
        -------
        display : CodeDisplay
            The display itself.

        Raises
        ------
        ValueError
            If y holds more than 20 classes that are not numbers.
        """
        classes, indices = _classes(self.y)
        ax = axes_to_draw_on(self, ax)
        size = np.clip(2e4 / len(self.codes), 4, 25)
        options = {"s": size, "alpha": 0.8, "linewidths": 0, **(scatter_kw or {})}
        self.legend_ = self.colorbar_ = None
        if classes is not None:
            colors = _colors(len(classes))
            self.scatter_ = ax.scatter(
                *self.codes.T, **{"c": indices, "cmap": colors, "vmin": 0, "vmax": colors.N - 1, **options}
            )
            handles, _ = self.scatter_.legend_elements(num=list(range(len(classes))))
            self.legend_ = ax.legend(
                handles, classes, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, handlelength=1
            )
        else:
            self.scatter_ = ax.scatter(*self.codes.T, **{"c": self.y, **options})
            if self.y is not None:
                self.colorbar_ = ax.figure.colorbar(self.scatter_, ax=ax)
                self.colorbar_.outline.set_visible(False)
        ax.set(xlabel=f"{self.name} 1", ylabel=f"{self.name} 2")
        remove_upper_and_right_frame(ax)
        self.ax_ = ax
        self.figure_ = ax.figure
        return self

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, reducer=None, ax=None, scatter_kw=None):
        """Draw the codes of rows.

        Parameters
        ----------
        estimator : autoencoder or AutoEncoderOutlierDetector
            Fitted autoencoder, or detector over one.
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), default=None
            A class or a number for each row, which colours it.
        reducer : object with ``fit_transform``, default=None
            Maps codes of more than two components to the plane, such as `sklearn.manifold.TSNE`; it is cloned. None
            stands for ``PCA(2)``. Two components are drawn as they are.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        scatter_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.scatter`, such as ``s``, the size of the points.

        Returns
        -------
        display : CodeDisplay
            Object that holds the points.

        Raises
        ------
        ValueError
            If the code has one component, ``reducer`` does not return two columns, y has not a label for each row, or
            y holds more than 20 classes that are not numbers.
        TypeError
            If the estimator is neither an autoencoder nor a detector over one.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        autoencoder = fitted_autoencoder(estimator)
        _, given = rows_for_autoencoder(estimator, X)
        codes, name = np.asarray(autoencoder.transform(given)), "code"
        y = one_label_a_row(y, len(codes))
        if codes.shape[1] == 1:
            raise ValueError(
                "The code of estimator has n_components=1, which does not fill a plane: draw a histogram of "
                "estimator.transform(X), or fit two components or more."
            )
        if codes.shape[1] > 2:
            reducer = PCA(2, random_state=0) if reducer is None else clone(reducer, safe=False)
            name = type(reducer).__name__
            codes = np.asarray(reducer.fit_transform(codes))
            if codes.ndim != 2 or codes.shape[1] != 2:
                raise ValueError(
                    f"reducer={reducer!r} returned an array of shape {codes.shape}: the plane takes two columns, so "
                    "set its n_components=2."
                )
        return cls(codes=codes, y=y, name=name).plot(ax, scatter_kw=scatter_kw)

    @classmethod
    def from_codes(cls, Z, y=None, *, ax=None, scatter_kw=None):
        """Draw points of the plane, such as the output of a pipeline that ends in a t-SNE.

        Parameters
        ----------
        Z : array-like of shape (n_samples, 2)
            Points.
        y : array-like of shape (n_samples,), default=None
            A class or a number for each point, which colours it.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        scatter_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.scatter`, such as ``s``, the size of the points.

        Returns
        -------
        display : CodeDisplay
            Object that holds the points.

        Raises
        ------
        ValueError
            If Z has not two columns, y has not a label for each point, or y holds more than 20 classes that are not
            numbers.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.decomposition import PCA
        >>> from sklearn.pipeline import make_pipeline
        >>> from skae import AutoEncoderTransformer
        >>> from skae.plotting import CodeDisplay
        >>> X, y = load_iris(return_X_y=True)
        >>> pipeline = make_pipeline(AutoEncoderTransformer(3, max_iter=5, random_state=0), PCA(2))
        >>> CodeDisplay.from_codes(pipeline.fit_transform(X), y)
        <...>
        >>> plt.show()  # doctest: +SKIP
        """
        check_matplotlib_support(f"{cls.__name__}.from_codes")
        Z = check_array(Z, input_name="Z")
        if Z.shape[1] != 2:
            raise ValueError(
                f"Z has {Z.shape[1]} columns, but a plane has 2: map it there first, for example with "
                "PCA(2).fit_transform(Z), or choose two columns."
            )
        return cls(codes=Z, y=one_label_a_row(y, len(Z))).plot(ax, scatter_kw=scatter_kw)


def _classes(y) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the sorted classes in y and the index of each label in them, or twice None where y is no classes."""
    if y is None:
        return None, None
    classes, indices = np.unique(y, return_inverse=True)
    are_numbers = classes.dtype.kind in "iuf"
    if len(classes) <= MAX_CLASSES and not (are_numbers and (classes % 1 != 0).any()):
        return classes, indices
    if are_numbers:
        return None, None
    raise ValueError(
        f"y has {len(classes)} classes, but only {MAX_CLASSES} colours can be told apart: give fewer classes, or "
        "numbers, which get a colour bar."
    )


def _colors(n_classes: int):
    """Return as many colours as there are classes; the first ten are the ten strong ones."""
    import matplotlib as mpl

    pairs = mpl.color_sequences["tab20"]  # each strong colour is followed by its pale one
    return mpl.colors.ListedColormap([*pairs[::2], *pairs[1::2]][:n_classes])
