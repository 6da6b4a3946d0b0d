"""How far a row is from its reconstruction, and what each feature adds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.utils.validation import check_memory

SAME = 1e-4  # of an error: another one that is as near is the same
ROUNDED = 1e-6  # of a large value of X: a residual that may be nothing but rounding
CHUNK_ROWS = 8192  # of X that are copied or scaled at a time
RIDGE = 0.1  # of the mean variance of the residuals, added to each


class ErrorMeasure:
    """The own error of a fitted model with training rows X, (n, n_features), minus its ``score_samples``."""

    def __init__(self, model: Any, X: np.ndarray, power: int | None = None):
        self.model = model
        # of the residuals in the error; the model's may have none
        self.power = power or getattr(model, "_error_power", None)
        self.least = 0.0 if power else getattr(model, "_rounded_error", 0.0)
        some = X[:: 1 + len(X) // 1000]  # whose largest value could be an outlier's
        of_values = ROUNDED * (float(np.nanquantile(np.abs(some), 0.9)) or 1.0)
        self.rounded: float = getattr(model, "_rounded_residual", None) or of_values

    def resolution(self, error: float) -> float:
        """Return by how much an error may differ from this one and be the same.

        The processor rounds a row's result differently in other company, and errors are small differences of large
        values where rows are reconstructed well.
        """
        same = max(SAME * abs(error), self.least)
        if self.power is None:
            return same
        residual = max(error, 0.0) ** (1 / self.power)
        return max(same, (residual + self.rounded) ** self.power - residual**self.power)

    def errors(self, X: np.ndarray) -> np.ndarray:
        """Return the error of each row, (n,)."""
        return -self.model._score_checked(X)

    def out_of_bag_errors(self, X: np.ndarray) -> np.ndarray:
        """Return the errors of training rows over the members of a bag that did not see them, (m,), m <= n."""
        return self.model.out_of_bag_errors_[~np.isnan(self.model.out_of_bag_errors_)]

    def training_errors(self, X: np.ndarray) -> np.ndarray:
        """Return the errors of training rows over all members of a bag, (m,), m <= n."""
        return self.model._training_errors

    def contributions(self, X: np.ndarray) -> np.ndarray:
        """Return each feature's part of it, (n, n_features)."""
        return self.model._feature_errors_checked(X)


class ResidualMeasure(ErrorMeasure):
    """A mean over the features of a function of the residuals."""

    typical: Any = 0.0  # residual, in place of one that is not known

    def __init__(self, model: Any, X: np.ndarray, function: Callable[[np.ndarray], np.ndarray], power: int):
        super().__init__(model, X, power)
        self.function = function  # from residuals to each feature's error, of the same shape

    def errors(self, X: np.ndarray) -> np.ndarray:
        """Return the error of each row, (n,)."""
        return np.concatenate([self._parts(*residuals).sum(1) for residuals in self.residuals(X)])

    def out_of_bag_errors(self, X: np.ndarray) -> np.ndarray:
        """Return the errors of training rows over the members of a bag that did not see them, (m,), m <= n."""
        numbers = np.flatnonzero(~np.isnan(self.model.out_of_bag_errors_))
        rows = X[numbers]
        return self._parts(rows - self.model.reconstruct_out_of_bag(rows, numbers), ~np.isnan(rows)).sum(1)

    training_errors = errors

    def contributions(self, X: np.ndarray) -> np.ndarray:
        """Return each feature's part of it, (n, n_features)."""
        return np.concatenate([self._parts(*residuals) for residuals in self.residuals(X)])

    def residuals(self, X: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the residuals, float64, and which values are known, a chunk of rows at a time."""
        for start in range(0, len(X), CHUNK_ROWS):
            # in float64 reconstructions of the largest float32 do not overflow
            rows = X[start : start + CHUNK_ROWS].astype(np.float64)
            yield rows - self.model._reconstruct_checked(rows), ~np.isnan(rows)

    def _parts(self, residuals: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Return each value's part of the mean over those known."""
        with np.errstate(over="ignore", invalid="ignore"):
            parts = self.function(np.where(known, residuals, self.typical))
            return np.where(known, parts, 0.0) / np.maximum(known.sum(1, keepdims=True), 1)


class WhitenedError(ResidualMeasure):
    """Squared Mahalanobis norm of the residuals: by their mean and covariance on the training rows, with a ridge."""

    def __init__(self, model: Any, X: np.ndarray):
        super().__init__(model, X, self._whiten, power=2)
        with np.errstate(all="ignore"):
            sums, counts = zip(*((np.where(k, r, 0.0).sum(0), k.sum(0)) for r, k in self.residuals(X)), strict=True)
            self.typical = sum(sums) / np.maximum(sum(counts), 1)
            centered = (np.where(known, r - self.typical, 0.0) for r, known in self.residuals(X))
            covariance: Any = sum(part.T @ part for part in centered) / len(X)
            # where residuals are nothing but rounding it stays the error, or they would be magnified
            ridge = max(RIDGE * np.trace(covariance) / len(covariance), np.square(self.rounded))
        if not 0 < ridge < np.inf:
            raise ValueError("error='whitened' needs residuals whose squares float64 holds: scale X (StandardScaler).")
        self.precision = np.linalg.inv(covariance + ridge * np.eye(len(covariance)))
        self.rounded *= float(np.sqrt(np.linalg.norm(self.precision, 2)))

    def _whiten(self, residuals: np.ndarray) -> np.ndarray:
        centered = residuals - self.typical
        return centered @ self.precision * centered


FUNCTIONS = {"squared_error": (np.square, 2), "absolute_error": (np.abs, 1)}  # of residuals, and their powers
MEASURES = ("auto", *FUNCTIONS, "whitened")


def make_measure(error: str, model: Any, X_train: np.ndarray) -> ErrorMeasure:
    """Return the measure that an ``error`` parameter stands for."""
    if error in FUNCTIONS:
        return ResidualMeasure(model, X_train, *FUNCTIONS[error])
    return ErrorMeasure(model, X_train) if error == "auto" else WhitenedError(model, X_train)


def cached_errors(memory, fit_id, rows, measure) -> np.ndarray:
    """Return the error of each row, infinity where it is NaN; ``memory`` keeps it where ``fit_id`` is not None."""
    cache = None if fit_id is None else check_memory(memory).cache(row_errors, ignore=["measure"])
    return (cache or row_errors)(fit_id, rows, measure)


def row_errors(fit_id, rows, measure) -> np.ndarray:
    """Return the error of each row, infinity where it is NaN."""
    errors = measure.errors(rows)
    return np.where(np.isnan(errors), np.inf, errors)
