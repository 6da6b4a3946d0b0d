"""A training that `joblib.Memory` can keep."""

from __future__ import annotations

from skae.outliers.fitting import fit_within


def train(key, X, autoencoder, caller, context) -> dict:
    """Fit an autoencoder within the caller's callback task; return its fitted state, cached by ``key`` and X alone."""
    fit_within(context, caller, autoencoder, X)
    parameters = autoencoder.get_params(deep=False)
    return {k: v for k, v in autoencoder.__getstate__().items() if k not in parameters and k != "_skl_callbacks"}
