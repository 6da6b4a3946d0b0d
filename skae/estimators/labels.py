"""Classes of which some are unknown."""

from __future__ import annotations

import numpy as np
import pandas as pd


def find_unknown(y: np.ndarray) -> np.ndarray:
    """Return which labels are unknown, (n,): -1, or "-1" where y has a string type.

    Raises
    ------
    ValueError
        If y holds NaN, None or the largest number of an unsigned type, which is what -1 becomes there.
    """
    if y.dtype.kind == "u" and len(y) and y.max() == np.iinfo(y.dtype).max:
        raise ValueError(
            f"y holds {y.max()}, the largest {y.dtype}: -1, which stands for an unknown class, becomes that in an "
            "unsigned type. Convert the labels first: np.where(known, y.astype(int), -1)."
        )
    if pd.isna(y).any():
        raise ValueError("Input y contains NaN or None. A class that is unknown is -1: np.where(known, y, -1).")
    return y == ("-1" if y.dtype.kind in "US" else -1)


def encode_labels(y: np.ndarray, unknown: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the index of each row's class, (n,), -1 where unknown.

    Raises
    ------
    ValueError
        If y has classes that are not among those given.
    """
    if len(new := np.setdiff1d(y[~unknown], classes)):
        raise ValueError(f"y has classes {new.tolist()} beside classes_={classes.tolist()} of the first fit.")
    labels = np.full(len(y), -1)
    labels[~unknown] = np.searchsorted(classes, y[~unknown])
    return labels
