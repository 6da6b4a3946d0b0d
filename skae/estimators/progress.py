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

    ``key`` identifies the fit in any process: the parameters, the rows and how many epochs were run before. ``X`` is
    checked, as are the target and the labels.
    """

    def __init__(self, estimator: Any, X: np.ndarray | RowStream, target: Any, labels: Any, n_earlier: int):
        self._estimator, self._rows, self._n_earlier = estimator, (X, target, labels), n_earlier
        self.saved: SavedFit | None = None

    def describe(self) -> dict[str, Any]:
        """Return what callbacks are told as ``metadata``."""
        return {"fit_key": current_processes().first(self._key()), "progress": self}

    def _key(self) -> str:
        X, target, labels = self._rows
        rows = vars(X.moments) if isinstance(X, RowStream) else np.ascontiguousarray(X)
        return joblib.hash((named_key(self._estimator), rows, target, labels, self._n_earlier))
