"""Loss curves of training."""

from __future__ import annotations

import numpy as np

from skae._compat import check_matplotlib_support
from skae.plotting.axes import Display, add_legend
from skae.plotting.fitted import fitted_autoencoder
from skae.plotting.style import BLUE, ORANGE


class LossCurveDisplay(Display):
    """Loss of each epoch on the training rows and, if there are any, on the held-out rows.

    It is recommended to use `from_estimator` to create a display. All parameters are stored as attributes.

    Parameters
    ----------
    loss_curve : sequence of float
        Training loss of each epoch.
    validation_loss_curve : sequence of float, default=None
        Held-out loss of each epoch.
    best_epoch : int, default=None
        Epoch to mark on the curve of the held-out losses or, if there is none, of the training losses. The first
        epoch is 1.

    Attributes
    ----------
    line_ : matplotlib Line2D
        Curve of the training losses.
    validation_line_ : matplotlib Line2D or None
        Curve of the held-out losses. None if there are none.
    best_point_ : matplotlib Line2D or None
        Marker at the best epoch. None if ``best_epoch`` is None.
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure with the axes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoEncoderTransformer
    >>> from skae.plotting import LossCurveDisplay
    >>> X = load_digits().data / 16
    >>> autoencoder = AutoEncoderTransformer(8, max_iter=5, early_stopping=True, random_state=0).fit(X)
    >>> LossCurveDisplay.from_estimator(autoencoder)
    <...>
    >>> plt.show()  # doctest: +SKIP
    """

    def __init__(self, *, loss_curve, validation_loss_curve=None, best_epoch=None):
        self.loss_curve = loss_curve
        self.validation_loss_curve = validation_loss_curve
        self.best_epoch = best_epoch

    def plot(self, ax=None, *, log=False, line_kw=None, validation_kw=None):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        log : bool, default=False
            Whether the loss axis is logarithmic.
        line_kw, validation_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.plot`, which draws the training losses and the held-out losses.

        Returns
        -------
        display : LossCurveDisplay
            The display itself.

        Raises
        ------
        ValueError
            If the two curves do not have the same length, or ``log`` is True and a loss is not positive.
        """
        if self.validation_loss_curve is not None and len(self.validation_loss_curve) != len(self.loss_curve):
            raise ValueError(
                f"validation_loss_curve has {len(self.validation_loss_curve)} epochs and loss_curve has "
                f"{len(self.loss_curve)}, but they must have the same number: use NaN for epochs without held-out rows."
            )
        curves = [curve for curve in (self.loss_curve, self.validation_loss_curve) if curve is not None]
        if log and (lowest := np.nanmin(curves)) <= 0:
            raise ValueError(f"log=True needs positive values, but the lowest loss is {lowest:.3g}: set log=False.")
        ax = self._set_axes(ax)
        from skae.plotting.fitting import label_logarithms

        epochs = np.arange(1, len(self.loss_curve) + 1)
        (self.line_,) = ax.plot(epochs, self.loss_curve, **{"color": BLUE, "label": "training", **(line_kw or {})})
        monitored = self.line_
        self.validation_line_ = self.best_point_ = None
        if self.validation_loss_curve is not None:
            options = {"color": ORANGE, "ls": "--", "label": "held out", **(validation_kw or {})}
            (self.validation_line_,) = ax.plot(epochs, self.validation_loss_curve, **options)
            if self.best_epoch is None or np.isfinite(self.validation_loss_curve[self.best_epoch - 1]):
                monitored = self.validation_line_
        if self.best_epoch is not None:
            best = monitored.get_ydata()[self.best_epoch - 1]
            options = {"color": monitored.get_color(), "ls": "none", "label": f"best epoch ({self.best_epoch})"}
            (self.best_point_,) = ax.plot([self.best_epoch], [best], "o", **options)
        ax.set(xlabel="epoch", ylabel="loss", **({"yscale": "log"} if log else {}))
        ax.xaxis.get_major_locator().set_params(integer=True)
        if log:
            label_logarithms(ax.yaxis)
        add_legend(ax)
        return self

    @classmethod
    def from_estimator(cls, estimator, *, log=False, ax=None, line_kw=None, validation_kw=None):
        """Draw the losses of a fitted autoencoder.

        Parameters
        ----------
        estimator : autoencoder or AutoEncoderOutlierDetector
            Fitted autoencoder, or fitted detector with a single autoencoder.
        log : bool, default=False
            Whether the loss axis is logarithmic.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure is made.
        line_kw, validation_kw : dict, default=None
            Keyword arguments for `matplotlib.axes.Axes.plot`, which draws the training losses and the held-out losses.

        Returns
        -------
        display : LossCurveDisplay
            Object that holds the losses.

        Raises
        ------
        ValueError
            If ``log`` is True and a loss is not positive.
        TypeError
            If the estimator is neither an autoencoder nor a detector with a single autoencoder.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        autoencoder = fitted_autoencoder(estimator)
        display = cls(
            loss_curve=autoencoder.loss_curve_,
            validation_loss_curve=autoencoder.validation_loss_curve_,
            best_epoch=autoencoder.best_epoch_,
        )
        return display.plot(ax, log=log, line_kw=line_kw, validation_kw=validation_kw)
