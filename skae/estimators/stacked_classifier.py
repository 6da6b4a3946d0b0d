"""The stacked autoencoder that learns to classify."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from torch import Tensor

from skae.device import on_cpu
from skae.estimators.base import INITIAL_WEIGHTS, NetworkEstimator, TrainingData
from skae.estimators.greedy import GreedyPretraining
from skae.estimators.labels import PartlyLabelled, encode_labels, read_labels
from skae.interfaces import Network, Objective, RowSummary
from skae.networks import DenseNetwork
from skae.networks.layers import BatchedLinear, BatchedPerceptron, DenseAutoEncoder
from skae.objectives.classification import ClassificationObjective
from skae.random import RandomStreams, derived_seeds
from skae.training import summarize


@dataclass(repr=False, eq=False)
class StackedAutoEncoderClassifier(ClassifierMixin, PartlyLabelled, GreedyPretraining, NetworkEstimator):
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
        Whether the decoder's weights are the encoder's, transposed, in pre-training. Ignored where ``network`` is
        given, which has its own.
    corruption : {"gaussian", "masking", "salt_and_pepper", "swap"}, callable or None, default="masking"
        Noise on the input of each layer in pre-training, as in `StackedAutoEncoder`; None for none.
    noise_level : float, default=0.5
        Strength of the corruption: >= 0 for "gaussian", in [0, 1] for the others.
    pretrain_max_iter : int, default=10
        Epochs of pre-training a layer, >= 0. 0 trains from random weights.
    {shared_parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted.
    pretraining_loss_curves_ : list of list of float
        Loss of each epoch of pre-training, for each layer. Empty where ``pretrain_max_iter`` is 0.
    encoder_ : torch.nn.Module
        The trained encoder, over float32 batches (n_samples, n_features).
    n_iter_ : int
        Epochs of supervised training, over all `partial_fit` and ``warm_start`` calls.
    loss_curve_ : list of float
        Mean negative log-likelihood of each epoch of supervised training.
    validation_loss_curve_ : list of float or None
        Held-out loss of each epoch, NaN for epochs without ``early_stopping``; None if it was never used.
    best_epoch_ : int
        Epoch of the last `fit` with the lowest monitored loss, counted from 1.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    StackedAutoEncoder : Fine-tuned to reconstruct.

    Notes
    -----
    ``loss`` is that of pre-training. `transform` gives the code after fine-tuning; it has no decoder any more. `score`
    is the accuracy.

    A class that is unknown is labelled -1: the number, in an array of objects too; "-1" where y has a string type. Take
    care with unsigned labels: in ``np.where(known, y, -1)`` the -1 becomes the largest number of their type. Such
    labels, NaN and None raise a ValueError. Write ``np.where(known, y.astype(int), -1)``. Where y holds -1 and 1 and
    nothing else, these are two classes. ``early_stopping`` holds out labelled rows, also from pre-training. ``network``
    must be a `skae.networks.DenseNetwork` or None.

    References
    ----------
    .. [1] Y. Bengio, P. Lamblin, D. Popovici and H. Larochelle, "Greedy layer-wise training of deep
       networks", NIPS 2006.
    .. [2] P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio and P.-A. Manzagol, "Stacked denoising autoencoders: learning
       useful representations in a deep network with a local denoising criterion", JMLR 11, 2010.

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
    tied_weights: bool = True
    corruption: str | Callable | None = "masking"
    noise_level: float = 0.5
    pretrain_max_iter: int = 10

    _fixed_by_fit: ClassVar[tuple[str, ...]] = (*NetworkEstimator._fixed_by_fit, "tied_weights")
    _parameter_constraints: ClassVar[dict] = {
        **NetworkEstimator._parameter_constraints,
        **GreedyPretraining._pretraining_constraints,
    }

    def fit(self, X, y=None):
        """Pre-train on all rows, then train on those with a class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,)
            Classes, -1 where unknown.

        Returns
        -------
        self : object
            The fitted classifier.

        Raises
        ------
        ValueError
            If a parameter, X or y is not valid; nothing has changed then.
        FloatingPointError
            If training diverges. Like a KeyboardInterrupt, it leaves the best weights so far, or the earlier state if
            no supervised epoch was finished.
        """
        return super().fit(X, y)

    # ---- training ------------------------------------------------------------------------------------------

    def _class_logits(self, network: Any, x: Tensor) -> Tensor:
        return network(x)

    def _check_training_data(self, X, y, reset: bool):
        if reset and self.__sklearn_is_fitted__():
            self.__dict__.pop("classes_", None)  # a new fit finds its own
        return super()._check_training_data(X, y, reset)

    def _training_labels(self, X: np.ndarray, y) -> np.ndarray:
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        y, unknown = read_labels(X, y)
        if "classes_" not in vars(self):
            known = y if set(y.tolist()) == {-1, 1} else y[~unknown]
            if len(known):
                check_classification_targets(known)
            self.classes_ = np.unique(known)
        if -1 in self.classes_.tolist():
            unknown = np.zeros(len(y), dtype=bool)
        if unknown.all():
            raise ValueError(
                "y labels every row -1, unknown: some rows must have a class. StackedAutoEncoder does without."
            )
        return encode_labels(y, unknown, self.classes_)

    def _rows_to_train(self, data: TrainingData) -> np.ndarray:
        assert data.labels is not None
        return np.flatnonzero(data.labels >= 0)

    def _default_network(self) -> DenseNetwork:
        return DenseNetwork(
            self.hidden_layer_sizes,
            self.activation,
            code_activation=self.activation,
            tied_weights=self.tied_weights,
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

    def _pretrain(self, network: Network, X: np.ndarray, held_out: Tensor | None, seed: int) -> None:
        # built once more, with the same initial weights, for its decoder
        autoencoder = self._build_from_specification(summarize(X), self.n_components, seed)
        self._pretrain_layers(autoencoder.to(next(network.parameters()).device), X, held_out, seed)
        network.encoder.load_state_dict(autoencoder.encoder.state_dict())


# the top layer is a hidden layer of the classifier
StackedAutoEncoderClassifier.__doc__ = str(StackedAutoEncoderClassifier.__doc__).replace(" The code is linear.", "")
