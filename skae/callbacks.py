"""Callbacks for long fits, in addition to scikit-learn's `ProgressBar` and `ScoringMonitor`."""

from __future__ import annotations

import copy
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from sklearn.callback import FitCallback

from skae.distributed import current_processes
from skae.estimators.base import NetworkEstimator
from skae.estimators.progress import SavedFit
from skae.persistence import ArtifactError, code_of, read_artifact, safetensors_of_torch, write_artifact
from skae.training import History

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
                self._begin(estimator, context.parent, self._begin_record(*_root_and_place(context.parent)))
            self._records[context.parent].add_epoch(fitted_estimator)
        elif context in self._records:
            self._records.pop(context).end(fitted_estimator)

    def _begin(self, estimator, context, record) -> None:
        # a callback passed down is otherwise torn down after the outermost fit, and never in a worker process
        to_tear_down = getattr(estimator, "_skl_callbacks_to_teardown", [])
        if self not in to_tear_down:
            to_tear_down.append(self)
        self._records[context] = record

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

    def add_epoch(self, fitted) -> None:
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
    """Save an autoencoder every few epochs and after the last, so that a fit can go on after it was killed.

    Each file is one of `skae.load`, which returns the autoencoder as it was after its last epoch. It also holds the
    state of the optimizer and all else that training needs: with ``resume`` the same call of `fit` goes on from it,
    and on the same CPU ends with the same bits as one that was never killed. A fit that had ended is not run again.

    Every fit has a file of its own, named for its place and for its parameters and rows: with ``path="iris.skae"`` a
    fit saves to ``iris.1f0c9a2e.skae``, the 13th fit of a search to
    ``iris.search-0.candidate-split-evaluation-12.5d8e01b7.skae``. Set it on the outermost estimator: a pipeline, a
    search and a detector pass it down to the autoencoders in it, in worker processes too. The members of a bag are
    trained one by one then.

    A file is replaced as a whole, so there is a readable one at any time. A fit that fails or is interrupted saves the
    state after its last complete epoch. If a file cannot be saved, a warning is logged, once for each fit; the fit
    goes on, and the earlier file stays. Pre-training is not saved: a stacked autoencoder that is killed in it begins
    anew. A process that is killed while it writes leaves a hidden file besides, ``.<32 digits>.part``, to be deleted.

    Parameters
    ----------
    path : str or path
        File to save to, by convention with the suffix ``.skae``. Its folder is created if needed.
    every : int, default=10
        Number of epochs between two checkpoints.
    resume : bool, default=False
        Whether a fit goes on from its file, where there is one. With ``random_state=None`` it has the seed of the
        earlier one. What draws rows or seeds for its parts, as a bag or a splitter does, needs a ``random_state``:
        otherwise these are other fits each time. A stream larger than memory needs a number as ``max_memory``. Where
        ``network``, ``corruption`` or ``prior`` is an object of your own, only its class is compared.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    ValueError
        If ``every`` is not an integer of 1 or more. From `fit`, before training, if no file can be saved to ``path``.
    skae.persistence.ArtifactError
        From `fit`, before training, if the file to go on from is damaged or of another fit. The file stays.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import load_iris
    >>> from skae import AutoEncoderTransformer, load
    >>> from skae.callbacks import Checkpoint
    >>> X, _ = load_iris(return_X_y=True)
    >>> autoencoder = AutoEncoderTransformer(2, max_iter=25)
    >>> with TemporaryDirectory() as folder:
    ...     autoencoder.set_callbacks(Checkpoint(Path(folder, "iris.skae"), resume=True)).fit(X)
    ...     (path,) = Path(folder).glob("iris.*.skae")
    ...     load(path).n_iter_
    AutoEncoderTransformer(...)
    25
    """

    def __init__(self, path, every=10, resume=False):
        if not isinstance(every, Integral) or every < 1:
            raise ValueError(f"every={every!r} must be a number of epochs, an integer of 1 or more.")
        if not isinstance(resume, bool):
            raise ValueError(f"resume={resume!r} must be True or False.")
        safetensors_of_torch()  # raises now, not in the fit
        super().__init__()
        self.path = Path(path).absolute()  # a worker process may be in another folder
        self.every, self.resume = int(every), resume

    def setup(self, estimator, context):
        """Make the folder and try to write there."""
        try:
            if self.path.exists() and not self.path.is_file():
                raise ValueError(f"path={str(self.path)!r} is a folder or a device: give the name of a file.")
            self.path.parent.mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=self.path.parent).close()
        except OSError as error:
            raise ValueError(f"path={str(self.path)!r} cannot be written: {error}. Give another.") from error

    def on_fit_task_begin(self, estimator, context, *, metadata=None):
        """Begin the record of a fit of an autoencoder, and let it go on from its file."""
        if not isinstance(estimator, NetworkEstimator) or context.task_name == "epoch" or metadata is None:
            return
        key, processes = metadata["fit_key"], current_processes()
        place = [*_root_and_place(context)[1], key[:8]]
        path = self.path.with_name(".".join([self.path.stem, *place]) + self.path.suffix)
        saved = None
        if self.resume and processes.rank == 0 and path.exists():
            saved = _read(path, key, estimator)
            how = "had ended" if saved.history is None else f"goes on after epoch {saved.estimator.n_iter_}"
            logger.info("The fit of %s in %s %s.", type(estimator).__name__, path, how)
        if self.resume and (saved := processes.first(saved)) is not None:  # another checkpoint may have set one
            metadata["progress"].saved = saved
        # processes that train one network write one file
        self._begin(estimator, context, _File(path, key, self.every if processes.rank == 0 else None))


