"""One unit for all columns of a table."""

from __future__ import annotations

import numpy as np

from skae.messages import listed
from skae.tables import has_holes

CLIP = 1e6  # of scaled values: float32 holds their squares


class ColumnScaler:
    """Centre columns and divide them by ``std**0.25 * (range / sqrt(12))**0.75``; rows become float32.

    The range over sqrt(12) is the standard deviation of a uniform distribution. Measured on ADBench: divided by
    standard deviations, columns of heavy tails dominate; divided by ranges, their other values vanish. Holes stay, and
    the numbers of levels.
    """

    def __init__(self, X: np.ndarray, n_levels: tuple[int, ...] | None = None):
        is_category = np.array(n_levels or [0] * X.shape[1]) > 0
        low, high = (np.where(is_category, 0.0, f.reduce(X).astype(np.float64)) for f in (np.fmin, np.fmax))
        with np.errstate(over="ignore"):
            extent = high - low
            huge = np.flatnonzero(np.isinf(extent * len(X)))
        if len(huge):
            raise ValueError(f"Columns {listed(huge)} of X hold values too large for float64 sums. Scale X.")
        # the mean of a constant column is rounded, its minimum is not; one may be empty where rows are left out
        constant = ~(extent > 10 * np.finfo(X.dtype).eps * np.abs(low))
        unit = np.where(constant, 1.0, extent)  # squares of values in it do not overflow
        n = np.maximum(len(X) - np.isnan(X).sum(0), 1) if has_holes(X) else len(X)
        self.center = np.where(constant, np.nan_to_num(low), np.nansum(X, 0, dtype=np.float64) / n)
        parts = np.array_split(X, max(1, len(X) // 1024))
        variance = sum(np.nansum(np.square((part - self.center) / unit), 0) for part in parts) / n
        self.scale = np.where(constant, 1.0, unit * variance**0.125 / 12**0.375)

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return scaled rows, float32."""
        with np.errstate(over="ignore"):
            # a column may be constant but for its number format, in which rows come now
            center = self.center.astype(X.dtype).astype(np.float64)
            return ((X - center) / self.scale).clip(-CLIP, CLIP).astype(np.float32)

    def inverse_transform(self, Z: np.ndarray) -> np.ndarray:
        """Return rows in the units of X, float64."""
        return Z * self.scale + self.center
