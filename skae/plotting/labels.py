"""Labels of rows."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import column_or_1d


def one_label_a_row(y, n_rows: int) -> np.ndarray | None:
    """Return y as an array of ``n_rows`` labels, or None where there is none."""
    if y is None:
        return None
    y = column_or_1d(y, input_name="y")
    if len(y) != n_rows:
        raise ValueError(f"y has {len(y)} labels for {n_rows} rows: give one label a row.")
    return y
