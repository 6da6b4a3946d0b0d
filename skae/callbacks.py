"""Callbacks for long fits, in addition to scikit-learn's `ProgressBar` and `ScoringMonitor`."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import re
from collections.abc import Callable
from contextlib import suppress
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from uuid import uuid4

from sklearn.callback import FitCallback

from skae.estimators.base import NetworkEstimator

logger = logging.getLogger(__name__)


class _FitFollower(FitCallback):
    """A callback that writes a record of every fit of an autoencoder."""

    max_propagation_depth = None  # however deep the autoencoder lies
    _begin_record: Callable[[Any, list[str]], Any]

    def __init__(self):
        self._records: dict[Any, Any] = {}  # of the fits that run in this process, by their contexts

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        """Add an epoch to the record of its fit, or end the record."""
        if isinstance(estimator, NetworkEstimator) and context.task_name == "epoch":
            if context.parent not in self._records:
                # a callback passed down is otherwise torn down after the outermost fit, and never in a worker process
                to_tear_down = getattr(estimator, "_skl_callbacks_to_teardown", [])
                if self not in to_tear_down:
                    to_tear_down.append(self)
                self._records[context.parent] = self._begin_record(*_root_and_place(context.parent))
            self._records[context.parent].add_epoch(context.task_id + 1, fitted_estimator)
        elif context in self._records:
            self._records.pop(context).end(fitted_estimator)

    def teardown(self, estimator, context):
        """End the record of a fit that has failed."""
        if context in self._records:
            self._records.pop(context).end()

    def __getstate__(self):
        return {**vars(self), "_records": {}}


class TensorBoardLogger(_FitFollower):
    """Write the losses of every epoch for TensorBoard.

    Every fit of an autoencoder becomes a run of its own: a folder with the training loss, with early stopping the
    validation loss, and the estimator's parameters. A pipeline, a search or a detector passes the logger down to the
    autoencoders in it, in worker processes too. If a run cannot be written, a warning is logged and the fit goes on.

    Parameters
    ----------
    log_dir : str or path, default="runs"
        Folder of the runs, which are named for the time, the outermost estimator, and the place of the fit in that.

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

    def __init__(self, log_dir="runs"):
        _summary_writer_class()  # raises now, not in the fit, where there is no tensorboard
        super().__init__()
        self.log_dir = log_dir

    def _begin_record(self, root, place):
        started = root.init_time.astimezone().strftime("%Y%m%d-%H%M%S")
        run = f"{started}-{root.estimator_name}-{root.root_uuid.hex[:8]}"
        return _Run(os.path.join(self.log_dir, run, *place))


class _Run:
    """TensorBoard's record of a fit."""

    def __init__(self, folder: str):
        self._writer: Any = None
        self._folder, self._has_failed = folder, False

    def add_epoch(self, number, fitted) -> None:
        if self._has_failed:
            return
        try:
            if self._writer is None:
                self._writer = _summary_writer_class()(self._folder)
                self._writer.add_text("estimator", repr(fitted))
            self._writer.add_scalar("loss/training", fitted.loss_curve_[-1], fitted.n_iter_)
            if fitted.early_stopping:
                self._writer.add_scalar("loss/validation", fitted.validation_loss_curve_[-1], fitted.n_iter_)
            self._writer.flush()
        except OSError as error:
            self._has_failed = True
            logger.warning("TensorBoardLogger cannot write to %s and stops: %s", self._folder, error)

    def end(self, fitted=None) -> None:
        if self._writer is not None:
            with suppress(OSError):  # every epoch has been flushed, or a failure logged
                self._writer.close()


class Checkpoint(_FitFollower):
    """Save an autoencoder every few epochs and after the last, so that a long fit survives a crash.

    The file is a pickle of the fitted autoencoder without its callbacks. It is replaced as a whole, so there is a
    readable one at any time. A fit that fails or is interrupted saves the state after its last complete epoch. A warm
    start from the file continues, with a new optimizer and a new learning-rate schedule. If a file cannot be saved, a
    warning is logged, once for each fit. The fit goes on, and the earlier file stays.

    A pipeline, a search or a detector passes the checkpoint down to the autoencoders in it, in worker processes too:
    set it on the outermost estimator. Each fit has a file named for its place: with ``path="iris.pickle"`` the 13th
    fit of a search saves to ``iris.search-0.candidate-split-evaluation-12.pickle`` and its last, on all rows, to
    ``iris.refit-with-best-params-1.pickle``. A later fit in the same place replaces the file. Functions that do not
    support callbacks, such as `cross_validate`, give no place: their fits replace each other's file.

    Parameters
    ----------
    path : str or path
        File to save to. Its folder is created if needed.
    every : int, default=10
        Number of epochs between two checkpoints.

    Raises
    ------
    ValueError
        If ``every`` is not an integer of 1 or more. From `fit`, before training, if no file can be saved to ``path``.

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
    >>> saved.set_params(warm_start=True, max_iter=5).fit(X).n_iter_
    30
    """

    def __init__(self, path, every=10):
        if not isinstance(every, Integral) or every < 1:
            raise ValueError(f"every={every!r} must be a number of epochs, an integer of 1 or more.")
        super().__init__()
        self.path = Path(path).absolute()  # a worker process may be in another folder
        self.every = int(every)

    def setup(self, estimator, context):
        """Make the folder and try to write there."""
        try:
            if self.path.exists() and not self.path.is_file():
                raise ValueError(f"path={str(self.path)!r} is a folder or a device: give the name of a file.")
            self.path.parent.mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=self.path.parent).close()
        except OSError as error:
            raise ValueError(f"path={str(self.path)!r} cannot be written: {error}. Give another.") from error

    def _begin_record(self, root, place):
        return _File(self.path.with_name(".".join([self.path.stem, *place]) + self.path.suffix), self.every)


class _File:
    """A fit's last checkpoint."""

    def __init__(self, path: Path, every: int):
        self._path, self._every, self._has_warned = path, every, False

    def add_epoch(self, number, fitted) -> None:
        self._latest = fitted
        if number % self._every == 0:
            self._save()

    def end(self, fitted=None) -> None:
        if fitted is not None:  # with early stopping, its best weights
            self._latest = fitted
        self._save()

    def _save(self) -> None:
        unfinished = self._path.with_name(f"{self._path.name}.{uuid4().hex}.part")
        try:
            saved = copy.copy(self._latest)
            # the task tree of this fit, and callbacks that may not be picklable
            saved.__dict__ = {name: value for name, value in vars(saved).items() if "callback" not in name}
            with unfinished.open("xb") as file:
                pickle.dump(saved, file)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._path)
        except Exception as error:  # pickling runs the code of whatever the estimator holds
            if not self._has_warned:
                self._has_warned = True
                logger.warning("Checkpoint cannot save to %s: %s: %s", self._path, type(error).__name__, error)
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)


def _root_and_place(fit) -> tuple[Any, list[str]]:
    """Return the context of the outermost fit, and the names of the tasks from it to this fit."""
    if fit.parent is None:
        return fit, []
    root, place = _root_and_place(fit.parent)
    # a pipeline's steps may be called anything, at any length
    name = re.sub(r"[^\w.-]", "_", fit.source_task_name or fit.task_name)[:40]
    return root, [*place, f"{name}-{fit.task_id}"]


def _summary_writer_class():
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError('TensorBoardLogger needs tensorboard: python -m pip install "skae[tensorboard]".') from error
    return SummaryWriter
