"""Checks of the arguments of displays."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_array, column_or_1d

from skae.messages import listed


def check_at_least_one(name: str, value: int) -> None:
    """Raise an error if there is nothing to draw."""
    if not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name}={value!r} must be 1 or more, and an integer.")


def one_label_per_row(y, n_rows: int, name: str = "y") -> np.ndarray | None:
    """Return y as an array of ``n_rows`` labels, or None if it is None."""
    if y is None:
        return None
    y = column_or_1d(y, input_name=name)
    if len(y) != n_rows:
        raise ValueError(f"{name} has {len(y)} labels for {n_rows} rows: pass one label per row.")
    try:
        np.unique(y)
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in y})
        raise ValueError(f"{name} mixes labels of the types {listed(kinds)}: make all of them texts.") from error
    return y


def outlier_labels(y, n_rows: int, name: str = "y") -> np.ndarray | None:
    """Return y as an array of ``n_rows`` labels, each +1 or -1, or None if it is None."""
    y = one_label_per_row(y, n_rows, name)
    if y is not None and (y.dtype == bool or not ((y == 1) | (y == -1)).all()):
        raise ValueError(
            f"{name} has the labels {listed(np.unique(y))}, but inliers must be labelled +1 and outliers -1. If "
            f"outliers are labelled 1, pass np.where({name} == 1, -1, 1)."
        )
    return y


def errors_of_rows(errors) -> np.ndarray:
    """Return errors as an array of numbers, one for each row. They may be infinite."""
    errors = column_or_1d(errors, dtype=np.float64, input_name="errors")
    errors = check_array(errors, ensure_2d=False, ensure_all_finite=False, input_name="errors")
    if not (errors > -np.inf).all():
        raise ValueError(
            f"errors contains NaN or minus infinity, first in row {(~(errors > -np.inf)).argmax()}: pass a number, or "
            "infinity for a row that is an outlier at any threshold."
        )
    return errors


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
