"""What the variational autoencoders share: scores that bound the density of a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from skae._compat import Interval, StrOptions
from skae.estimators.parameters import parameter
from skae.estimators.reconstruction import BaseAutoEncoder
from skae.interfaces import Network, RowSummary
from skae.objectives.variational import check_linear_code, normal_draws


@dataclass(repr=False, eq=False)
class DensityScores(BaseAutoEncoder):
    """Base of the variational autoencoders. ``bound`` and ``n_draws`` may be changed after the fit."""

    _: KW_ONLY
    beta: float = parameter(1.0, Interval(Real, 0, None, closed="left"))
    bound: str = parameter("elbo", StrOptions({"elbo", "importance_weighted"}))
    n_draws: int = parameter(16, Interval(Integral, 1, None, closed="left"))

    _error_power: ClassVar[None] = None  # a bound is no power of the residuals

    def score_samples(self, X):
        """Return a lower bound on the log-density of each row, whatever its class, in nats.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,), float64
            Higher is more likely. The draws are the same for all rows and calls.
        """
        return super().score_samples(X)

    def _score_function(self) -> Callable[[Any, Tensor], Tensor]:
        return self._with_draws(lambda network: network.log_density_bound)

    def _with_draws(self, bound_of: Callable[[Any], Callable[..., Tensor]]) -> Callable[[Any, Tensor], Tensor]:
        """Return what maps a network and a batch to a bound of the network's, by ``n_draws`` codes."""
        noise = normal_draws(self.n_draws, self._fixed["n_components"], self._seed)
        weighted = self.bound == "importance_weighted"
        return lambda network, x: bound_of(network)(x, noise.to(x.device), weighted)

    def _feature_errors_checked(self, X: np.ndarray) -> np.ndarray:
        """Raise a ValueError: a bound on the density of a row is not a sum over its features."""
        raise ValueError(
            f"The score of a {type(self).__name__} is a bound on the density of the whole row, not a sum over its "
            "features. Take the squared residuals of reconstruct(X); in a detector, set error='squared_error'."
        )

    def _loss_scale(self, scale: float) -> float:
        return 1.0  # nats, whatever the unit of X

    def _build_parts(self, rows: RowSummary, widths: list[int], seed: int) -> list[Network]:
        """Return a network for each width of the code."""
        check_linear_code(self.network)
        return [self._build_from_specification(rows, width, seed) for width in widths]