def _read(path: Path, key: str, estimator: NetworkEstimator) -> SavedFit:
    """Return the fit that a file holds, or raise where it is not this one."""
    try:
        fitted, training = read_artifact(path, **code_of(estimator))
    except ArtifactError as error:
        raise ArtifactError(f"{error} Move it away to begin this fit anew.") from error
    if type(fitted) is not type(estimator) or training is None or training["fit_key"] != key:
        raise ArtifactError(
            f"{str(path)!r} is no checkpoint of this fit: it has other parameters or rows. Move it away."
        )
    history = training["history"]
    return SavedFit(fitted, None if history is None else History.of_snapshot(history))


class _File:
    """A fit's last checkpoint."""

    def __init__(self, path: Path, key: str, every: int | None):
        self._path, self._key, self._every, self._has_warned = path, key, every, False
        self._latest: tuple[NetworkEstimator, dict | None] | None = None  # what is still to be saved

    def add_epoch(self, fitted) -> None:
        if self._every is None:
            return
        history = fitted._history
        with self._warning_once():
            # weights and states of the optimizer are changed by the next epoch, which may fail
            self._latest = _without_callbacks(fitted, _network=copy.deepcopy(fitted._network)), history.snapshot()
            if len(history.epochs) % self._every == 0:
                self._save()

    def end(self, fitted=None) -> None:
        if fitted is not None and self._every is not None:  # with early stopping, its best weights
            self._latest = _without_callbacks(fitted), None
        with self._warning_once():
            self._save()

    def _save(self) -> None:
        if self._latest is not None:
            fitted, history = self._latest
            write_artifact(self._path, fitted, {"fit_key": self._key, "history": history})
            self._latest = None

    @contextmanager
    def _warning_once(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a full disk; parameters and modules of any kind
            if not self._has_warned:
                self._has_warned = True
                logger.warning("Checkpoint cannot save to %s: %s: %s", self._path, type(error).__name__, error)


def _without_callbacks(fitted: NetworkEstimator, **changes: Any) -> NetworkEstimator:
    """Return a copy without callbacks, the task tree of the fit and its history."""
    attributes = {name: value for name, value in vars(fitted).items() if "callback" not in name and name != "_history"}
    saved = object.__new__(type(fitted))
    saved.__dict__ = attributes | changes
    return saved


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
