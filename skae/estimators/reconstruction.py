"""What every autoencoder can do beyond encoding: reconstruct, and measure how well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_array, check_is_fitted
from torch import Tensor, nn

from skae.estimators.base import NetworkEstimator
from skae.estimators.fitted import loss_of
from skae.estimators.transaction import of_one_fit
from skae.interfaces import Network, Objective
from skae.objectives import LOSSES, ReconstructionObjective
from skae.tables import FLOATS, by_chunks, without_mask


@dataclass(repr=False, eq=False)
class BaseAutoEncoder(NetworkEstimator):
    """Base of all autoencoders: reconstructions and their errors.

    Subclasses override `_training_target` or `_make_objective`; see `NetworkEstimator`.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from sklearn.datasets import load_iris
    >>> from skae.estimators import BaseAutoEncoder
    >>> @dataclass(repr=False, eq=False)
    ... class CentringAutoEncoder(BaseAutoEncoder):
    ...     def _training_target(self, X, y):
    ...         return X - X.mean(0)
    >>> X, _ = load_iris(return_X_y=True)
    >>> CentringAutoEncoder(2, random_state=0).fit(X).reconstruct(X).shape
    (150, 4)
    """

    def _make_objective(self, network: Network, X: np.ndarray, target: np.ndarray | None) -> Objective:
        return ReconstructionObjective(network, loss_of(network, self.loss))

    def _loss_scale(self, scale: float) -> float:
        return LOSSES[self.loss].scale(scale)

    @of_one_fit
    def inverse_transform(self, Z):
        """Return the row that each code stands for.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        X : ndarray or frame of shape (n_samples, n_features)
            Reconstructions: a frame of its columns where one was fitted.
        """
        cells = self._decode(self._check_codes(Z))
        return self._table.decode(cells, Z)

    @of_one_fit
    @by_chunks
    def reconstruct(self, X):
        """Return ``inverse_transform(transform(X))``, in one pass, with the predicted class where there are classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a stream of rows
            Rows.

        Returns
        -------
        X_hat : ndarray or frame of shape (n_samples, n_features)
            Reconstructions, without holes: a frame of its columns, dtypes and categories where one was fitted.
        """
        cells = self._reconstruct_checked(self._check_rows(X))
        return self._table.decode(cells, X)

    def _reconstruct_checked(self, X: np.ndarray) -> np.ndarray:
        """Return the cells of `reconstruct` for those of rows that another estimator has checked, (n, n_features)."""
        link = self._loss.link
        return self._apply(lambda network, x: _linked(link, network(x)), X, X.dtype)

    @of_one_fit
    @by_chunks
    def score_samples(self, X):
        """Return minus the reconstruction error of each row, in the measure of ``loss``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a stream of rows
            Rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,), float64
            Higher is better reconstructed.
        """
        return self._score_checked(self._check_rows(X))

    def _score_checked(self, X: np.ndarray) -> np.ndarray:
        """Return `score_samples` of rows that another estimator has checked, (n,)."""
        self._check_range("X", X, self._fixed["loss"])
        return self._apply(self._score_function(), X, np.float64)

    def _score_function(self) -> Callable[[Any, Tensor], Tensor]:
        """Return what maps a network and a batch, (K, B, n_features), to `score_samples`, (K, B)."""
        errors = self._error_function()
        # float64 sums; mps has no float64
        return lambda network, x: (
            -errors(network, x).mean(-1, dtype=torch.float32 if x.device.type == "mps" else torch.float64)
        )

    @of_one_fit
    @by_chunks
    def feature_errors(self, X):
        """Return each feature's part of the reconstruction error of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a stream of rows
            Rows.

        Returns
        -------
        errors : ndarray of shape (n_samples, n_features), float64
            Their sum over the features is minus `score_samples`.

        Raises
        ------
        ValueError
            If `score_samples` of this class is not the reconstruction error but a bound on the density of a row.
        """
        return self._feature_errors_checked(self._check_rows(X))

    def _feature_errors_checked(self, X: np.ndarray) -> np.ndarray:
        self._check_range("X", X, self._fixed["loss"])
        return self._apply(self._error_function(), X, np.float64) / X.shape[1]

    def _error_function(self) -> Callable[[Any, Tensor], Tensor]:
        """Return what maps a network and a batch, (K, B, n_features), to the loss of each feature."""
        name = self._fixed["loss"]
        return lambda network, x: loss_of(network, name).elementwise(network(x), x)

    def score(self, X, y=None):
        """Return the mean of `score_samples`, so that a search needs no scorer.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a stream of rows
            Rows.
        y : Ignored
            Unless the class says otherwise.

        Returns
        -------
        score : float
            Minus the mean reconstruction error.
        """
        return float(self.score_samples(X).mean())

    @property
    def _error_power(self) -> int | None:
        """Power of the residuals in the error where they are small; None for a cross-entropy of logits."""
        return {"squared_error": 2, "huber": 2, "absolute_error": 1}.get(self._fixed["loss"])

    @property
    @of_one_fit
    def decoder_(self) -> nn.Module:
        """The trained decoder, (n_samples, n_components) -> (n_samples, n_features)."""
        decoder, link = self._fitted_network("decoder_").decoder, self._loss.link
        return decoder if link is None else nn.Sequential(decoder, link)

    def _check_codes(self, Z) -> np.ndarray:
        """Return codes as a float array, or raise where they are not as wide as those of the fit."""
        check_is_fitted(self)
        Z = check_array(without_mask(Z), dtype=FLOATS, input_name="Z")
        if Z.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z has {Z.shape[1]} columns; the codes of this {type(self).__name__} have n_components="
                f"{self._n_features_out}."
            )
        return Z

    def _decode(self, Z: np.ndarray) -> np.ndarray:
        link = self._loss.link
        return self._apply(lambda network, z: _linked(link, network.decode(z)), Z, Z.dtype)


def _linked(link: nn.Module | None, raw: Tensor) -> Tensor:
    return raw if link is None else link(raw)
