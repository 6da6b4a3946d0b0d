"""Fitted estimators, and their outputs that displays draw."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skae.estimators import BaseAutoEncoder
from skae.estimators.base import NetworkEstimator
from skae.messages import listed
from skae.outliers import AutoEncoderOutlierDetector


def fitted_detector(estimator) -> AutoEncoderOutlierDetector:
    """Return the estimator, which must be a fitted detector."""
    return _fitted(estimator, AutoEncoderOutlierDetector, "an AutoEncoderOutlierDetector")


def fitted_autoencoder(estimator) -> Any:
    """Return what has codes and a loss curve: the fitted estimator itself, or the autoencoder of a detector."""
    estimator = _fitted_autoencoder_or_detector(estimator, NetworkEstimator)
    if not isinstance(estimator, AutoEncoderOutlierDetector):
        return estimator
    if not isinstance(estimator.autoencoder_, BaseAutoEncoder):
        raise TypeError(
            f"estimator is a detector with autoencoder={estimator.autoencoder!r}, "
            f"n_estimators={estimator.n_estimators} and max_samples={estimator.max_samples}. This is an ensemble, "
            "which has no code and no loss curve. Pass a detector with a single autoencoder, such as "
            "AutoEncoderOutlierDetector(DenoisingAutoEncoder())."
        )
    return estimator.autoencoder_


def _fitted_autoencoder_or_detector(estimator, kind: type = BaseAutoEncoder) -> Any:
    return _fitted(
        estimator, (kind, AutoEncoderOutlierDetector), "an autoencoder of skae or an AutoEncoderOutlierDetector"
    )


def _fitted(estimator, kinds, description: str) -> Any:
    if not isinstance(estimator, kinds):
        raise TypeError(
            f"estimator is a {type(estimator).__name__}, but must be {description}. For a pipeline, pass its last "
            "step, pipeline[-1], and rows that the other steps have transformed, pipeline[:-1].transform(X)."
        )
    check_is_fitted(estimator)
    return estimator


def checked_rows(estimator, X) -> np.ndarray:
    """Return X as an array, after the checks of a fitted autoencoder or detector: of categories the numbers."""
    return _fitted_autoencoder_or_detector(estimator)._check_rows(X)


def codes_of_rows(estimator, X) -> np.ndarray:
    """Return the codes of X by an autoencoder or by the autoencoder of a detector."""
    autoencoder = fitted_autoencoder(estimator)
    # A detector checks column names itself and fits its autoencoder on an array.
    return np.asarray(autoencoder.transform(X if estimator is autoencoder else checked_rows(estimator, X)))


def rows_of_numbers(estimator, X) -> np.ndarray:
    """Return X as an array; raise where some of its columns are categories."""
    rows, table = checked_rows(estimator, X), estimator._table
    if any(table.n_levels):
        names = [column.name for column in table.columns if column.n_levels]
        raise ValueError(f"Columns {listed(names)} of X are categories, which cannot be drawn: see ExplanationDisplay.")
    return rows


def row_with_error(estimator, X) -> dict[str, Any]:
    """Return what displays of one row draw: the row, its reconstruction, its error and the threshold, if any.

    Of a row with categories both are lists of numbers and texts, None where a value is missing.
    """
    cells = checked_rows(estimator, X)
    x, reconstruction = cells[0], estimator._reconstruct_checked(cells)[0]
    if any(estimator._table.n_levels):
        given = np.asarray(X, dtype=object)[0]
        columns = estimator._table.columns
        x = [_described(*parts) for parts in zip(columns, x, given, strict=True)]
        reconstruction = [_described(*parts) for parts in zip(columns, reconstruction, given, strict=True)]
    return {
        "x": x,
        "reconstruction": reconstruction,
        "error": -float(estimator.score_samples(X)[0]),
        "threshold": getattr(estimator, "threshold_", None),
    }


def _described(column: Any, cell: float, given: Any) -> float | str | None:
    """Return a number, the name of a level or, where it is not known, the value that was given."""
    if np.isnan(cell):
        return None
    if not column.n_levels:
        return float(cell)
    return str(column.levels[int(cell)]) if cell < column.n_levels else f"{given} (new)"
