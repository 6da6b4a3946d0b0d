"""Fully connected networks."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar

from skae._compat import Interval, StrOptions
from skae.documented import Documented
from skae.interfaces import RowSummary
from skae.networks.activations import OF_EACH_UNIT
from skae.networks.initialisation import check_sizes
from skae.networks.layers import (
    Affine,
    BatchedLinear,
    BatchedNorm,
    BatchedPerceptron,
    DenseAutoEncoder,
    TransposedLinear,
)
from skae.random import RandomStreams


@dataclass(repr=False, eq=False)
class DenseNetwork(Documented):
    """Specification of a fully connected encoder and its mirrored decoder.

    Pass it as ``network`` to any autoencoder; its parameters can be searched as ``network__activation`` and so on.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(128, 64)
        Units of the encoder's hidden layers, from the input inwards; the decoder mirrors them. ``()`` means none.
    activation : {"relu", "gelu", "silu", "tanh", "sigmoid", "identity"}, default="relu"
        Activation of the hidden layers.
    code_activation : same options, default="identity"
        Activation of the code.
    output_activation : same options, default="identity"
        Activation of the reconstruction. With "identity" the output has the location and unit of X. With
        ``loss="binary_cross_entropy"`` it must be "identity": the autoencoder applies the sigmoid itself.
    dropout : float in [0, 1), default=0.0
        Probability with which a hidden unit is left out of a training step (Srivastava et al. 2014).
    normalization : {"batch", "layer"} or None, default=None
        Normalise hidden layers over the batch's rows (Ioffe & Szegedy 2015) or over the layer's units (Ba et
        al. 2016), before the activation.
    tied_weights : bool, default=False
        Whether the decoder's weights are the encoder's, transposed; biases stay its own.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoEncoderTransformer
    >>> from skae.networks import DenseNetwork
    >>> X, _ = load_digits(return_X_y=True)
    >>> network = DenseNetwork((64,), activation="tanh", tied_weights=True)
    >>> AutoEncoderTransformer(8, network=network, max_iter=2, random_state=0).fit_transform(X).shape
    (1797, 8)
    """

    hidden_layer_sizes: Any = (128, 64)
    activation: str = "relu"
    _: KW_ONLY
    code_activation: str = "identity"
    output_activation: str = "identity"
    dropout: float = 0.0
    normalization: str | None = None
    tied_weights: bool = False

    _activation = StrOptions(set(OF_EACH_UNIT))
    _parameter_constraints: ClassVar[dict] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [_activation],
        "code_activation": [_activation],
        "output_activation": [_activation],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "normalization": [StrOptions({"batch", "layer"}), None],
        "tied_weights": ["boolean"],
    }

    def build(self, rows: RowSummary, n_components: int, random: RandomStreams, logits: bool) -> DenseAutoEncoder:
        """Return the initialised network, on the CPU.

        Parameters
        ----------
        rows : RowSummary
            Mean and scale of the training rows. Like PCA the network works on centred rows, of unit scale.
        n_components : int
            Width of the code.
        random : RandomStreams
            Source of the initial weights, one stream for each member.
        logits : bool
            Whether the loss takes the output as logits.

        Returns
        -------
        network : Network
            With a member for each stream of ``random``.

        Raises
        ------
        ValueError
            If a parameter is outside its range.
        """
        self._validate_params()
        if logits and self.output_activation != "identity":
            raise ValueError(
                f"output_activation={self.output_activation!r} must be 'identity' with loss='binary_cross_entropy', "
                "which takes the network's output as logits and applies the sigmoid itself."
            )
        hidden = check_sizes("hidden_layer_sizes", self.hidden_layer_sizes, "(128, 64)", none="()")
        sizes = [rows.n_features, *hidden, n_components]
        encoder = [BatchedLinear(i, o, random) for i, o in pairwise(sizes)]
        decoder: list[BatchedLinear | TransposedLinear]
        if self.tied_weights:
            decoder = [TransposedLinear(layer) for layer in encoder[::-1]]
        else:
            decoder = [BatchedLinear(i, o, random) for i, o in pairwise(sizes[::-1])]

        def perceptron(layers, widths, last_activation, **affine):
            norms = [BatchedNorm(self.normalization, w, random) for w in widths if self.normalization]
            activations = [self.activation] * len(widths) + [last_activation]
            return BatchedPerceptron(layers, activations, norms, self.dropout, **affine)

        before = Affine(1 / rows.scale, -rows.mean / rows.scale, random.n_members)
        is_unbounded = self.output_activation == "identity" and not logits
        after = Affine(rows.scale, rows.mean, random.n_members) if is_unbounded else None
        return DenseAutoEncoder(
            perceptron(encoder, hidden, self.code_activation, before=before),
            perceptron(decoder, hidden[::-1], self.output_activation, after=after),
            random.n_members,
        )
