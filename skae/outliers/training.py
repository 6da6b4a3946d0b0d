"""What a detector computes and may keep in a cache: a model's training, and the errors of rows."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_memory

from skae.estimators.fitted import fitted_state


def fit_within(context, caller, estimator, X) -> None:
    """Fit an estimator as a task of the caller's fit, for callbacks."""
    with context.propagate_callback_context(estimator):
        context.call_on_fit_task_begin(estimator=caller, X=X)
        estimator.fit(X)
        context.call_on_fit_task_end(estimator=caller, X=X)


def train(key, X, model, caller, context) -> dict:
    """Fit a model; return its fitted state, which `joblib.Memory` keeps by ``key`` and X."""
    fit_within(context, caller, model, X)
    return fitted_state(model)


def cached_errors(memory, fit_id, rows, measure) -> np.ndarray:
    """Return the error of each row, infinity where it is NaN; ``memory`` keeps it where ``fit_id`` is not None."""
    if memory is None or fit_id is None:
        return row_errors(fit_id, rows, measure)
    return check_memory(memory).cache(row_errors, ignore=["measure"])(fit_id, rows, measure)


def row_errors(fit_id, rows, measure) -> np.ndarray:
    """Return the error of each row, infinity where it is NaN."""
    errors = measure.errors(rows)
    return np.where(np.isnan(errors), np.inf, errors)
