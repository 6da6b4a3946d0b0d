"""What a fitted detector can do."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted

from skae.estimators.fitted import check_rows
from skae.outliers.errors import ErrorMeasure


class FittedDetector(OutlierMixin, BaseEstimator):
    """Scores, labels and explanations, from the errors of a fitted model."""

    # set by AutoEncoderOutlierDetector
    _measure: ErrorMeasure
    _errors: np.ndarray  # those that the threshold was set on, ascending
    _of_new_rows: bool  # whether these are of rows that the model, or the members of a bag, were not trained on
    offset_: float

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
        rows = self._check_rows(X)
        return -without_nan(self._measure.errors(rows))

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

    def p_values(self, X):
        """Return the probability that a normal row has an error as large as each row's: split-conformal p-values.

        ``scipy.stats.false_discovery_control(p_values)`` adjusts them: rows where it gives 0.1 or less hold about 10 %
        normal ones, if the held-out rows are normal ones, drawn like those of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows that the detector was not fitted on.

        Returns
        -------
        p_values : ndarray of shape (n_samples,)
            Between 1 / (m + 1) and 1, where m rows were held out.

        Raises
        ------
        ValueError
            If no rows were held out: errors of training rows are too small to compare with.
        """
        rows = self._check_rows(X)
        if not self._of_new_rows:
            raise ValueError(
                "p_values compares with rows held out of training, and there are none: set calibration_fraction=0.2, "
                "for example, and fit again."
            )
        n_larger = len(self._errors) - np.searchsorted(self._errors, without_nan(self._measure.errors(rows)))
        return (1 + n_larger) / (1 + len(self._errors))

    def explain(self, X):
        """Return what each feature adds to the error of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows; a DataFrame's index is kept.

        Returns
        -------
        contributions : DataFrame of shape (n_samples, n_features)
            A row's sum is its error, minus its `score_samples`. Reshape a row of pixels or times to see the map or
            curve of the error. The ensemble's error is divided among the features in proportion to the squared
            differences from the nearest training rows and from the denoised row. The parts of a "whitened" error may be
            negative.

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

    def reconstruct(self, X):
        """Return what the autoencoder makes of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        X_hat : ndarray of shape (n_samples, n_features)
            Reconstructions. The ensemble's are its network's or, without ``novelty``, the mean of the
            nearest training rows.
        """
        rows = self._check_rows(X)
        return self._measure.model.reconstruct(rows)

    def _check_rows(self, X) -> np.ndarray:
        check_is_fitted(self)
        return check_rows(self, X)


def without_nan(errors: np.ndarray) -> np.ndarray:
    """Return errors with infinity in place of NaN: such rows are outliers."""
    return np.where(np.isnan(errors), np.inf, errors)
