"""Autoencoders that store rows: the code of a row is the number of a stored one, which is also its reconstruction.

It is the limit of a denoising autoencoder trained on the stored rows as the noise goes to 0 (Alain & Bengio 2014), and
needs no training: the error is the distance to the nearest stored row.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

COPY = 1e-9  # squared distance, relative to the squared norm, up to which a row is the other one, rounded
SAME = 1e-5  # squared distance, relative to the squared norms, below which a product cannot tell rows apart


class StoredRows(nn.Module):
    """Rows to find the nearest of.

    A stored row equal to x, up to float32's rounding, is skipped once, as if it were x itself. So a stored row has the
    error of one that is not stored.
    """

    rows: Tensor  # (M, d)
    log_reach: Tensor  # (M,)

    def __init__(self, rows: np.ndarray):
        super().__init__()
        self.register_buffer("rows", torch.from_numpy(rows))
        self.register_buffer("log_reach", torch.zeros(len(rows), dtype=torch.float32, device="cpu"))

    def set_log_reach(self, values: np.ndarray) -> None:
        """Remember the logarithm of how far each row's own neighbours are, (M,)."""
        self.log_reach.copy_(torch.from_numpy(values))

    def squared_distances(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the squared distances from x, (B, d), to all rows, (B, M), from one product, and the sums of norms."""
        norms = x.square().sum(1, keepdim=True) + self.rows.square().sum(1)
        return torch.addmm(norms, x, self.rows.T, alpha=-2), norms

    def nearest(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the distances to the k nearest rows, ascending, and their numbers, both (B, k)."""
        k = min(k, len(self.rows) - 1)
        found = self.squared_distances(x)[0].topk(min(k + 2, len(self.rows)), largest=False).indices
        exact, order = (x.unsqueeze(1) - self.rows[found]).square().sum(-1).sort(dim=1, stable=True)  # (B, k + 2)
        copied = exact[:, :1] <= COPY * x.square().sum(1, keepdim=True)
        kept = copied.long() + torch.arange(k, device=x.device)
        return exact.gather(1, kept).sqrt(), found.gather(1, order).gather(1, kept)

    def distances(self, x: Tensor, k: int) -> Tensor:
        """Return the mean distance to the k nearest rows, the least, and the mean of the rows' `log_reach`, (B, 3)."""
        near, which = self.nearest(x, k)
        return torch.stack([near.mean(1), near[:, 0], self.log_reach[which].mean(1)], 1)

    def squared_differences(self, x: Tensor, k: int) -> Tensor:
        """Return each feature's mean squared difference to the k nearest rows, (B, d)."""
        return (x.unsqueeze(1) - self.rows[self.nearest(x, k)[1]]).square().mean(1)


class StoredSamples(StoredRows):
    """K random samples of rows, each an autoencoder of its own.

    Parameters
    ----------
    rows : ndarray of shape (n, d)
        Rows to draw from, n >= 2.
    n_members : int
        Number of samples, K.
    n_stored : int
        Rows in each; never more than half of them all.
    rng : Generator
        Draws the samples.
    """

    def __init__(self, rows: np.ndarray, n_members: int, n_stored: int, rng: np.random.Generator):
        n_stored = min(n_stored, len(rows) // 2)
        drawn = [rng.choice(len(rows), n_stored, replace=False) for _ in range(n_members)]
        super().__init__(rows[np.concatenate(drawn)])  # (K * n_stored, d)
        self.n_stored = n_stored

    def mean_distance(self, x: Tensor) -> Tensor:
        """Return the mean over the samples of the distance from x, (B, d), to the nearest row, (B,)."""
        squared, norms = self.squared_distances(x)
        squared = squared.masked_fill_(squared <= SAME * norms, 0.0).unflatten(1, (-1, self.n_stored))
        least, where = squared.min(2, keepdim=True)  # (B, K, 1)
        squared.scatter_add_(2, where, torch.zeros_like(least).masked_fill(least == 0, torch.inf))
        least = squared.amin(2)  # infinite where a sample holds nothing but x
        others = least.isfinite()
        return least.masked_fill(~others, 0.0).sqrt().sum(1) / others.sum(1).clamp(min=1)
