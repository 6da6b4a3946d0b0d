"""Classes of which some are unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils.validation import check_consistent_length

from skae._compat import check_y


def read_labels(X: np.ndarray, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the label of each row of X and whether it is unknown, both (n,).

    Raises
    ------
    ValueError
        If y is not a label a row, or says otherwise than by -1 that some are unknown.
    """
    # before nullable integers become floats; what is sparse is refused below
    unknown = np.empty(0) if issparse(y) else find_unknown(np.asarray(y).ravel())
    y = check_y(y)
    check_consistent_length(X, y)
    return y, unknown


def find_unknown(y: np.ndarray) -> np.ndarray:
    """Return which labels are unknown, (n,): those that are -1 or, among strings, "-1".

    Raises
    ------
    ValueError
        If y seems to say so in another way: by NaN, None, or -1 in an unsigned type, which is its largest number.
    """
    if y.dtype.kind == "u" and len(y) and y.max() == np.iinfo(y.dtype).max:
        raise ValueError(
            f"y holds {y.max()}, the largest {y.dtype}: -1, which stands for an unknown class, becomes that in an "
            "unsigned type. Convert the labels first: np.where(known, y.astype(int), -1)."
        )
    if pd.isna(y).any():
        raise ValueError("Input y contains NaN or None. A class that is unknown is -1: np.where(known, y, -1).")
    if y.dtype.kind in "US":
        return y == "-1"
    return (y == -1) | (y == "-1") if y.dtype.kind == "O" else y == -1


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
