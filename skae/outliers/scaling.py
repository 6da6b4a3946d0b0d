"""Columns of any unit, made comparable."""

from __future__ import annotations

import numpy as np

CLIP = 1e6  # of scaled values: float32 holds their squares


class ColumnScaler:
    """Centre columns and divide them by ``std**0.25 * (range / sqrt(12))**0.75``; rows become float32.

    The range over sqrt(12) is the standard deviation of a uniform distribution. Measured on ADBench: divided by
    standard deviations, columns of heavy tails dominate; divided by ranges, their other values vanish.
    """

    def __init__(self, X: np.ndarray):
        low, high = X.min(0).astype(np.float64), X.max(0).astype(np.float64)
        with np.errstate(over="ignore"):
            extent = high - low
            huge = np.flatnonzero(~np.isfinite(extent * len(X)))
        if len(huge):
            raise ValueError(f"Columns {huge[:5].tolist()} of X hold values too large for float64 sums. Scale X.")
        # the mean of a constant column is rounded, its minimum is not
        constant = extent <= 10 * np.finfo(X.dtype).eps * np.abs(low)
        unit = np.where(constant, 1.0, extent)  # squares of values in it do not overflow
        self.center = np.where(constant, low, X.mean(0, dtype=np.float64))
        parts = np.array_split(X, max(1, len(X) // 1024))
        variance = sum(np.square((part - self.center) / unit).sum(0) for part in parts) / len(X)
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
