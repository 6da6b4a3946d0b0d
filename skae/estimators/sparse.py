"""The sparse autoencoder."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch

from skae._compat import Interval, StrOptions
from skae.estimators.fitted import loss_of
from skae.estimators.parameters import CATEGORICAL_CONSTRAINTS, parameter
from skae.estimators.reconstruction import BaseAutoEncoder
from skae.interfaces import Network, Objective
from skae.networks import DenseNetwork
from skae.objectives.sparse import SparseObjective
from skae.training import in_memory


@dataclass(repr=False, eq=False)
class SparseAutoEncoder(BaseAutoEncoder):
    r"""Sparse autoencoder: few units of the code are active for any one row.

    Encoder :math:`f` and decoder :math:`g` minimise the mean of

    .. math:: d(x, g(f(x))) + \lambda\, \Omega

    where, for a code :math:`z = f(x)` of :math:`h` units, :math:`\Omega` is :math:`\frac{1}{h} \sum_j |z_j|` with
    ``sparsity="l1"``, and with ``sparsity="kl"``

    .. math:: \frac{1}{h} \sum_j \rho \log\frac{\rho}{\hat\rho_j} + (1 - \rho) \log\frac{1 - \rho}{1 - \hat\rho_j},

    the divergence of the target rate :math:`\rho` to the mean :math:`\hat\rho_j` of each unit over the batch [1]_.
    `score_samples` and `score` measure only :math:`d`.

    Parameters
    ----------
    n_components : int, default=32
        Width of the code. A sparse one may be wider than the rows.
    sparsity : {"l1", "kl"}, default="l1"
        Penalty on the code. The default network's code has a relu with "l1" and a sigmoid with "kl"; with "kl" the
        code of a ``network`` of yours must lie in [0, 1].
    sparsity_weight : float or "auto", default="auto"
        :math:`\lambda`, >= 0, in the units of ``loss``. "auto" is 0.001 with "l1". With "kl" it is the size of the
        loss (the variance of X for "squared_error", log 2 for "binary_cross_entropy"), and training also adjusts a
        multiplier for each unit until its rate is the target [2]_, in some hundreds of steps. With a number, the rates
        end where the penalty balances the loss: the larger it is, the closer to the target. "l1" also shrinks the
        code, which larger weights of the decoder compensate for; a ``network`` with tied weights gives true zeros.
    target_rate : float, default=0.05
        :math:`\rho`, in (0, 1), for "kl": the share of rows for which each unit should be active.
    {categorical_features}
    {shared_parameters}

    {shared_attributes}

    See Also
    --------
    ContractiveAutoEncoder : Penalises how the code moves, not how large it is.

    References
    ----------
    .. [1] Ng, A., "Sparse autoencoder", CS294A lecture notes, Stanford University, 2011.
    .. [2] Bertsekas, D. P., "Constrained optimization and Lagrange multiplier methods", Academic Press, 1982.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import SparseAutoEncoder
    >>> X = load_digits().data / 16
    >>> sparse = SparseAutoEncoder(sparsity_weight=0.1, max_iter=10, random_state=0).fit(X)
    >>> plain = SparseAutoEncoder(sparsity_weight=0, max_iter=10, random_state=0).fit(X)
    >>> bool(sparse.transform(X).mean() < 0.5 * plain.transform(X).mean())
    True
    """

    _: KW_ONLY
    sparsity: str = parameter("l1", StrOptions({"l1", "kl"}))
    sparsity_weight: float | str = parameter("auto", StrOptions({"auto"}), Interval(Real, 0, None, closed="left"))
    target_rate: float = parameter(0.05, Interval(Real, 0, 1, closed="neither"))
    categorical_features: Any = parameter("from_dtype", *CATEGORICAL_CONSTRAINTS)

    _can_be_batched: ClassVar[bool] = True
    _fixed_by_fit: ClassVar[tuple[str, ...]] = (*BaseAutoEncoder._fixed_by_fit, "sparsity", "categorical_features")

    def _default_network(self) -> DenseNetwork:
        code_activation = "relu" if self.sparsity == "l1" else "sigmoid"
        return DenseNetwork(self.hidden_layer_sizes, self.activation, code_activation=code_activation)

    def _make_objective(self, network: Network, X: np.ndarray, target: np.ndarray | None) -> Objective:
        target_rate = None
        if self.sparsity == "kl":
            _check_rates(network, in_memory(X)[:256])
            target_rate = self.target_rate
        weight: Any = self.sparsity_weight
        weight = (0.001 if self.sparsity == "l1" else None) if isinstance(weight, str) else float(weight)
        return SparseObjective(network, loss_of(network, self.loss), weight, target_rate)


@torch.no_grad()
def _check_rates(network: Network, X: np.ndarray) -> None:
    """Raise where the codes of some rows are not in [0, 1]: as rates they would mean nothing."""
    x = torch.tensor(X, dtype=torch.float32, device=next(network.parameters()).device)
    code = network.eval().encode(x.expand(network.n_members, *x.shape))
    low, high = code.min().item(), code.max().item()
    if not 0 <= low <= high <= 1:
        raise ValueError(
            f"sparsity='kl' takes the code for rates, in [0, 1]; the code of this network has values in [{low:.3g}, "
            f"{high:.3g}]. End its encoder in a sigmoid (DenseNetwork(code_activation='sigmoid')) or set sparsity='l1'."
        )
