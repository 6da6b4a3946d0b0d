"""Callbacks for long fits, beside scikit-learn's own `ProgressBar` and `ScoringMonitor`."""

from __future__ import annotations

import copy
import os
import pickle
from numbers import Integral
from pathlib import Path
from typing import Any

from skae.estimators import BaseAutoEncoder


class TensorBoardLogger:
    """Write the losses of every epoch for TensorBoard.

    Every fit of an autoencoder becomes a run of its own: a folder with the training loss, with early stopping the
    validation loss, and the estimator's parameters. Set on a pipeline, a search or a detector it is passed down to
    the autoencoders in it, in worker processes too.

    Parameters
    ----------
    log_dir : str or path, default="runs"
        Folder of the runs. They are named for the time, the estimator that the logger is set on, and the place of the
        fit in that.

    Raises
    ------
    ImportError
        If tensorboard is not installed.

    See Also
    --------
    skae.plotting.LossCurveDisplay : The same curves, once the fit has ended.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skae import AutoEncoderTransformer
    >>> from skae.callbacks import TensorBoardLogger
    >>> X, _ = load_iris(return_X_y=True)
    >>> search = GridSearchCV(AutoEncoderTransformer(max_iter=3), {"n_components": [1, 2]}, cv=2)
    >>> with TemporaryDirectory() as folder:  # in a shell: tensorboard --logdir <folder>
    ...     search.set_callbacks(TensorBoardLogger(folder)).fit(X)
    ...     len(list(Path(folder).rglob("events.*")))  # two candidates on two folds each, and the best on all rows
    GridSearchCV(...)
    5
    """

    max_propagation_depth = None  # however deep the autoencoder lies

    def __init__(self, log_dir="runs"):
        _summary_writer_class()  # a lack of tensorboard is better known before the fit
        self.log_dir = log_dir
        self._writers: dict[Any, Any] = {}  # of the fits that this process is at, by their contexts

    def setup(self, estimator, context):
        """Do nothing: the writer of a fit is opened in the process that runs it."""

    def on_fit_task_begin(self, estimator, context):
        """Do nothing: there is no loss yet."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        """Write an epoch's losses, or end the run of a fit."""
        if _is_epoch(estimator, context):
            if context.parent not in self._writers:
                self._writers[context.parent] = self._open_writer(estimator, context.parent)
            writer, epoch = self._writers[context.parent], fitted_estimator.n_iter_
            writer.add_scalar("loss/training", fitted_estimator.loss_curve_[-1], epoch)
            if estimator.early_stopping:
                writer.add_scalar("loss/validation", fitted_estimator.validation_loss_curve_[-1], epoch)
            writer.flush()
        elif context in self._writers:
            self._writers.pop(context).close()

    def teardown(self, estimator, context):
        """End the runs of fits that have failed."""
        for fit in list(self._writers):  # a copy, for fits in other threads may begin
            if fit.root_uuid == context.root_uuid:
                self._writers.pop(fit).close()

    def _open_writer(self, estimator, fit):
        place: list[str] = []
        while fit.parent is not None:
            place.insert(0, f"{fit.source_task_name or fit.task_name}-{fit.task_id}")
            fit = fit.parent
        started = fit.init_time.astimezone().strftime("%Y%m%d-%H%M%S")
        run = f"{started}-{fit.estimator_name}-{fit.root_uuid.hex[:8]}"
        writer = _summary_writer_class()(os.path.join(self.log_dir, run, *place))
        writer.add_text("estimator", repr(estimator))
        return writer

    def __getstate__(self):
        return {**vars(self), "_writers": {}}


class Checkpoint:
    """Save a fitted copy of an autoencoder every few epochs, so that a long fit survives a crash.

    The file is a pickle of the autoencoder with the weights of that epoch, without its callbacks. It is replaced as a
    whole, so there is a readable one at any time. A warm start from it goes on, with a new optimizer and a new
    learning-rate schedule.

    Set it on the autoencoder, also within a pipeline or a detector. The fits of a search would overwrite each other's
    file.

    Parameters
    ----------
    path : str or path
        File to save to. Its folder is made where there is none.
    every : int, default=10
        Epochs from one copy to the next.

    Raises
    ------
    ValueError
        If ``every`` is not an integer of 1 or more.

    Examples
    --------
    >>> import pickle
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import load_iris
    >>> from skae import AutoEncoderTransformer
    >>> from skae.callbacks import Checkpoint
    >>> X, _ = load_iris(return_X_y=True)
    >>> autoencoder = AutoEncoderTransformer(2, max_iter=25)
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "iris.pickle")
    ...     autoencoder.set_callbacks(Checkpoint(path)).fit(X)
    ...     saved = pickle.loads(path.read_bytes())
    AutoEncoderTransformer(...)
    >>> saved.n_iter_
    20
    >>> saved.set_params(warm_start=True, max_iter=5).fit(X).n_iter_
    25
    """

    def __init__(self, path, every=10):
        if not isinstance(every, Integral) or every < 1:
            raise ValueError(f"every={every!r} must be a number of epochs, an integer of 1 or more.")
        self.path = path
        self.every = every

    def setup(self, estimator, context):
        """Make the folder."""
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)

    def on_fit_task_begin(self, estimator, context):
        """Do nothing: there is no new state yet."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        """Save the state after an epoch whose turn it is."""
        if not _is_epoch(estimator, context) or (context.task_id + 1) % self.every:
            return
        saved = copy.copy(fitted_estimator)
        # the task tree of this fit, and callbacks that may not be picklable
        saved.__dict__ = {name: value for name, value in vars(saved).items() if "callback" not in name}
        path = Path(self.path)
        unfinished = path.with_name(f"{path.name}.part")
        unfinished.write_bytes(pickle.dumps(saved))
        unfinished.replace(path)

    def teardown(self, estimator, context):
        """Do nothing: the last copy stays."""


def _is_epoch(estimator, context) -> bool:
    return isinstance(estimator, BaseAutoEncoder) and context.task_name == "epoch"


def _summary_writer_class():
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError(
            'TensorBoardLogger requires tensorboard: python -m pip install "skae[tensorboard]".'
        ) from error
    return SummaryWriter
