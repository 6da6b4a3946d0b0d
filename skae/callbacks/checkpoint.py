"""Fits that can go on after they were killed."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from skae.callbacks.follower import FitFollower, root_and_place
from skae.distributed import current_processes
from skae.estimators.base import NetworkEstimator
from skae.estimators.progress import SavedFit
from skae.persistence import ArtifactError, code_of, read_artifact, safetensors_of_torch, write_artifact
from skae.training import History

logger = logging.getLogger(__name__)


class Checkpoint(FitFollower):
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
        place = [*root_and_place(context)[1], key[:8]]
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
