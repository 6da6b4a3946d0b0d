"""The rows to train on: kept on the device, or streamed to it where they do not fit."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from skae.device import free_memory
from skae.interfaces import Batch, RowSummary

logger = logging.getLogger(__name__)

SHARE_OF_FREE_MEMORY = 0.7  # the rest is for what training needs in addition: activations, gradients, Adam's moments
CHUNK_VALUES = 2**15  # summarized at a time, in float64; they stay in the processor's cache
ROUNDING = 1e-13  # deviation of a constant column that rounding leaves, relative to the mean


class Rows:
    """Inputs and targets of training, as float32 batches on the device.

    X, (n_samples, n_features), has any float type and is never written to. A target of None stands for X; labels are
    class numbers, -1 where unknown.
    """

    def __init__(
        self, X: np.ndarray, target: np.ndarray | None, device: torch.device, labels: np.ndarray | None = None
    ):
        self.device = device
        self._labels = None if labels is None else torch.from_numpy(labels.astype(np.int64)).to(device)
        arrays = [X] if target is None else [X, target]
        self._sources: list[np.ndarray | Tensor] = list(arrays)
        self._buffers: dict[tuple, tuple[Tensor, Tensor]] = {}  # (K, B, n_features), and as (K * B, n_features)
        needed = sum(4 * a.size for a in arrays if not _shares_memory(a, device))
        if not needed or needed <= SHARE_OF_FREE_MEMORY * free_memory(device):
            with suppress(torch.OutOfMemoryError, MemoryError):
                self._sources = [torch.from_numpy(_as_float32(a)).to(device) for a in arrays]
        if self._sources[0] is X:
            logger.warning("%.1f GB of rows do not fit on %s: they are streamed.", needed / 1e9, device)

    def batch(self, index: Tensor) -> Batch:
        """Return the rows ``index``, (K, B), as a batch (K, B, n_features)."""
        parts = [self._take(i, index) for i in range(len(self._sources))]
        return Batch(parts[0], parts[-1], None if self._labels is None else self._labels[index])

    def batches(self, index: Tensor, batch_size: int) -> Iterator[Batch]:
        """Split ``index``, (K, n), into batches of nearly one size <= ``batch_size``, each valid until the next."""
        n_batches = -(-index.shape[1] // batch_size)
        for part in index.tensor_split(n_batches, dim=1):
            yield self.batch(part)

    def _take(self, i: int, index: Tensor) -> Tensor:
        source, flat = self._sources[i], index.reshape(-1)
        if not isinstance(source, Tensor):
            taken = torch.from_numpy(_as_float32(source[flat.cpu().numpy()])).to(self.device)
            return taken.view(*index.shape, -1)
        buffers = self._buffers.get((i, index.shape))
        if buffers is None:
            taken = source.new_empty(*index.shape, source.shape[1])
            buffers = self._buffers[i, index.shape] = taken, taken.view(-1, source.shape[1])
        torch.index_select(source, 0, flat, out=buffers[1])
        return buffers[0]


def _shares_memory(array: np.ndarray, device: torch.device) -> bool:
    """Whether the array's float32 tensor on the device needs no memory of its own."""
    return device.type == "cpu" and array.dtype == np.float32 and array.flags.c_contiguous and array.flags.writeable


def _as_float32(array: np.ndarray) -> np.ndarray:
    """Return an array that torch can share the memory of, copied only where it must be."""
    with np.errstate(under="ignore"):
        return np.require(array, np.float32, ["C", "W"])


def summarize(X: np.ndarray) -> RowSummary:
    """Return the mean and scale of rows in float64, without a copy of X; constant rows have scale 1."""
    mean, variance = moments(X)
    return RowSummary(torch.from_numpy(mean), float(np.sqrt(variance.mean())) or 1.0, unresolved(mean, variance), X)


def moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and variance of each column in float64, without a copy of X; of a constant one 0."""
    n_chunk = max(1, CHUNK_VALUES // X.shape[1])
    n, mean, squares = 0, np.zeros(X.shape[1]), np.zeros(X.shape[1])  # sums of squared deviations
    with np.errstate(under="ignore"):
        for start in range(0, len(X), n_chunk):  # merged as in Chan, Golub & LeVeque 1979
            rows = X[start : start + n_chunk].astype(np.float64)
            ones = np.ones(len(rows))
            center = ones @ rows / len(rows)
            rows -= center
            np.square(rows, out=rows)
            n += len(rows)
            share = len(rows) / n
            squares += ones @ rows + np.square(center - mean) * (len(rows) * (1 - share))
            mean += (center - mean) * share
        variance = squares / n
        return mean, np.where(variance > np.square(ROUNDING * mean), variance, 0.0)


def unresolved(mean: np.ndarray, variance: np.ndarray) -> tuple[int, ...]:
    """Return the columns whose variation float32 cannot resolve, so far are they from 0."""
    resolution = np.spacing(np.abs(mean).astype(np.float32))
    return tuple(np.flatnonzero((variance > 0) & (resolution > 0.01 * np.sqrt(variance))).tolist())
