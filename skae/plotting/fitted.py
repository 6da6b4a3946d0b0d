"""What displays ask of fitted estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted, validate_data

from skae.estimators import BaseAutoEncoder
from skae.outliers import AutoEncoderOutlierDetector


def fitted_autoencoder(estimator) -> BaseAutoEncoder:
    """Return the estimator, which must be a fitted autoencoder, or the autoencoder of a fitted detector."""
    estimator = fitted_estimator(estimator)
    if not isinstance(estimator, AutoEncoderOutlierDetector):
        return estimator
    if not isinstance(estimator.autoencoder_, BaseAutoEncoder):
        raise TypeError(
            f"estimator is a detector with autoencoder={estimator.autoencoder!r}, "
            f"n_estimators={estimator.n_estimators} and max_samples={estimator.max_samples}: an ensemble, which "
            "has no code and no loss curve. Give a detector over one autoencoder, such as "
            "AutoEncoderOutlierDetector(DenoisingAutoEncoder())."
        )
    return estimator.autoencoder_


def fitted_estimator(estimator) -> BaseAutoEncoder | AutoEncoderOutlierDetector:
    """Return the estimator, which must be a fitted autoencoder or detector."""
    _check_kind(
        estimator, (BaseAutoEncoder, AutoEncoderOutlierDetector), "an autoencoder of skae or a detector over one"
    )
    return estimator


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
    estimator = fitted_estimator(estimator)
    rows, _ = rows_for_autoencoder(estimator, X)
    return rows, estimator.reconstruct(X)


def one_row(x) -> Any:
    """Return a row as rows, with its columns' names if it has any."""
    shape = np.shape(x)
    if len(shape) != 1 and shape[:-1] != (1,):
        raise ValueError(f"x of shape {shape} is not one row: give X[i], or X[i:i + 1], of the row i to draw.")
    if isinstance(x, pd.Series):
        return x.to_frame().T
    return np.asarray(x).reshape(1, -1) if len(shape) == 1 else x
