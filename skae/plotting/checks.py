"""Checks of the arguments of displays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import column_or_1d


def check_at_least_one(name: str, value: int) -> None:
    """Raise an error if there is nothing to draw."""
    if value < 1:
        raise ValueError(f"{name}={value} must be 1 or more.")


def one_label_per_row(y, n_rows: int) -> np.ndarray | None:
    """Return y as an array of ``n_rows`` labels, or None if it is None."""
    if y is None:
        return None
    y = column_or_1d(y, input_name="y")
    if len(y) != n_rows:
        raise ValueError(f"y has {len(y)} labels for {n_rows} rows: pass one label per row.")
    return y


def one_row(x) -> Any:
    """Return a row as a two-dimensional container, with its column names if it has any."""
    shape = np.shape(x)
    if len(shape) != 1 and shape[:-1] != (1,):
        raise ValueError(f"x must be one row, but has shape {shape}: pass X[i] or X[i:i + 1] to draw row i.")
    if isinstance(x, pd.Series):
        return x.to_frame().T
    if len(shape) == 2:
        return x
    return np.array(x, dtype=object if isinstance(x, list | tuple) else None).reshape(1, -1)
