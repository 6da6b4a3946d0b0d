"""What the variational autoencoders share: scores that bound the density of a row."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from skae._compat import Interval, StrOptions
from skae.interfaces import Network, RowSummary
from skae.objectives.variational import Likelihood, check_linear_code, normal_draws


class DensityScores:
    """Scores in nats; ``bound`` and ``n_draws`` may be changed after the fit."""

    bound: str
    n_draws: int
    _seed: int
    _fixed: dict[str, Any]
    _error_power: ClassVar[None] = None  # a bound is no power of the residuals
    _density_constraints: ClassVar[dict] = {
        "bound": [StrOptions({"elbo", "importance_weighted"})],
        "n_draws": [Interval(Integral, 1, None, closed="left")],
    }

    def _score_checked(self: Any, X: np.ndarray) -> np.ndarray:
        """Return `score_samples` of rows that another estimator has checked, (n,)."""
        self._check_range("X", X, self._fixed["loss"])
        noise = normal_draws(self.n_draws, self._fixed["n_components"], self._seed)
        weighted = self.bound == "importance_weighted"

        def bounds(network: Any, x: Tensor) -> Tensor:
            return network.log_density_bound(x, noise.to(x.device), weighted)

        return self._apply(bounds, X, np.float64)

    def feature_errors(self, X):
        """Raise a ValueError: a bound on the density of a row is not a sum over its features."""
        raise ValueError(
            f"The score of a {type(self).__name__} is a bound on the density of the whole row, not a sum over its "
            "features. Take the squared residuals of reconstruct(X); in a detector, set error='squared_error'."
        )

    def _loss_scale(self, scale: float) -> float:
        return 1.0  # nats, whatever the unit of X

    def _build_parts(self: Any, rows: RowSummary, widths: list[int], seed: int) -> list[Network]:
        """Return a network for each width of the code."""
        check_linear_code(self.network)
        return [self._build_from_specification(rows, width, seed) for width in widths]

    def _build_likelihood(self: Any, rows: RowSummary, n_members: int) -> Likelihood:
        """Return the density around the decoder's output."""
        return Likelihood(self.loss, rows.scale, n_members)
