"""What is to be known of rows before training, in one pass over them."""

from __future__ import annotations

import numpy as np
import torch

from skae.interfaces import RowSummary

CHUNK_VALUES = 2**16  # summarized at a time, in float64; they stay in the processor's cache
ROUNDING = 1e-13  # deviation of a constant column that rounding leaves, relative to the mean


class Moments:
    """Mean, variance and bounds of each column, of the values that are not NaN."""

    def __init__(self, n_columns: int):
        self.n = np.zeros(n_columns)
        self.mean, self._squares = np.zeros(n_columns), np.zeros(n_columns)  # sums of squared deviations
        self.low, self.high = np.full(n_columns, np.inf), np.full(n_columns, -np.inf)

    def add(self, rows: np.ndarray) -> None:
        """Add rows, (n, n_columns), without a copy of them."""
        n_chunk = max(1, CHUNK_VALUES // rows.shape[1])
        with np.errstate(under="ignore"):
            for start in range(0, len(rows), n_chunk):
                self._add_chunk(rows[start : start + n_chunk])

    def _add_chunk(self, rows: np.ndarray) -> None:
        other = Moments(rows.shape[1])
        other.low, other.high = np.fmin.reduce(rows).astype(np.float64), np.fmax.reduce(rows).astype(np.float64)
        rows = rows.astype(np.float64)
        ones = np.ones(len(rows))
        sums = ones @ rows
        if np.isnan(sums).any():
            known = ~np.isnan(rows)
            other.n = known.sum(0).astype(float)
            other.mean = np.where(known, rows, 0.0).sum(0) / np.maximum(other.n, 1)
            rows = np.where(known, rows - other.mean, 0.0)
            other.low, other.high = np.fmin(other.low, np.inf), np.fmax(other.high, -np.inf)
        else:
            other.n[:] = len(rows)
            other.mean = sums / len(rows)
            rows -= other.mean
        other._squares = ones @ np.square(rows, out=rows)
        self.merge(other)

    def merge(self, other: Moments) -> None:
        """Add those of other rows (Chan, Golub & LeVeque 1979)."""
        n = self.n + other.n
        share = other.n / np.maximum(n, 1)
        with np.errstate(under="ignore"):
            self._squares += other._squares + np.square(other.mean - self.mean) * (other.n * (1 - share))
            self.mean += (other.mean - self.mean) * share
        self.n = n
        self.low, self.high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)

    @property
    def variance(self) -> np.ndarray:
        """0 for a constant column."""
        variance = self._squares / np.maximum(self.n, 1)
        return np.where(variance > np.square(ROUNDING * self.mean), variance, 0.0)

    def summary(self, X) -> RowSummary:
        """Return what a network is built from; constant rows have scale 1. ``X`` are some of the rows."""
        variance = self.variance
        return RowSummary(
            torch.from_numpy(self.mean), float(np.sqrt(variance.mean())) or 1.0, unresolved(self.mean, variance), X
        )


def unresolved(mean: np.ndarray, variance: np.ndarray) -> tuple[int, ...]:
    """Return the columns whose variation float32 cannot resolve, so far are they from 0."""
    resolution = np.spacing(np.abs(mean).astype(np.float32))
    return tuple(np.flatnonzero((variance > 0) & (resolution > 0.01 * np.sqrt(variance))).tolist())
