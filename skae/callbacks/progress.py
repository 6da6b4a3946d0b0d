"""Scikit-learn's progress bar, with the loss."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import Any

import sklearn.callback

from skae._compat import on_bar_message, send_to_bars
from skae.estimators.base import NetworkEstimator


class ProgressBar(sklearn.callback.ProgressBar):
    """Progress bars that say the epoch, the loss and the time left.

    It is `sklearn.callback.ProgressBar`, and says beside the bar of each fit of an autoencoder which epoch has ended
    and its loss: with early stopping the validation loss, else that of training. Set it on the outermost estimator: a
    pipeline, a search and a detector pass it down to the autoencoders in it, in worker processes too.

    Parameters
    ----------
    max_propagation_depth : int, default=1
        How many levels of estimators below the outermost have bars. 0 is none, None is all: of a search over
        pipelines, or of a detector that trains several networks, it takes 2 to see the epochs.

    Raises
    ------
    ImportError
        If rich is not installed or, in a notebook, ipywidgets.

    See Also
    --------
    TensorBoardLogger : Writes the losses to a file.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skae import AutoEncoderTransformer
    >>> from skae.callbacks import ProgressBar
    >>> X, _ = load_iris(return_X_y=True)
    >>> AutoEncoderTransformer(2, max_iter=3, random_state=0).set_callbacks(ProgressBar()).fit(X)
    AutoEncoderTransformer - fit ... 100% 0:00:00 epoch 3/3, loss ...
    AutoEncoderTransformer(...)
    """

    def __init__(self, max_propagation_depth=1):
        super().__init__(max_propagation_depth)
        from rich import get_console

        if get_console().is_jupyter and find_spec("ipywidgets") is None:
            raise ImportError('ProgressBar needs ipywidgets in a notebook: python -m pip install "skae[progress]".')

    def setup(self, estimator, context):
        """Begin to draw."""
        super().setup(estimator, context)
        on_bar_message(context, partial(_show, _state_column()))

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        """Move the bars on and say what an epoch has come to."""
        super().on_fit_task_end(estimator, context)
        if isinstance(estimator, NetworkEstimator) and context.task_name == "epoch":
            send_to_bars(self, context.parent, _describe(fitted_estimator))


def _describe(fitted: Any) -> str:
    # short, for lines of 80 characters
    name, curve = "loss", fitted.loss_curve_
    if fitted.early_stopping:
        name, curve = "val. loss", fitted.validation_loss_curve_
    return f"epoch {len(fitted._history.epochs)}/{fitted.max_iter}, {name} {curve[-1]:.3g}"


def _state_column():
    """Return a column of rich's table of bars that shows what `_show` has set."""
    from rich.progress import ProgressColumn
    from rich.table import Column
    from rich.text import Text

    class StateColumn(ProgressColumn):
        def render(self, task):
            return Text(task.fields.get("state", ""))

    return StateColumn(Column(no_wrap=True))


def _show(column: Any, progress: Any, bar: Any, state: str) -> None:
    """Show a state beside a bar."""
    if column not in progress.columns:
        progress.columns = (*progress.columns, column)
    progress.update(bar, state=state)
