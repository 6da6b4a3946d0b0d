"""Which rows a detector trains on, and which it sets its threshold on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_consistent_length

from skae._compat import check_y, warn_user
from skae.random import derived_seeds, seed_from
from skae.tables import read_rows, without_mask

HOLD_OUT = 1  # key of its random numbers, in addition to the autoencoder's


def read_table(detector: Any, X) -> np.ndarray:
    """Return the cells of the training rows; set the detector's table."""
    autoencoder, features = detector.autoencoder, detector.categorical_features
    if autoencoder is not None and isinstance(features, str):
        features = getattr(autoencoder, "categorical_features", None)
    if autoencoder is not None:
        autoencoder._validate_params()  # before they are looked at
    takes_tables = autoencoder is None or autoencoder._takes_tables()
    table, cells = read_rows(detector, X, None, features, takes_tables)
    if any(table.n_levels):
        if not takes_tables:
            autoencoder._refuse(table)
        if detector.error != "auto":
            raise ValueError(f"error={detector.error!r} is made of residuals, and categories have none: set 'auto'.")
    detector._table, detector._takes_holes = table, takes_tables
    return cells


def normal_rows(X: np.ndarray, y) -> np.ndarray:
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
            f"y has the labels {pd.unique(y)[:5]} and no -1: all rows are trained on as normal ones. Label outliers "
            "-1 and normal rows 1: where 1 stands for outliers, give np.where(y == 1, -1, 1)."
        )
    if outlier.all():
        raise ValueError("y labels every row -1: with novelty=True no row is left to train on.")
    return X[~outlier] if outlier.any() else X


def hold_out(X: np.ndarray, calibration_fraction: float | None, random_state) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the rows to train on and, drawn at random, those held out, if any."""
    if calibration_fraction is None:
        return X, None
    n_held_out = round(calibration_fraction * len(X))
    if not 0 < n_held_out < len(X):
        raise ValueError(
            f"calibration_fraction={calibration_fraction} of {len(X)} rows leaves no row to "
            f"{'train on' if n_held_out else 'calibrate on'}: change it or set it to None."
        )
    (seed,) = derived_seeds(seed_from(random_state), HOLD_OUT)
    order = np.random.default_rng(seed).permutation(len(X))
    return X[order[n_held_out:]], X[order[:n_held_out]]
