"""How far a row is from its reconstruction, and what each feature adds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

CHUNK_ROWS = 8192  # of X that are copied or scaled at a time
RIDGE = 0.1  # of the mean variance of the residuals, added to each


class ErrorMeasure:
    """The model's own error: its ``loss``, a variational one's negative evidence lower bound, the ensemble's error."""

    def __init__(self, model: Any):
        self.model = model

    def errors(self, X: np.ndarray) -> np.ndarray:
        """Return the error of each row, (n,)."""
        return -self.model._score_checked(X)

    def contributions(self, X: np.ndarray) -> np.ndarray:
        """Return each feature's part of it, (n, n_features)."""
        return self.model.feature_errors(X)


class ResidualMeasure(ErrorMeasure):
    """A mean over the features of a function of the residuals."""

    def __init__(self, model: Any, parts: Callable[[np.ndarray], np.ndarray]):
        super().__init__(model)
        self.parts = parts  # from residuals to each feature's error, of the same shape

    def errors(self, X: np.ndarray) -> np.ndarray:
        """Return the error of each row, (n,)."""
        return np.concatenate([self.parts(residuals).mean(1) for residuals in self.residuals(X)])

    def contributions(self, X: np.ndarray) -> np.ndarray:
        """Return each feature's part of it, (n, n_features)."""
        return np.concatenate([self.parts(residuals) for residuals in self.residuals(X)]) / X.shape[1]

    def residuals(self, X: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the residuals, a chunk of rows at a time, float64."""
        for start in range(0, len(X), CHUNK_ROWS):
            rows = X[start : start + CHUNK_ROWS]
            yield rows - self.model.reconstruct(rows).astype(np.float64)


class WhitenedError(ResidualMeasure):
    """Squared Mahalanobis norm of the residuals: by their mean and covariance on the training rows, with a ridge."""

    def __init__(self, model: Any, X: np.ndarray):
        super().__init__(model, self._whiten)
        self.mean = sum(residuals.sum(0) for residuals in self.residuals(X)) / len(X)
        covariance = sum((r - self.mean).T @ (r - self.mean) for r in self.residuals(X)) / len(X)
        ridge = RIDGE * np.trace(covariance) / len(covariance) or 1.0  # where all residuals are 0
        self.precision = np.linalg.inv(covariance + ridge * np.eye(len(covariance)))

    def _whiten(self, residuals: np.ndarray) -> np.ndarray:
        centered = residuals - self.mean
        return centered @ self.precision * centered


MEASURES = ("auto", "squared_error", "absolute_error", "whitened")


def make_measure(error: str, model: Any, X_train: np.ndarray) -> ErrorMeasure:
    """Return the measure that an ``error`` parameter stands for."""
    if error == "auto":
        return ErrorMeasure(model)
    if error == "whitened":
        return WhitenedError(model, X_train)
    return ResidualMeasure(model, np.square if error == "squared_error" else np.abs)
