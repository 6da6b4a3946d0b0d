"""A training that `joblib.Memory` can keep."""

from __future__ import annotations

from skae.estimators.fitted import fitted_state
from skae.outliers.fitting import fit_within


def train(key, X, model, caller, context) -> dict:
    """Fit a model within the caller's callback task; return its fitted state, cached by ``key`` and X only."""
    fit_within(context, caller, model, X)
    return fitted_state(model)
