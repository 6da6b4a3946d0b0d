"""Classes of which some are unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from scipy.special import softmax
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length
from torch import Tensor

from skae._compat import check_y
from skae.distributed import current_processes
from skae.estimators.base import NetworkEstimator
from skae.estimators.preparation import TrainingData
from skae.estimators.transaction import of_one_fit, transaction
from skae.messages import listed
from skae.tables import by_chunks, without_mask


class PartlyLabelled(NetworkEstimator):
    """Base of the estimators with classes, of which some may be unknown in training."""

    classes_: np.ndarray

    def _class_logits(self, network: Any, x: Tensor) -> Tensor:
        """Return the network's logits of the classes, (K, B, n_classes)."""
        raise NotImplementedError

    def fit(self, X, y=None):
        """Train on rows of which some may have no known class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,), default=None
            Classes. One that is unknown is -1: the number, in an array of objects too; "-1" where y has a string type.
            Take care with unsigned labels: in ``np.where(known, y, -1)`` the -1 becomes the largest number of their
            type. Such labels, NaN and None raise a ValueError. Write ``np.where(known, y.astype(int), -1)``.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, X or y is not valid; nothing has changed then.
        FloatingPointError
            If training diverges. Like a KeyboardInterrupt, it leaves the best weights so far, or the earlier state if
            no epoch was finished after pre-training.
        """
        return super().fit(X, y)

    def partial_fit(self, X, y=None, classes=None):
        """Train for one pass over some rows, at a constant learning rate, from where the last call ended.

        There is no pre-training, no rows are held out and the callbacks are not called.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,), default=None
            Classes, -1 where unknown, as in `fit`.
        classes : array-like of shape (n_classes,), default=None
            All classes that later calls may bring; needed by the first call where its y does not hold them all.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with transaction(self, model="_network"):
            if classes is not None and not self.__sklearn_is_fitted__():
                self.classes_ = np.unique(classes)
            return super().partial_fit(X, y)

    @of_one_fit
    @by_chunks
    def predict_proba(self, X):
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes), float64
            In the order of ``classes_``.
        """
        return softmax(self._apply(self._class_logits, self._check_rows(X), np.float64), axis=1)

    @of_one_fit
    def predict(self, X):
        """Return the most probable class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Classes.
        """
        best = self.predict_proba(X).argmax(1)  # raises first where classes_ is not set
        return self.classes_[best]

    def _check_training_data(self, X, y, reset: bool) -> TrainingData:
        if reset and self.__sklearn_is_fitted__():
            for name in ("classes_", "class_prior_"):  # a new fit finds its own
                self.__dict__.pop(name, None)
        return super()._check_training_data(X, y, reset)

    def _class_numbers(self, y: np.ndarray, unknown: np.ndarray) -> np.ndarray:
        """Return the index in ``classes_`` of each row's class, (n,), -1 where unknown; set ``classes_`` if unset."""
        known = y[~unknown]
        if "classes_" not in vars(self):
            if len(known):
                check_classification_targets(known)
            found = np.unique(np.concatenate(current_processes().gather(np.unique(known))))
            self.classes_ = found if len(found) else np.zeros(1, dtype=int)
        if len(new := np.setdiff1d(known, self.classes_)):
            raise ValueError(
                f"y has classes {listed(new)} that are not among classes_={listed(self.classes_)} of the first fit."
            )
        numbers = np.full(len(y), -1)
        numbers[~unknown] = np.searchsorted(self.classes_, known)
        return numbers


def read_labels(X: np.ndarray, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the label of each row of X and whether it is unknown, -1 or, among strings, "-1", both (n,)."""
    # before nullable integers become floats; what is sparse is refused below
    y = without_mask(y)
    given = np.empty(0) if issparse(y) else np.asarray(y).ravel()
    if given.dtype.kind == "u" and len(given) and given.max() == np.iinfo(given.dtype).max:
        raise ValueError(
            f"y holds {given.max()}, the largest {given.dtype}: -1, which stands for an unknown class, becomes that in "
            "an unsigned type. Convert the labels first: np.where(known, y.astype(int), -1)."
        )
    if pd.isna(given).any():
        raise ValueError("Input y contains NaN or None. A class that is unknown is -1: np.where(known, y, -1).")
    y = check_y(y)
    check_consistent_length(X, y)
    return y, (given == -1) | (given == "-1")
