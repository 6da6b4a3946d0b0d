"""Which rows a detector trains on, and which it sets its threshold on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_consistent_length

from skae._compat import check_y, warn_user
from skae.distributed import current_processes
from skae.estimators.fit_key import check_agreement
from skae.messages import listed
from skae.random import derived_seeds, random_mask, seed_from
from skae.tables import is_streamed, read_rows, read_stream, some_of, without_mask
from skae.training import HELD_OUT, RowStream

HOLD_OUT = 1  # key of its random numbers, in addition to the autoencoder's


def read_table(detector: Any, X) -> np.ndarray | RowStream:
    """Return the cells of the training rows; set the detector's table."""
    check_agreement(detector, X, current_processes())
    autoencoder, features = detector.autoencoder, detector.categorical_features
    if autoencoder is not None and isinstance(features, str):
        features = getattr(autoencoder, "categorical_features", None)
    if autoencoder is not None:
        autoencoder._validate_params()  # before they are looked at
    takes_tables = autoencoder is None or autoencoder._takes_tables()
    cells: np.ndarray | RowStream
    if is_streamed(X, detector.max_memory):
        table, cells = read_stream(detector, X, None, features, takes_tables)
    else:
        table, cells = read_rows(detector, X, None, features, takes_tables)
    if any(table.n_levels):
        if not takes_tables:
            autoencoder._refuse(table)
        if detector.error != "auto":
            raise ValueError(f"error={detector.error!r} is made of residuals, and categories have none: set 'auto'.")
    detector._table, detector._takes_holes = table, takes_tables
    return cells


def normal_rows(X: np.ndarray | RowStream, y) -> np.ndarray | RowStream:
    """Return the rows that are not labelled -1."""
    if y is None:
        return X
    y = check_y(without_mask(y))
    check_consistent_length(X, y)
    if pd.isna(y).any():
        raise ValueError("Input y contains NaN or None. With novelty=True it labels outliers -1 and normal rows 1.")
    outlier = y == -1
    if not outlier.any() and (y != 1).any():
        warn_user(
            f"y has the labels {listed(pd.unique(y))} and no -1: all rows are trained on as normal ones. Label "
            "outliers -1 and normal rows 1: where 1 stands for outliers, give np.where(y == 1, -1, 1)."
        )
    if outlier.all():
        raise ValueError("y labels every row -1: with novelty=True no row is left to train on.")
    if not outlier.any():
        return X
    return some_of(X, ~outlier) if isinstance(X, RowStream) else X[~outlier]


def hold_out(
    X: np.ndarray | RowStream, calibration_fraction: float | None, random_state
) -> tuple[np.ndarray | RowStream, np.ndarray | None]:
    """Return the rows to train on and, drawn at random, those held out, if any."""
    if calibration_fraction is None:
        return X, None
    n_held_out = round(calibration_fraction * len(X))
    if not 0 < n_held_out < len(X):
        raise ValueError(
            f"calibration_fraction={calibration_fraction} of {len(X)} rows leaves no row to "
            f"{'train on' if n_held_out else 'calibrate on'}: change it or set it to None."
        )
    processes = current_processes()
    (seed,) = derived_seeds(processes.first(seed_from(random_state)), HOLD_OUT)
    if isinstance(X, RowStream):  # they stay in memory
        held_out = random_mask(len(X), min(n_held_out, X.most_rows(HELD_OUT)), seed)
        _, rows = X.take(held_out)
        return some_of(X, ~held_out), np.concatenate(processes.gather(rows))
    held_out = random_mask(len(X), n_held_out, seed)
    return X[~held_out], X[held_out]
