"""What displays ask of fitted estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from skae.estimators import BaseAutoEncoder
from skae.outliers import AutoEncoderOutlierDetector


def fitted_autoencoder(estimator) -> BaseAutoEncoder:
    """Return the estimator, which must be a fitted autoencoder, or the autoencoder of a fitted detector."""
    _check_kind(
        estimator, (BaseAutoEncoder, AutoEncoderOutlierDetector), "an autoencoder of skae or a detector over one"
    )
    return estimator.autoencoder_ if isinstance(estimator, AutoEncoderOutlierDetector) else estimator


def fitted_detector(estimator) -> AutoEncoderOutlierDetector:
    """Return the estimator, which must be a fitted detector."""
    _check_kind(estimator, AutoEncoderOutlierDetector, "an AutoEncoderOutlierDetector, which has the threshold")
    return estimator


def _check_kind(estimator, kinds, description: str) -> None:
    if not isinstance(estimator, kinds):
        raise TypeError(
            f"estimator is a {type(estimator).__name__} and must be {description}. Of a pipeline that ends in one, "
            "give the last step, pipeline[-1], and rows that have gone through the others, "
            "pipeline[:-1].transform(X)."
        )
    check_is_fitted(estimator)


def rows_for_autoencoder(estimator, X) -> tuple[np.ndarray, Any]:
    """Return X as an array, and X as the estimator's autoencoder was given its training rows.

    A detector keeps the names of the columns to itself and trains its autoencoder on an array.
    """
    rows = validate_data(estimator, X, reset=False, dtype=(np.float64, np.float32))
    return rows, rows if isinstance(estimator, AutoEncoderOutlierDetector) else X


def rows_and_reconstructions(estimator, X) -> tuple[np.ndarray, np.ndarray]:
    """Return X as an array and its reconstruction by an autoencoder or a detector."""
    autoencoder = fitted_autoencoder(estimator)
    rows, given = rows_for_autoencoder(estimator, X)
    return rows, autoencoder.reconstruct(given)
