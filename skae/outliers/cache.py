"""One training of a model, and what makes it the same as another."""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import Any

from sklearn.base import BaseEstimator

from skae.outliers.fitting import fit_within

NOT_IN_KEY = ("device", "verbose")  # they change how a model is trained, not which


def cache_key(autoencoder: BaseEstimator) -> tuple:
    """Return what `joblib.Memory` is to tell trainings apart by.

    joblib knows functions by their names. Here they are known by their code, so that an edited network or corruption is
    trained anew and functions defined in other functions can be cached.
    """
    parameters = autoencoder.get_params()
    return type(autoencoder), {k: _by_code(v) for k, v in parameters.items() if k.split("__")[-1] not in NOT_IN_KEY}


def _by_code(value: Any) -> Any:
    if isinstance(value, BaseEstimator):
        return type(value)  # its parameters are in the key by themselves
    if not isinstance(value, FunctionType):
        return value
    try:
        code: Any = inspect.getsource(value)
    except OSError:  # typed into a prompt
        code = value.__code__.co_code, value.__code__.co_consts
    enclosed = [_by_code(cell.cell_contents) for cell in value.__closure__ or ()]
    return code, enclosed, value.__defaults__


def train(key, X, autoencoder, caller, context) -> dict:
    """Fit an autoencoder within the caller's callback task; return its fitted state, cached by ``key`` and X alone."""
    fit_within(context, caller, autoencoder, X)
    parameters = autoencoder.get_params(deep=False)
    return {k: v for k, v in autoencoder.__getstate__().items() if k not in parameters and k != "_skl_callbacks"}
