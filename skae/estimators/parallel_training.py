"""Training of several autoencoders by joblib's workers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from typing import Any

import joblib
import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from skae.estimators.batched_training import Fit, can_be_batched, train_batched
from skae.estimators.fitted import adopt_state, fitted_state


def train_in_workers(fits: Sequence[Fit]) -> None:
    """Train autoencoders on rows of the same X, a group for each worker that `joblib.parallel_config` asks for.

    Without workers those that can be batched are trained here. What cannot be trained stays unfitted.
    """
    n_groups = min(_n_workers(), len(fits))
    if n_groups <= 1:
        train_batched([fit for fit in fits if can_be_batched(fit.autoencoder)])
        return
    groups = [fits[k::n_groups] for k in range(n_groups)]  # a share of each kind
    # X is an argument of its own: joblib maps it into memory or dask scatters it, once
    calls = (
        delayed(_train_group)([fit.autoencoder for fit in group], group[0].X, [fit.rows for fit in group])
        for group in groups
    )
    for group, states in zip(groups, Parallel(n_jobs=n_groups)(calls), strict=True):
        for fit, state in zip(group, states, strict=True):
            if state is not None:
                adopt_state(fit.autoencoder, state)


def _n_workers() -> int:
    """Return how many workers there are for the calling thread, 1 where it is one of theirs."""
    return 1 if _is_task_of_dask() else joblib.effective_n_jobs(None)


def _is_task_of_dask() -> bool:
    """Whether the calling thread runs a task of a dask worker, where joblib would hand out tasks again."""
    if "distributed" not in sys.modules:
        return False
    from distributed import get_worker

    try:
        get_worker()
    except ValueError:
        return False
    return True


def _train_group(autoencoders: list[Any], X: np.ndarray, rows: list[np.ndarray]) -> list[dict | None]:
    """Return the fitted states of autoencoders trained on these rows of X, None for those that raised."""
    # copies, because threads must not change what an interrupted caller has kept
    fits = [Fit(copy(autoencoder), X, numbers) for autoencoder, numbers in zip(autoencoders, rows, strict=True)]
    train_batched([fit for fit in fits if can_be_batched(fit.autoencoder)])
    return [_state(fit) for fit in fits]


def _state(fit: Fit) -> dict | None:
    with suppress(Exception):  # the caller trains it once more, and raises this
        if not fit.autoencoder.__sklearn_is_fitted__():
            fit.autoencoder.fit(fit.X[fit.rows])
        return fitted_state(fit.autoencoder)
    return None
