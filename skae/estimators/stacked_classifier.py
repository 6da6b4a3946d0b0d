"""The stacked autoencoder that learns to classify."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from torch import Tensor

from skae.device import on_cpu
from skae.estimators.greedy import GreedyPretraining
from skae.estimators.labels import PartlyLabelled, read_labels
from skae.estimators.preparation import INITIAL_WEIGHTS, TrainingData
from skae.interfaces import Network, Objective, RowSummary
from skae.networks import DenseNetwork
from skae.networks.layers import BatchedLinear, BatchedPerceptron, DenseAutoEncoder
from skae.objectives.classification import ClassificationObjective
from skae.random import RandomStreams, derived_seeds
from skae.training import RowStream, summarize


@dataclass(repr=False, eq=False)
class StackedAutoEncoderClassifier(ClassifierMixin, PartlyLabelled, GreedyPretraining):
    r"""Classifier whose layers are first trained, without labels, as a stacked denoising autoencoder.

    Each layer learns to undo noise on the output of the layers below, as in `StackedAutoEncoder`, from all rows. Then a
    softmax layer is put on the code :math:`z`,
    :math:`p(c \mid x) = \operatorname{softmax}_c(W^\top z(x) + b)`, and the whole minimises the mean of
    :math:`-\log p(y \mid x)` over the rows whose class is known [1]_ [2]_. Rows labelled -1 only pre-train: choose it
    where rows are many and labels are few. Wide layers do better than narrow ones: three of 500 units with
    ``learning_rate_init=1e-3`` suit 28 x 28 digits.

    Parameters
    ----------
    n_components : int, default=32
        Width of the code, the input of the softmax layer. It has the ``activation`` of the hidden layers.
    tied_weights : bool, default=True
        Whether the decoder's weights are the encoder's, transposed, in pre-training. A ``network`` sets its own.
    corruption : {"gaussian", "masking", "salt_and_pepper", "swap"}, callable or None, default="masking"
        Noise on the input of each layer in pre-training, as in `StackedAutoEncoder`; None for none.
    noise_level : float, default=0.5
        Strength of the corruption: >= 0 for "gaussian", in [0, 1] for the others.
    pretrain_max_iter : int, default=10
        Epochs of pre-training a layer, >= 0. 0 trains from random weights.
    {shared_parameters}

    {attributes_without_decoder}
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted.
    pretraining_loss_curves_ : list of list of float
        Loss of each epoch of pre-training, for each layer. Empty where ``pretrain_max_iter`` is 0.

    See Also
    --------
    StackedAutoEncoder : Fine-tuned to reconstruct.

    Notes
    -----
    ``loss`` is that of pre-training; ``n_iter_`` and the loss curves belong to the supervised training after it.
    `transform` gives the code after that training, which has no decoder any more. `score` is the accuracy. Where y
    holds -1 and 1 and nothing else, these are two classes. ``early_stopping`` holds out labelled rows, also from
    pre-training. ``network`` must be a `skae.networks.DenseNetwork` or None.

    References
    ----------
    .. [1] Y. Bengio et al., "Greedy layer-wise training of deep networks", NIPS 2006.
    .. [2] P. Vincent et al., "Stacked denoising autoencoders: learning useful representations in a deep network with a
       local denoising criterion", JMLR 11, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skae import StackedAutoEncoderClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> known = np.random.default_rng(0).uniform(size=len(y)) < 0.1
    >>> classifier = StackedAutoEncoderClassifier(pretrain_max_iter=5, max_iter=30, random_state=0)
    >>> classifier.fit(X / 16, np.where(known, y, -1)).score(X[~known] / 16, y[~known]) > 0.85
    True
    """

    _: KW_ONLY
    corruption: str | Callable | None = "masking"
    noise_level: float = 0.5

    def _class_logits(self, network: Any, x: Tensor) -> Tensor:
        return network(x)

    def _training_labels(self, X: np.ndarray, y) -> np.ndarray:
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        y, unknown = read_labels(X, y)
        if -1 in self.classes_.tolist() if "classes_" in vars(self) else set(y.tolist()) == {-1, 1}:
            unknown[:] = False
        if unknown.all():
            raise ValueError(
                "y labels every row -1, unknown: some rows must have a class. StackedAutoEncoder does without."
            )
        return self._class_numbers(y, unknown)

    def _can_learn_from(self, data: TrainingData) -> np.ndarray:
        assert data.labels is not None
        return data.labels >= 0

    def _default_network(self) -> DenseNetwork:
        return DenseNetwork(
            self.hidden_layer_sizes, self.activation, code_activation=self.activation, tied_weights=self.tied_weights
        )

    def _build_network(self, rows: RowSummary, seed: int) -> Network:
        """Build the encoder and, in the place of a decoder, a linear map to logits."""
        encoder: Any = self._build_from_specification(rows, self.n_components, seed).encoder
        random = RandomStreams(derived_seeds(seed, INITIAL_WEIGHTS, 1), "cpu")
        with on_cpu():
            head = BatchedLinear(self.n_components, len(self.classes_), random)
        return DenseAutoEncoder(encoder, BatchedPerceptron([head], ["identity"]), n_members=1)

    def _make_objective(self, network: Network, X: np.ndarray, target: np.ndarray | None) -> Objective:
        return ClassificationObjective(network)

    def _pretrain(self, network: Network, X: np.ndarray | RowStream, held_out: np.ndarray | None, seed: int) -> None:
        # built once more, with the same initial weights, for its decoder
        autoencoder = self._build_from_specification(summarize(X), self.n_components, seed)
        super()._pretrain(autoencoder.to(next(network.parameters()).device), X, held_out, seed)
        network.encoder.load_state_dict(autoencoder.encoder.state_dict())
