"""What a fitted autoencoder can do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch import Tensor, nn

from skae.contracts import Network
from skae.device import device_for_scoring, to_cpu
from skae.inference import apply_in_blocks
from skae.objectives import LOSSES

FLOATS = (np.float64, np.float32)


def check_rows(estimator: BaseEstimator, X) -> np.ndarray:
    """Return rows to score as a float array, or raise what `validate_data` raises.

    A float array, as most are, does without it: for a single row it takes longer than the network.
    """
    fitted = vars(estimator)
    with np.errstate(over="ignore", invalid="ignore"):
        plain = (
            type(X) is np.ndarray
            and X.dtype in FLOATS
            and X.ndim == 2
            and X.shape[0] > 0
            and X.shape[1] == fitted.get("n_features_in_")
            and "feature_names_in_" not in fitted
            and np.isfinite(X.sum())
        )
    return X if plain else validate_data(estimator, X, reset=False, dtype=FLOATS)


class FittedAutoEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Codes, reconstructions and errors, from the network that `BaseAutoEncoder` has trained."""

    # set by BaseAutoEncoder
    loss: str
    device: str
    _network: Network
    _n_components: int

    def transform(self, X):
        """Return the code of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Codes, float32 where X is float32, else float64 (computed in float32).
        """
        X = self._check_rows(X)
        return self._apply(lambda network, x: network.encode(x), X, X.dtype)

    def inverse_transform(self, Z):
        """Return the row that each code stands for.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Reconstructions.
        """
        check_is_fitted(self)
        Z = check_array(Z, dtype=FLOATS, input_name="Z")
        if Z.shape[1] != self._n_components:
            raise ValueError(
                f"Z has {Z.shape[1]} columns; the codes of this {type(self).__name__} have n_components="
                f"{self._n_components}."
            )
        return self._apply(lambda network, z: self._link(network.decode(z)), Z, Z.dtype)

    def reconstruct(self, X):
        """Return ``inverse_transform(transform(X))``, in one pass.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        X_hat : ndarray of shape (n_samples, n_features)
            Reconstructions.
        """
        X = self._check_rows(X)
        return self._apply(lambda network, x: self._link(network(x)), X, X.dtype)

    def score_samples(self, X):
        """Return minus the reconstruction error of each row, in the measure of ``loss``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,), float64
            Higher is better reconstructed.
        """
        return self._score_checked(self._check_rows(X))

    def _score_checked(self, X: np.ndarray) -> np.ndarray:
        """Return `score_samples` of rows that another estimator has checked, (n,)."""
        self._check_range("X", X)
        # float64 sums; mps has no float64
        return -self._apply_loss(
            lambda e: e.mean(-1, dtype=torch.float32 if e.device.type == "mps" else torch.float64), X
        )

    def feature_errors(self, X):
        """Return each feature's part of the reconstruction error of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
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
        if type(self)._score_checked is not FittedAutoEncoder._score_checked:
            raise ValueError(
                f"The score of a {type(self).__name__} is a bound on the density of the whole row, of which features "
                "have no part of their own: take the squared residuals of reconstruct(X), in a detector "
                "error='squared_error'."
            )
        X = self._check_rows(X)
        self._check_range("X", X)
        return self._apply_loss(lambda e: e, X) / X.shape[1]

    def _apply_loss(self, reduce: Callable[[Tensor], Tensor], X: np.ndarray) -> np.ndarray:
        elementwise = LOSSES[self.loss].elementwise
        return self._apply(lambda network, x: reduce(elementwise(network(x), x)), X, np.float64)

    def score(self, X, y=None):
        """Return the mean of `score_samples`, so that a search needs no scorer.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Unless the class says otherwise.

        Returns
        -------
        score : float
            Minus the mean reconstruction error.
        """
        return float(self.score_samples(X).mean())

    def _check_rows(self, X) -> np.ndarray:
        check_is_fitted(self)
        return check_rows(self, X)

    def _apply(self, function: Callable[[Any, Tensor], Tensor], X: np.ndarray, dtype) -> np.ndarray:
        device = device_for_scoring(self.device)
        network = self._network
        if network.training:
            network.eval()
        if next(network.parameters()).device != device:
            network.to(device)
        with torch.inference_mode():
            inference = network.for_inference()
        return apply_in_blocks(partial(function, inference), X, device, dtype, stacked=inference is not network)

    def _link(self, raw: Tensor) -> Tensor:
        link = LOSSES[self.loss].link
        return raw if link is None else link(raw)

    # ---- fitted state --------------------------------------------------------------------------------------

    @property
    def encoder_(self) -> nn.Module:
        """The trained encoder, (n_samples, n_features) -> (n_samples, n_components)."""
        return self._fitted_network("encoder_").encoder

    @property
    def decoder_(self) -> nn.Module:
        """The trained decoder, (n_samples, n_components) -> (n_samples, n_features)."""
        decoder, link = self._fitted_network("decoder_").decoder, LOSSES[self.loss].link
        return decoder if link is None else nn.Sequential(decoder, link)

    def _fitted_network(self, attribute: str) -> Network:
        if "_network" not in vars(self):
            raise AttributeError(f"This {type(self).__name__} has no {attribute} before fit.")
        return self._network

    @property
    def _n_features_out(self) -> int:
        return self._n_components

    def __sklearn_is_fitted__(self) -> bool:
        return "_network" in vars(self)

    def _check_range(self, name: str, rows: np.ndarray) -> None:
        if self.loss == "binary_cross_entropy" and not 0 <= rows.min() <= rows.max() <= 1:
            raise ValueError(
                f"loss='binary_cross_entropy' needs values in [0, 1]; {name} has values in [{rows.min():.3g}, "
                f"{rows.max():.3g}]. Scale them (MinMaxScaler(clip=True)) or choose another loss."
            )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __getstate__(self):
        return to_cpu(super().__getstate__())
