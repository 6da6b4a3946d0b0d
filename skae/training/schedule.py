"""How long to train, and in which steps."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Numbers that the loop follows; the estimators document them."""

    batch_size: int
    max_iter: int
    learning_rate: str  # "constant" | "cosine" | "adaptive"
    learning_rate_init: tuple[float, ...]  # one for each member
    alpha: tuple[float, ...]  # one for each member
    n_iter_no_change: int
    tol: float
    stops_on_stall: bool
    max_reductions: int = 4  # of an adaptive rate, each to a fifth

    def rates(self, epoch: int, n_steps: int, n_reductions: int) -> list[float]:
        """Return the factor of the learning rate for each step of an epoch, after reductions of an adaptive rate."""
        if self.learning_rate == "cosine":  # Loshchilov & Hutter 2017
            progress = [(epoch + i / n_steps) / self.max_iter for i in range(n_steps)]
            return [0.5 * (1 + math.cos(math.pi * share)) for share in progress]
        return [1 / 5**n_reductions] * n_steps


def auto_batch_size(n_samples: int) -> int:
    """Return the power of two from 8 to 256 that makes about 64 steps an epoch."""
    return 2 ** min(8, max(3, round(math.log2(max(n_samples, 1) / 64))))
