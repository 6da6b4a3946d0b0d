"""Classes of which some are unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from scipy.special import softmax
from sklearn.utils.validation import check_consistent_length
from torch import Tensor

from skae._compat import check_y
from skae.estimators.transaction import transaction


class PartlyLabelled:
    """What the estimators with classes share, of which some may be unknown in training."""

    classes_: np.ndarray

    def _class_logits(self, network: Any, x: Tensor) -> Tensor:
        """Return the network's logits of the classes, (K, B, n_classes)."""
        raise NotImplementedError

    def partial_fit(self: Any, X, y=None, classes=None):
        """Train for one pass over some rows, at a constant learning rate, from where the last call ended.

        There is no pre-training, no rows are held out and the callbacks are not called.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,), default=None
            Classes, -1 where unknown.
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
            return super().partial_fit(X, y)  # type: ignore[misc]

    def predict_proba(self: Any, X):
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
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]


def read_labels(X: np.ndarray, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the label of each row of X and whether it is unknown, both (n,).

    Raises
    ------
    ValueError
        If y is not a label a row, or says otherwise than by -1 that some are unknown.
    """
    # before nullable integers become floats; what is sparse is refused below
    unknown = np.empty(0) if issparse(y) else find_unknown(np.asarray(y).ravel())
    y = check_y(y)
    check_consistent_length(X, y)
    return y, unknown


def find_unknown(y: np.ndarray) -> np.ndarray:
    """Return which labels are unknown, (n,): those that are -1 or, among strings, "-1".

    Raises
    ------
    ValueError
        If y holds NaN, None or the largest number of an unsigned type, which is what -1 becomes there.
    """
    if y.dtype.kind == "u" and len(y) and y.max() == np.iinfo(y.dtype).max:
        raise ValueError(
            f"y holds {y.max()}, the largest {y.dtype}: -1, which stands for an unknown class, becomes that in an "
            "unsigned type. Convert the labels first: np.where(known, y.astype(int), -1)."
        )
    if pd.isna(y).any():
        raise ValueError("Input y contains NaN or None. A class that is unknown is -1: np.where(known, y, -1).")
    if y.dtype.kind in "US":
        return y == "-1"
    return (y == -1) | (y == "-1") if y.dtype.kind == "O" else y == -1


def encode_labels(y: np.ndarray, unknown: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the index of each row's class, (n,), -1 where unknown.

    Raises
    ------
    ValueError
        If y has classes that are not among those given.
    """
    if len(new := np.setdiff1d(y[~unknown], classes)):
        raise ValueError(
            f"y has classes {new.tolist()} that are not among classes_={classes.tolist()} of the first fit."
        )
    labels = np.full(len(y), -1)
    labels[~unknown] = np.searchsorted(classes, y[~unknown])
    return labels
