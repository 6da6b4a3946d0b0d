"""How long to train, in which steps."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Numbers that the loop follows; the estimators document them."""

    batch_size: int
    max_iter: int
    learning_rate: str  # "constant" | "cosine" | "adaptive"
    learning_rate_init: tuple[float, ...]  # one a member
    alpha: tuple[float, ...]  # one a member
    n_iter_no_change: int
    tol: float
    stops_on_stall: bool
    max_reductions: int = 4  # of an adaptive rate, each to a fifth

    def rate(self, progress: float, n_reductions: int) -> float:
        """Share of the rate at ``progress`` in [0, 1) of the fit, after ``n_reductions`` of an adaptive one."""
        if self.learning_rate == "cosine":  # Loshchilov & Hutter 2017
            return 0.5 * (1 + math.cos(math.pi * progress))
        return 1 / 5**n_reductions


def auto_batch_size(n_samples: int) -> int:
    """About 64 steps an epoch, in powers of two from 8 to 256 rows."""
    return 2 ** min(8, max(3, round(math.log2(max(n_samples, 1) / 64))))
