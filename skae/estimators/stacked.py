"""The stacked autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from skae.corruptions import make_corruption
from skae.estimators.greedy import GreedyPretraining
from skae.estimators.reconstruction import BaseAutoEncoder
from skae.interfaces import Network, Objective
from skae.networks import DenseNetwork
from skae.objectives import LOSSES, ReconstructionObjective
from skae.training import bounds


@dataclass(repr=False, eq=False)
class StackedAutoEncoder(GreedyPretraining, BaseAutoEncoder):
    r"""Stacked autoencoder: each layer is first trained by itself, then the whole network is fine-tuned.

    Let :math:`h_0 = x` and let :math:`h_l` be the output of layer :math:`l`. Greedily, from the input inwards, layer
    :math:`l` with encoder :math:`f_l` and decoder :math:`g_l` minimises the mean of
    :math:`\lVert h_{l-1} - g_l(f_l(h_{l-1})) \rVert^2`, the layers below being frozen [1]_. Then
    :math:`x \to f_L(\cdots f_1(x))` and its mirror image are trained together. With ``corruption`` the input of each
    layer, and X in fine-tuning, is corrupted, and the clean input is the target: the stacked denoising autoencoder
    [2]_.

    It helps where gradients hardly reach the first layers, in deep networks of "sigmoid" units. With "relu" and "tanh"
    the same number of passes over the whole network does as well or better.

    Parameters
    ----------
    n_components : int, default=32
        Width of the code.
    tied_weights : bool, default=True
        Whether the decoder's weights are the encoder's, transposed: half the parameters. A ``network`` sets its own.
    corruption : {"gaussian", "masking", "salt_and_pepper", "swap"}, callable or None, default=None
        Noise, as in `DenoisingAutoEncoder`; None for none. For layers above the first, columns are those of the codes
        below; the standard deviation of "gaussian" keeps its proportion to their scale.
    noise_level : float, default=0.2
        Strength of the corruption: >= 0 for "gaussian", in [0, 1] for the others.
    pretrain_max_iter : int, default=10
        Epochs of pre-training a layer, >= 0, with the batch size, learning rate and weight decay of fine-tuning.
    {shared_parameters}

    {shared_attributes}
    pretraining_loss_curves_ : list of list of float
        Loss of each epoch of pre-training, for each layer: in ``loss`` for the first, squared error of the codes for
        the others. Empty where ``pretrain_max_iter`` is 0.

    See Also
    --------
    StackedAutoEncoderClassifier : Fine-tuned to classify.

    Notes
    -----
    ``network`` must be a `skae.networks.DenseNetwork` or None: others have no layers to train one by one. Neither
    `partial_fit` nor a ``warm_start`` repeats pre-training. Rows that ``early_stopping`` holds out are left out of it,
    dropout is not used, and the output of a mirrored "relu" is linear: a unit that is 0 for all rows would have no
    gradient. If pre-training diverges or is interrupted, the estimator is left as it was.

    References
    ----------
    .. [1] Y. Bengio et al., "Greedy layer-wise training of deep networks", NIPS 2006.
    .. [2] P. Vincent et al., "Stacked denoising autoencoders: learning useful representations in a deep network with a
       local denoising criterion", JMLR 11, 2010.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import StackedAutoEncoder
    >>> X = load_digits().data / 16
    >>> stacked = StackedAutoEncoder(8, activation="sigmoid", pretrain_max_iter=2, max_iter=1, random_state=0).fit(X)
    >>> [len(curve) for curve in stacked.pretraining_loss_curves_], stacked.n_iter_
    ([2, 2, 2], 1)
    """

    def _default_network(self) -> DenseNetwork:
        return DenseNetwork(self.hidden_layer_sizes, self.activation, tied_weights=self.tied_weights)

    def _make_objective(self, network: Network, X: np.ndarray, target: np.ndarray | None) -> Objective:
        device = next(network.parameters()).device
        noise = (
            None
            if self.corruption is None
            else make_corruption(self.corruption, self.noise_level, partial(bounds, X), device)
        )
        return ReconstructionObjective(network, LOSSES[self.loss], noise)
