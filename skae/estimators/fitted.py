"""What every fitted estimator of this package can do: encode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from skae.device import device_for_scoring, to_cpu
from skae.estimators.transaction import of_one_fit
from skae.estimators.versioned import VERSION, Versioned
from skae.inference import apply_network, network_for_scoring
from skae.interfaces import Loss, Network
from skae.objectives import LOSSES
from skae.tables import FLOATS, Table, TableLayout, TableLoss, TableNetwork, by_chunks, has_holes, read_rows
from skae.training import RowStream


def check_rows(estimator: Any, X) -> np.ndarray:
    """Return rows to score as cells, or raise where they are not valid.

    A float array without holes, as most are, is returned as it is: for a single row a check takes longer than the
    network.
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
            and fitted["_table"].is_plain
            and np.isfinite(X.sum())
        )
    return X if plain else read_rows(estimator, X, fitted["_table"], takes_holes=estimator._takes_holes)[1]


def loss_of(network: Network, name: str) -> Any:
    """Return the loss of a network's raw outputs."""
    return LOSSES[name] if network.layout is None else TableLoss(network.layout, name)


def fitted_state(estimator: BaseEstimator) -> dict:
    """Return what a fit has set on an estimator, without its parameters, callbacks and `set_output`."""
    left_out = {*estimator.get_params(deep=False), "_fixed", "_skl_callbacks", "_sklearn_output_config", VERSION}
    return {name: value for name, value in estimator.__getstate__().items() if name not in left_out}


def adopt_state(estimator: Any, state: dict) -> None:
    """Make an estimator a fitted one by the `fitted_state` of another with the same parameters."""
    fixed = {"_fixed": estimator._current_fixed()} if isinstance(estimator, FittedNetwork) else {}
    estimator.__dict__.update(state | fixed)


class FittedNetwork(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Versioned):
    """Codes, from the network that `NetworkEstimator` has trained."""

    device: str
    max_memory: float | str
    # set by NetworkEstimator
    _network: Network
    _fixed: dict[str, Any]  # the parameters that `fit` fixes, as they were then
    _table: Table  # the columns of X
    _layout: TableLayout | None  # None where the network takes no table
    _given_layout: TableLayout | None = None  # of cells, in which a detector gives X

    @of_one_fit
    @by_chunks
    def transform(self, X):
        """Return the code of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a stream of rows
            Rows.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Codes, float32 where X is float32, else float64 (computed in float32).
        """
        X = self._check_rows(X)
        return self._apply(lambda network, x: network.encode(x), X, X.dtype)

    def _check_rows(self, X) -> np.ndarray:
        check_is_fitted(self)
        return check_rows(self, X)

    def _apply(self, function: Callable[[Any, Tensor], Tensor], X: np.ndarray, dtype) -> np.ndarray:
        device = device_for_scoring(self.device)
        network = self._taking_holes(network_for_scoring(self._network, device), X)
        return apply_network(network, function, X, device, dtype)

    def _network_for(self, X: np.ndarray | RowStream) -> Network:
        """Return the network, where X holds NaN one that takes them though those of training held none."""
        return self._taking_holes(self._network, X)

    def _taking_holes(self, network: Network, X: np.ndarray | RowStream) -> Network:
        if self._layout is None or network.layout is not None or not has_holes(X):
            return network
        return TableNetwork(network, self._layout)

    # ---- fitted state --------------------------------------------------------------------------------------

    @property
    def encoder_(self) -> nn.Module:
        """The trained encoder, (n_samples, n_features) -> (n_samples, n_components)."""
        return self._fitted_network("encoder_").encoder

    def _fitted_network(self, attribute: str) -> Network:
        if "_network" not in vars(self):
            raise AttributeError(f"This {type(self).__name__} has no {attribute} before fit.")
        return self._network

    @property
    def _takes_holes(self) -> bool:
        return self._layout is not None

    @property
    def _loss(self) -> Loss:
        return loss_of(self._network, self._fixed["loss"])

    @property
    def _n_features_out(self) -> int:
        return self._fixed["n_components"]

    def __sklearn_is_fitted__(self) -> bool:
        return "_network" in vars(self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.categorical = self._takes_tables()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __getstate__(self):
        return to_cpu(super().__getstate__())
