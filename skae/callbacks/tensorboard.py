"""TensorBoard's record of fits."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.sparse import issparse
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skae.callbacks.follower import FitFollower
from skae.estimators import BaseAutoEncoder
from skae.estimators.base import NetworkEstimator
from skae.images import as_images, scaled, value_range
from skae.messages import listed
from skae.outliers.bagging import BaggedAutoEncoders
from skae.tables import read_rows

logger = logging.getLogger(__name__)

N_IMAGES = 10


class TensorBoardLogger(FitFollower):
    """Write what TensorBoard shows of a fit: losses, learning rate, reconstructions and codes.

    Every fit of an autoencoder becomes a run of its own: a folder with the training loss, with early stopping the
    validation loss, and the learning rate of every epoch, and the estimator's parameters. With rows ``X`` it also has
    their codes after the fit, for the projector, and if they are images the first ten of them above their
    reconstructions, every few epochs. A pipeline, a search or a detector passes the logger down to the autoencoders in
    it, in worker processes too. If a run cannot be written, a warning is logged and the fit goes on.

    Parameters
    ----------
    log_dir : str or path, default="runs"
        Folder of the runs, which are named for the time, the outermost estimator, and the place of the fit in that.
    X : array-like of shape (n_samples, n_features), default=None
        Rows to encode and reconstruct, as the autoencoder gets them: if other steps of a pipeline come first, what
        they make of the rows. If None, there are neither codes nor reconstructions.
    y : array-like of shape (n_samples,), default=None
        Labels of X in the projector.
    image_shape : tuple of int, default=None
        Shape of a row of X that is an image: (height, width), or (channels, height, width) with 1 or 3 channels. If
        None, there are no reconstructions, and points in the projector have no images.
    every : int, default=5
        Number of epochs between two reconstructions. Those of the fitted autoencoder come last.

    Raises
    ------
    ImportError
        If tensorboard is not installed.
    ValueError
        If ``log_dir`` is no path, X is sparse, y does not have one label per row, ``image_shape`` is not the shape of
        an image with n_features values, y or ``image_shape`` is given without X, or ``every`` is not an integer of 1 or
        more. From `fit`, before training, if the autoencoder cannot take X, has no reconstructions to draw, or is of a
        bag that scales its rows.

    See Also
    --------
    skae.plotting.LossCurveDisplay : The losses, once the fit has ended.
    skae.plotting.ReconstructionDisplay : The reconstructions.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skae import AutoEncoderTransformer
    >>> from skae.callbacks import TensorBoardLogger
    >>> X, y = load_digits(return_X_y=True)
    >>> search = GridSearchCV(AutoEncoderTransformer(max_iter=3), {"n_components": [2, 4]}, cv=2)
    >>> with TemporaryDirectory() as folder:  # in a shell: tensorboard --logdir <folder>
    ...     logger = TensorBoardLogger(folder, X=X[:100], y=y[:100], image_shape=(8, 8))
    ...     search.set_callbacks(logger).fit(X)
    ...     len(list(Path(folder).rglob("events.*")))  # two candidates on two folds each, and the best on all rows
    GridSearchCV(...)
    5
    """

    def __init__(self, log_dir="runs", *, X=None, y=None, image_shape=None, every=5):
        _summary_writer_class()  # raises now, not in the fit, where there is no tensorboard
        if X is None and not (y is None and image_shape is None):
            given = f"y={listed(y)}" if image_shape is None else f"image_shape={image_shape!r}"
            raise ValueError(f"{given} describes rows, but X=None: give the rows to encode and reconstruct as X.")
        if not isinstance(every, Integral) or every < 1:
            raise ValueError(f"every={every!r} must be a number of epochs, an integer of 1 or more.")
        if not isinstance(log_dir, str | os.PathLike):
            raise ValueError(f"log_dir={log_dir!r} must be the path of a folder.")
        if issparse(X):
            raise ValueError("X of TensorBoardLogger must not be sparse: give X.toarray().")
        if X is not None and len(np.shape(X)) != 2:
            raise ValueError(f"X must hold rows, (n_samples, n_features), but has the shape {np.shape(X)}.")
        if y is not None:
            y = column_or_1d(y, input_name="y")
            check_consistent_length(X, y)
        if image_shape is not None:
            as_images(np.asarray(X), image_shape)
        super().__init__()
        self.log_dir, self.X, self.y, self.image_shape, self.every = log_dir, X, y, image_shape, int(every)

    def on_fit_task_begin(self, estimator, context):
        """Check that an autoencoder that is about to be trained can take the rows."""
        if self.X is None or context.task_name == "epoch":
            return
        if isinstance(estimator, BaggedAutoEncoders) and estimator.scale_free:
            raise ValueError(
                "X of TensorBoardLogger cannot be encoded by the networks of a detector with autoencoder=None, each of "
                "which scales rows by its own training rows: set X=None, or give the detector an autoencoder."
            )
        if isinstance(estimator, NetworkEstimator):
            rows = self._rows_for(estimator)
            try:
                read_rows(estimator, rows, estimator._table, takes_holes=estimator._takes_tables())
            except (ValueError, TypeError) as error:
                kind = type(estimator).__name__
                raise ValueError(f"X of TensorBoardLogger are no rows for this {kind}: {error}") from error

    def _rows_for(self, estimator: Any) -> Any:
        """Return X as an estimator takes it: with names of columns where it was fitted with some."""
        kind, n_columns = type(estimator).__name__, np.shape(self.X)[1]
        if n_columns != estimator.n_features_in_:
            raise ValueError(
                f"X of TensorBoardLogger has {n_columns} features, but this {kind} is trained on "
                f"{estimator.n_features_in_}: give rows as the autoencoder gets them, transformed by the other steps "
                "of a pipeline."
            )
        if self.image_shape is not None and not isinstance(estimator, BaseAutoEncoder):
            raise ValueError(
                f"image_shape={self.image_shape!r} of TensorBoardLogger asks for reconstructions, but {kind} makes "
                "none: set image_shape=None."
            )
        names = getattr(estimator, "feature_names_in_", None)
        if names is None:
            return np.asarray(self.X)
        return self.X if hasattr(self.X, "columns") else pd.DataFrame(self.X, columns=names)

    def _begin_record(self, root, place):
        started = root.init_time.astimezone().strftime("%Y%m%d-%H%M%S")
        run = f"{started}-{root.estimator_name}-{root.root_uuid.hex[:8]}"
        return _Run(os.path.join(self.log_dir, run, *place), self)


class _Run:
    """TensorBoard's record of a fit."""

    def __init__(self, folder: str, settings: TensorBoardLogger):
        self._writer: Any = None
        self._folder, self._settings, self._has_failed = folder, settings, False

    def add_epoch(self, fitted) -> None:
        if self._has_failed:
            return
        try:
            if self._writer is None:
                self._writer = _summary_writer_class()(self._folder)
                self._writer.add_text("estimator", repr(fitted))
            epoch = fitted.n_iter_
            self._writer.add_scalar("loss/training", fitted.loss_curve_[-1], epoch)
            if fitted.early_stopping:
                self._writer.add_scalar("loss/validation", fitted.validation_loss_curve_[-1], epoch)
            rate = float(fitted.learning_rate_init) * fitted._history.rate
            self._writer.add_scalar("learning_rate", rate, epoch)
            if self._settings.image_shape is not None and epoch % self._settings.every == 0:
                self._add_reconstructions(fitted)
            self._writer.flush()
        except OSError as error:
            self._fail(error)

    def end(self, fitted=None) -> None:
        if self._writer is None:
            return
        try:
            if fitted is not None and not self._has_failed:
                self._add_fitted(fitted)
        except OSError as error:
            self._fail(error)
        with suppress(OSError):  # every epoch has been flushed, or a failure logged
            self._writer.close()

    def _add_fitted(self, fitted) -> None:
        settings = self._settings
        if settings.image_shape is not None and (fitted.early_stopping or fitted.n_iter_ % settings.every):
            self._add_reconstructions(fitted)  # with early stopping the best weights are those of another epoch
        if settings.X is not None:
            images = None
            if settings.image_shape is not None:
                images = _square(as_images(np.asarray(settings.X), settings.image_shape))
            codes = np.asarray(fitted.transform(settings._rows_for(fitted)))
            self._writer.add_embedding(codes, settings.y, images, fitted.n_iter_, tag="codes")

    def _add_reconstructions(self, fitted) -> None:
        rows = self._settings._rows_for(fitted)[:N_IMAGES]
        originals = np.asarray(rows)
        limits = value_range(originals)
        pairs = [originals, np.asarray(fitted.reconstruct(rows))]
        picture = np.concatenate(
            [_side_by_side(scaled(as_images(pair, self._settings.image_shape), *limits)) for pair in pairs]
        )
        kind = "HWC" if picture.ndim == 3 else "HW"
        self._writer.add_image("reconstructions", picture, fitted.n_iter_, dataformats=kind)

    def _fail(self, error: OSError) -> None:
        self._has_failed = True
        logger.warning("TensorBoardLogger cannot write to %s and stops: %s", self._folder, error)


def _side_by_side(images: np.ndarray) -> np.ndarray:
    """Return images, (n, height, width, ...), as one with white lines between them."""
    framed = np.pad(images, [(0, 0), (0, 1), (0, 1), *[(0, 0)] * (images.ndim - 3)], constant_values=1)
    return np.concatenate(list(framed), axis=1)


def _square(images: np.ndarray) -> torch.Tensor:
    """Return images as the projector takes them, (n, 3, side, side) between 0 and 1."""
    images = scaled(images, *value_range(images))
    if images.ndim == 3:
        images = np.repeat(images[..., None], 3, axis=-1)
    height, width = images.shape[1:3]
    side = max(height, width)
    padded = np.pad(images, [(0, 0), (0, side - height), (0, side - width), (0, 0)], constant_values=1)
    return torch.from_numpy(np.moveaxis(padded, -1, 1).astype(np.float32))


def _summary_writer_class():
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError('TensorBoardLogger needs tensorboard: python -m pip install "skae[tensorboard]".') from error
    return SummaryWriter
