"""Scatter plots of codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.utils.validation import check_array

from skae._compat import check_matplotlib_support
from skae.plotting.axes import Display, add_legend, literal
from skae.plotting.checks import one_label_per_row
from skae.plotting.fitted import codes_of_rows
from skae.plotting.style import MAX_CLASSES, class_style


class CodeDisplay(Display):
    """Scatter plot of codes, coloured by class or by a number.

    It is recommended to use `from_estimator` or `from_codes` to create a display. All parameters are stored as
    attributes.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, 2)
        Points.
    y : ndarray of shape (n_samples,), default=None
        Class or number of each point.
    name : str, default="dimension"
        Name of the two coordinates. The labels of the axes are this name and a number.

    Attributes
    ----------
    scatter_ : matplotlib PathCollection
        The points.
    legend_ : matplotlib Legend or None
        Legend of the classes. None if y does not hold classes.
    names_ : list of matplotlib Text
        Names of the classes among the points. Those that would cover another are not visible.
    colorbar_ : matplotlib Colorbar or None
        Colour bar of the numbers. None if y does not hold numbers.
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

        y is treated as classes if it has at most 20 distinct values and none is a fraction. Each class gets its own
        colour and marker and an entry in the legend. Its name is written in its middle, unless it would cover another
        name. Other numbers get a colour bar.

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
        ax = self._set_axes(ax)
        options = {"s": np.clip(2e4 / len(self.codes), 4, 25), "alpha": 0.8, "linewidths": 0, **(scatter_kw or {})}
        self.legend_ = self.colorbar_ = None
        self.names_ = []
        ax.set(xlabel=f"{self.name} 1", ylabel=f"{self.name} 2")
        if classes is not None:
            self._draw_classes(classes, indices, options)
            return self
        self.scatter_ = ax.scatter(*self.codes.T, **{"c": self.y, **options})
        if self.y is not None:
            self.colorbar_ = ax.figure.colorbar(self.scatter_, ax=ax)
            self.colorbar_.outline.set_visible(False)
        return self

    def _draw_classes(self, classes: np.ndarray, indices: Any, options: dict):
        import matplotlib as mpl

        ax, styles = self.ax_, [class_style(index) for index in range(len(classes))]
        colors = mpl.colors.ListedColormap([color for color, _ in styles])
        defaults = {"c": indices, "cmap": colors, "vmin": 0, "vmax": colors.N - 1}
        self.scatter_ = ax.scatter(*self.codes.T, **{**defaults, **options})
        if "marker" in options:
            styles = [(color, options["marker"]) for color, _ in styles]
        else:
            markers = [mpl.markers.MarkerStyle(marker) for _, marker in styles]
            paths = [marker.get_path().transformed(marker.get_transform()) for marker in markers]
            self.scatter_.set_paths([paths[index] for index in indices])  # one collection, so that no class is on top
        look = {"ls": "none", "markeredgewidth": 0, "alpha": options["alpha"]}
        handles = [mpl.lines.Line2D([], [], color=color, marker=marker, **look) for color, marker in styles]
        self.legend_ = add_legend(ax, handles, [literal(name) for name in classes])
        self._add_names(classes, indices)

    def _add_names(self, classes: np.ndarray, indices: Any):
        """Write the name of each class in its middle, where it covers no other."""
        from matplotlib.patheffects import withStroke

        from skae.plotting.fitting import Fitter

        look = {"in_layout": False, "weight": "bold", "path_effects": [withStroke(linewidth=3, foreground="white")]}
        for index, name in enumerate(classes):
            codes = self.codes[indices == index]
            middle = codes[((codes - np.median(codes, axis=0)) ** 2).sum(1).argmin()]  # a point, not a hole in a ring
            text = self.ax_.text(*middle, literal(name), ha="center", va="center", **look)
            self.names_.append(text)
        Fitter(self.ax_, self._fit_names)

    def _fit_names(self, renderer):
        ax, self.legend_ = self.ax_, self.ax_.get_legend()  # one that fits the axes
        taken = [] if self.legend_ is None else [self.legend_.get_window_extent(renderer)]
        for text in self.names_:
            text.set_visible(True)
            box = text.get_window_extent(renderer).padded(2)
            is_within = all(ax.bbox.contains(*corner) for corner in (box.min, box.max))
            text.set_visible(is_within and not any(box.overlaps(other) for other in taken))
            if text.get_visible():
                taken.append(box)

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, reducer=None, ax=None, scatter_kw=None):
        """Encode rows and draw the codes.

        Parameters
        ----------
        estimator : autoencoder or AutoEncoderOutlierDetector
            Fitted autoencoder, or fitted detector with a single autoencoder.
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), default=None
            Class or number of each row, for its colour.
        reducer : object with ``fit_transform``, default=None
            Reduces codes with more than two components to two, for example `sklearn.manifold.TSNE`. It is cloned. If
            None, ``PCA(2)`` is used. Codes with two components are drawn as they are.
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
            If the code has one component, ``reducer`` does not return two columns, y does not have one label per row,
            or y holds more than 20 classes that are not numbers.
        TypeError
            If the estimator is neither an autoencoder nor a detector with a single autoencoder.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        codes, name = codes_of_rows(estimator, X), "code"
        y = one_label_per_row(y, len(codes))
        if codes.shape[1] == 1:
            raise ValueError(
                "estimator has n_components=1, but a scatter plot needs 2 or more: draw a histogram of the codes, or "
                "fit with more components."
            )
        if codes.shape[1] > 2:
            reducer = PCA(2, random_state=0) if reducer is None else clone(reducer, safe=False)
            name = type(reducer).__name__
            codes = np.asarray(reducer.fit_transform(codes))
            if codes.ndim != 2 or codes.shape[1] != 2:
                raise ValueError(
                    f"reducer={reducer!r} returned an array of shape {codes.shape}, but must return two columns: set "
                    "its n_components=2."
                )
        return cls(codes=codes, y=y, name=name).plot(ax, scatter_kw=scatter_kw)

    @classmethod
    def from_codes(cls, Z, y=None, *, ax=None, scatter_kw=None):
        """Draw two-dimensional codes, such as the output of a pipeline that ends in t-SNE.

        Parameters
        ----------
        Z : array-like of shape (n_samples, 2)
            Points.
        y : array-like of shape (n_samples,), default=None
            Class or number of each point, for its colour.
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
            If Z does not have two columns, y does not have one label per point, or y holds more than 20 classes that
            are not numbers.

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
                f"Z has {Z.shape[1]} columns, but must have 2: reduce it first, for example with "
                "PCA(2).fit_transform(Z), or select two columns."
            )
        return cls(codes=Z, y=one_label_per_row(y, len(Z))).plot(ax, scatter_kw=scatter_kw)


def _classes(y) -> tuple[np.ndarray | None, Any]:
    """Return the classes in y, sorted, and the class index of each label. Return None twice if y holds no classes."""
    if y is None:
        return None, None
    classes, indices = np.unique(y, return_inverse=True)
    are_numbers = classes.dtype.kind in "iuf"
    if len(classes) <= MAX_CLASSES and not (are_numbers and (classes % 1 != 0).any()):
        return classes, indices
    if are_numbers:
        return None, None
    raise ValueError(
        f"y has {len(classes)} classes, but at most {MAX_CLASSES} are supported: pass fewer classes, or numbers, which "
        "get a colour bar."
    )
