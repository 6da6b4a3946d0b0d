"""What a fitted detector can do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from skae.estimators.fitted import check_rows
from skae.estimators.transaction import of_one_fit
from skae.estimators.versioned import Versioned
from skae.messages import listed
from skae.outliers.errors import ErrorMeasure, cached_errors
from skae.outliers.threshold import METRICS, best_threshold
from skae.tables import Table, by_chunks


class FittedDetector(OutlierMixin, Versioned):
    """Scores, labels and explanations, from the errors of a fitted model."""

    # set by AutoEncoderOutlierDetector
    autoencoder: Any
    memory: Any
    max_memory: float | str
    _fit_id: str | None  # identifies the fit in ``memory``; None where that is not certain
    _measure: ErrorMeasure
    _errors: np.ndarray  # those that rules set the threshold on, ascending
    _training_errors: np.ndarray  # those that a contamination sets it on without novelty
    _table: Table  # the columns of X
    _takes_holes: bool
    _novelty: bool  # the parameter, as it was in the fit
    _of_new_rows: bool  # whether these are of rows that the model, or the members of a bag, were not trained on
    offset_: float

    @of_one_fit
    @by_chunks
    def score_samples(self, X):
        """Return minus the error of each row; the lower, the more abnormal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,), float64
        """
        return -self._row_errors(self._check_rows(X))

    @of_one_fit
    def decision_function(self, X):
        """Return the threshold minus the error of each row: negative for outliers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        decision : ndarray of shape (n_samples,), float64
        """
        return self.score_samples(X) - self.offset_

    @of_one_fit
    def predict(self, X):
        """Tell inliers from outliers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            +1 for inliers, -1 for outliers.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def tune_threshold(self: Any, X, y, metric="f1"):
        """Set the threshold of a fitted detector to the best one for a metric on labelled rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows that the detector was not fitted on.
        y : array-like of shape (n_samples,)
            1 for inliers, -1 for outliers.
        metric : {"f1", "balanced_accuracy"} or callable, default="f1"
            What to maximise: F1 of the outliers, the mean share of inliers and outliers that are found, or a function
            ``metric(y, labels)``, for which at most 500 thresholds are tried.

        Returns
        -------
        self : object
            The detector, with the parameter ``threshold`` set to a number.

        Raises
        ------
        ValueError
            If y holds anything but 1 and -1, or ``metric`` is unknown or returns NaN; nothing has changed then.
        """
        if not (callable(metric) or (isinstance(metric, str) and metric in METRICS)):
            raise ValueError(f"metric={metric!r} must be a function or one of {sorted(METRICS)}.")
        errors = -self.score_samples(X)
        y = column_or_1d(y)
        check_consistent_length(errors, y)
        if set(np.unique(y)) != {-1, 1}:
            raise ValueError(
                f"y holds {listed(np.unique(y))}; it must hold 1 for inliers and -1 for outliers, both: "
                "give np.where(outlier, -1, 1)."
            )
        return self.set_threshold(best_threshold(errors, y, metric))

    @of_one_fit
    @by_chunks
    def p_values(self, X):
        """Return the probability that a normal row has an error as large as each row's: conformal p-values.

        They compare with rows that the model was not trained on: those held out, or the training rows of a bag, each by
        the members that did not see it (Bates et al. 2023; Kim, Xu and Barber 2020).
        ``scipy.stats.false_discovery_control(p_values)`` adjusts them: rows where it gives 0.1 or less hold about 10 %
        normal ones, if the rows compared with are normal ones, drawn like those of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows that the detector was not fitted on.

        Returns
        -------
        p_values : ndarray of shape (n_samples,)
            Between 1 / (m + 1) and 1, where m rows are compared with.

        Raises
        ------
        ValueError
            If there are no such rows: errors of training rows are too small to compare with.
        """
        rows = self._check_rows(X)
        if not self._of_new_rows:
            raise ValueError(
                "p_values compares with rows that the autoencoder was not trained on, and there are none: set "
                "n_estimators=10 and max_samples=0.8, or calibration_fraction=0.2 to hold some out, and fit again."
            )
        n_larger = len(self._errors) - np.searchsorted(self._errors, self._row_errors(rows))
        return (1 + n_larger) / (1 + len(self._errors))

    @of_one_fit
    @by_chunks
    def explain(self, X):
        """Return what each feature adds to the error of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows; a DataFrame's index is kept.

        Returns
        -------
        contributions : DataFrame of shape (n_samples, n_features)
            A row's sum is its error, minus its `score_samples`: the terms of the residuals between the row and its
            reconstruction that the error is made of, for a bag the mean of its members'. Reshape a row of pixels or
            times to see the map or curve of the error. The parts of a "whitened" error may be negative.

        Raises
        ------
        ValueError
            If ``error="auto"`` is a variational autoencoder's bound, which is not a sum over features.

        See Also
        --------
        skae.plotting.ExplanationDisplay : Draws a row of it.
        """
        rows = self._check_rows(X)
        contributions = self._measure.contributions(rows)
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(rows.shape[1])])
        return pd.DataFrame(contributions, columns=names, index=X.index if isinstance(X, pd.DataFrame) else None)

    @of_one_fit
    @by_chunks
    def reconstruct(self, X):
        """Return what the autoencoder makes of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        X_hat : ndarray or frame of shape (n_samples, n_features)
            Reconstructions, a frame where one was fitted. A bag's are the means of its members'; where autoencoder is
            None and novelty False, of the members that the row's error comes from.
        """
        cells = self._reconstruct_checked(self._check_rows(X))
        return self._table.decode(cells, X)

    def _reconstruct_checked(self, X: np.ndarray) -> np.ndarray:
        return self._measure.model._reconstruct_checked(X)

    def _check_rows(self, X) -> np.ndarray:
        if not self.__sklearn_is_fitted__():
            check_is_fitted(self)  # raises; it takes as long as a row's network
        return check_rows(self, X)

    def __sklearn_is_fitted__(self) -> bool:
        return "offset_" in vars(self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        takes_tables = self.autoencoder is None or self.autoencoder._takes_tables()
        tags.input_tags.allow_nan = tags.input_tags.categorical = takes_tables
        return tags

    def _row_errors(self, rows: np.ndarray) -> np.ndarray:
        return cached_errors(self.memory, self._fit_id, rows, self._measure)
