"""How far a fit has come, for callbacks that save it."""

from __future__ import annotations

from typing import Any, NamedTuple

import joblib
import numpy as np

from skae.distributed import current_processes
from skae.estimators.fit_key import named_key
from skae.training import History, RowStream


class SavedFit(NamedTuple):
    """A fit as a callback has saved it."""

    estimator: Any  # fitted, with the weights of its last epoch
    history: History | None  # where training goes on; None where it had ended


class FitProgress:
    """A fit that begins; a callback may say where it is to go on.

    ``fit_key`` identifies the fit in any process: the parameters, the rows, names of columns and classes, and the
    losses of the fits that it continues. ``X`` is checked, as are the target and the labels.
    """

    def __init__(self, estimator: Any, X: np.ndarray | RowStream, target: Any, labels: Any, earlier: list[float]):
        self._estimator, self._rows, self._earlier = estimator, (X, target, labels), earlier
        self.saved: SavedFit | None = None

    def describe(self) -> dict[str, Any]:
        """Return what callbacks are told as ``metadata``."""
        return {"fit_key": current_processes().first(self._key()), "progress": self}

    def _key(self) -> str:
        X, target, labels = self._rows
        rows = vars(X.moments) if isinstance(X, RowStream) else np.ascontiguousarray(X)
        names = [getattr(self._estimator, name, None) for name in ("feature_names_in_", "classes_")]
        return joblib.hash((named_key(self._estimator), rows, names, target, labels, self._earlier))
