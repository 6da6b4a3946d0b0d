"""Networks that reconstruct a row from prototypes."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from skae._compat import Interval
from skae.documented import Documented
from skae.interfaces import RowSummary
from skae.networks.layers import Affine, BatchedLinear, BatchedPerceptron, DenseAutoEncoder
from skae.random import RandomStreams

N_MEASURED = 256  # prototypes whose distances to the next one set the temperature


@dataclass(repr=False, eq=False)
class MemoryNetwork(Documented):
    r"""Specification of a network whose code says how much a row resembles each of ``n_components`` prototypes.

    The code is a softmax, :math:`z = \operatorname{softmax}(W^\top x + b)`, and the reconstruction a mean of as many
    values, :math:`\hat{x} = V^\top z`, weighted by it [1]_ [2]_. So a row that is far from all values cannot be
    reproduced, whatever the network has learned.

    W, b and V are trained. They start at prototypes :math:`p_i`, random rows of X, such that
    :math:`z_i \propto \exp(-\lVert x - p_i \rVert^2 / (\tau s))`, where s is the median squared distance from a
    prototype to the next one, and :math:`V_i = p_i`. With ``early_stopping`` held-out rows may be among them.

    Parameters
    ----------
    temperature : float, default=1.0
        :math:`\tau` at the start, > 0. With less each row begins nearer to a single prototype.

    References
    ----------
    .. [1] D. Gong et al., "Memorizing normality to detect anomaly: memory-augmented deep autoencoder for unsupervised
       anomaly detection", ICCV 2019.
    .. [2] H. Ramsauer et al., "Hopfield networks is all you need", ICLR 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skae import DenoisingAutoEncoder
    >>> from skae.networks import MemoryNetwork
    >>> X, _ = load_iris(return_X_y=True)
    >>> autoencoder = DenoisingAutoEncoder(16, network=MemoryNetwork(), noise_level=0.1, max_iter=20, random_state=0)
    >>> bool(autoencoder.fit(X).reconstruct(X + 100).max() < 10)  # iris measures less than 10 cm
    True
    """

    temperature: float = 1.0

    code_activation: ClassVar[str] = "softmax"
    _parameter_constraints: ClassVar[dict] = {"temperature": [Interval(Real, 0, None, closed="neither")]}

    def build(self, rows: RowSummary, n_components: int, random: RandomStreams, logits: bool) -> DenseAutoEncoder:
        """Return the initialised network, on the CPU; parameters as for `DenseNetwork.build`.

        Raises
        ------
        ValueError
            If ``temperature`` is not positive, if there are fewer rows than prototypes, or with
            ``loss="binary_cross_entropy"``.
        """
        self._validate_params()
        if logits:
            raise ValueError(
                "network=MemoryNetwork() reconstructs means of rows, not logits, as loss='binary_cross_entropy' takes "
                "them. Choose another loss."
            )
        X: Any = rows.X  # None where shapes only are wanted
        if X is not None and n_components > len(X):
            raise ValueError(f"n_components={n_components} prototypes need as many rows; X has {len(X)}.")
        encoder = BatchedLinear(rows.n_features, n_components, random)
        decoder = BatchedLinear(n_components, rows.n_features, random)
        if X is not None:
            self._start_at_prototypes(encoder, decoder, rows, random)
        before = Affine(1 / rows.scale, -rows.mean / rows.scale, random.n_members)
        after = Affine(rows.scale, rows.mean, random.n_members)
        return DenseAutoEncoder(
            BatchedPerceptron([encoder], [self.code_activation], before=before),
            BatchedPerceptron([decoder], ["identity"], after=after),
            random.n_members,
        )

    def _start_at_prototypes(
        self, encoder: BatchedLinear, decoder: BatchedLinear, rows: RowSummary, random: RandomStreams
    ) -> None:
        X: Any = rows.X
        n_components = decoder.weight.shape[1]
        with torch.no_grad():
            for k, order in enumerate(random.permutation(len(X))):
                prototypes = torch.from_numpy(X[order[:n_components].numpy()]).to(torch.float64)
                prototypes = ((prototypes - rows.mean) / rows.scale).float()  # (n_components, n_features)
                sharpness = 1 / (self.temperature * _squared_distance_to_next(prototypes))
                encoder.weight[k] = 2 * sharpness * prototypes.T
                if rows.layout is not None and rows.layout.flags:
                    # a hole counts for nothing in the distance
                    n_flags = len(rows.layout.flags)
                    encoder.weight[k, -n_flags:] = sharpness * rows.layout.sums_of_flags(prototypes.square()).T
                encoder.bias[k] = -sharpness * prototypes.square().sum(1)
                decoder.weight[k] = prototypes


def _squared_distance_to_next(prototypes: Tensor) -> Tensor:
    """Return the median of the squared distances from prototypes to the next one that is not the same."""
    distances = torch.cdist(prototypes[:N_MEASURED], prototypes, compute_mode="donot_use_mm_for_euclid_dist").square()
    nearest = distances.masked_fill(distances < 1e-9, torch.inf).amin(1)
    nearest = nearest[nearest.isfinite()]
    return nearest.median() if len(nearest) else torch.tensor(1.0)
