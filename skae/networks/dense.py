"""Dense networks, K of one shape as one stack: weights (K, fan_in, fan_out), one ``baddbmm`` a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar, cast

import torch
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn
from torch.nn import functional as F

from skae.contracts import Loss, Network, RowSummary
from skae.networks.activations import ACTIVATIONS, DERIVATIVES
from skae.networks.forward import DenseInference
from skae.networks.gradients import DenseGradients
from skae.random import RandomStreams


class StackedLinear(nn.Module):
    """K linear maps, (K, B, fan_in) -> (K, B, fan_out).

    ``tied_to`` shares, transposed, the weight of another layer of fan_out inputs and fan_in outputs.
    """

    weight: nn.Parameter

    def __init__(self, fan_in: int, fan_out: int, random: RandomStreams, tied_to: StackedLinear | None = None):
        super().__init__()
        self.transposed = tied_to is not None
        if tied_to is not None:
            self.weight = tied_to.weight
        else:
            bound = math.sqrt(6 / (fan_in + fan_out))  # Glorot & Bengio 2010
            self.weight = nn.Parameter((2 * random.uniform(fan_in, fan_out) - 1) * bound)
        self.bias = nn.Parameter(torch.zeros(random.n_members, fan_out, dtype=torch.float32))

    @property
    def matrix(self) -> Tensor:
        """The weight as it is applied, (K, fan_in, fan_out)."""
        return self.weight.transpose(1, 2) if self.transposed else self.weight

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, fan_in) -> (K, B, fan_out)."""
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.matrix)


class Affine(nn.Module):
    """A fixed scale and shift of each feature, from and to the data's own location and unit."""

    scale: Tensor  # (K, 1, 1)
    shift: Tensor  # (K, 1, n_features)

    def __init__(self, scale: float, shift: Tensor, n_members: int):
        super().__init__()
        self.register_buffer("scale", torch.full((n_members, 1, 1), scale, dtype=torch.float32))
        self.register_buffer("shift", shift.float().repeat(n_members, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return x * scale + shift, (K, B, n_features) or, where K is 1, (B, n_features)."""
        moved = torch.addcmul(self.shift, x, self.scale)
        return moved if x.ndim == 3 else moved.squeeze(0)


class StackedNorm(nn.Module):
    """Batch normalisation over the rows, or layer normalisation over the units, of each member."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, kind: str, n_units: int, n_members: int, momentum: float = 0.1, eps: float = 1e-5):
        super().__init__()
        self.kind, self.momentum, self.eps = kind, momentum, eps
        zeros = torch.zeros(n_members, n_units, dtype=torch.float32)
        self.scale = nn.Parameter(zeros + 1)
        self.shift = nn.Parameter(zeros)
        if kind == "batch":
            self.register_buffer("running_mean", zeros.clone())
            self.register_buffer("running_var", zeros + 1)

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, n_units) -> the same shape."""
        if self.kind == "layer":
            x = F.layer_norm(x, x.shape[-1:], eps=self.eps)
        else:
            if self.training:
                mean, var = x.mean(1), x.var(1, correction=0)  # (K, n_units)
                with torch.no_grad():
                    self.running_mean.lerp_(mean, self.momentum)
                    self.running_var.lerp_(var, self.momentum)
            else:
                mean, var = self.running_mean, self.running_var
            x = (x - mean.unsqueeze(1)) * (var + self.eps).rsqrt().unsqueeze(1)
        return torch.addcmul(self.shift.unsqueeze(1), x, self.scale.unsqueeze(1))


class StackedDense(nn.Module):
    """A stack of K multi-layer perceptrons of one shape.

    Takes (B, n_in) where K is 1, else (K, B, n_in), and answers in kind.
    """

    def __init__(
        self,
        layers: Sequence[StackedLinear],
        activations: Sequence[str],
        norms: Sequence[StackedNorm] = (),
        dropout: float = 0.0,
        *,
        before: Affine | None = None,
        after: Affine | None = None,
    ):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(norms)
        self.activations = list(activations)
        self.dropout = dropout
        self.before, self.after = before, after

    def forward(self, x: Tensor, random: RandomStreams | None = None) -> Tensor:
        """Apply the layers; ``random`` draws the dropout masks, torch's own generator where it is None."""
        single = x.ndim == 2
        if single:
            x = x.unsqueeze(0)
        if self.before is not None:
            x = self.before(x)
        for i, (layer, activation) in enumerate(zip(self.layers, self.activations, strict=True)):
            x = layer(x)
            if i < len(self.norms):
                x = self.norms[i](x)
            x = ACTIVATIONS[activation](x)
            if self.training and self.dropout and i < len(self.layers) - 1:
                uniform = torch.rand_like(x) if random is None else random.uniform(*x.shape[1:])
                x = torch.where(uniform < self.dropout, 0.0, x / (1 - self.dropout))
        if self.after is not None:
            x = self.after(x)
        return x.squeeze(0) if single else x

    @property
    def has_jacobian_factors(self) -> bool:
        """Whether `jacobian_factors` can be had: it knows neither normalisation nor dropout."""
        return not self.norms and not self.dropout and self.after is None

    def jacobian_factors(self, x: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor | None]]:
        """Return the output for x, (K, B, n_in), and the factors of its Jacobian W_1 D_1 ... W_L D_L.

        The weights W are (K, fan_in, fan_out), the diagonals D (K, B, fan_out), None for the identity.
        """
        weights: list[Tensor] = []
        derivatives: list[Tensor | None] = []
        if self.before is not None:
            x = self.before(x)
        for layer, activation in zip(self.layers, self.activations, strict=True):
            x, derivative = layer(x), DERIVATIVES[activation]
            weights.append(cast(StackedLinear, layer).matrix)
            derivatives.append(None if derivative is None else derivative(x))
            x = ACTIVATIONS[activation](x)
        if self.before is not None:
            weights[0] = weights[0] * self.before.scale.transpose(1, 2)
        return x, weights, derivatives

    def extra_repr(self) -> str:
        """Name what the module list does not show."""
        return f"activations={self.activations}, dropout={self.dropout}"


class StackNetwork(Network):
    """A stack of dense autoencoders."""

    encoder: StackedDense
    decoder: StackedDense

    def __init__(self, encoder: StackedDense, decoder: StackedDense, n_members: int):
        super().__init__()
        self.encoder, self.decoder, self.n_members = encoder, decoder, n_members

    def encode(self, x: Tensor, random: RandomStreams | None = None) -> Tensor:
        """(K, B, n_features) -> (K, B, n_components)."""
        return self.encoder(x, random)

    def decode(self, z: Tensor, random: RandomStreams | None = None) -> Tensor:
        """(K, B, n_components) -> (K, B, n_features)."""
        return self.decoder(z, random)

    def largest_product(self, n_rows: int) -> float:
        """Return the multiplications of the largest product, of all members together, for a batch of each."""
        layers = [cast(StackedLinear, layer) for layer in [*self.encoder.layers, *self.decoder.layers]]
        return n_rows * max(layer.weight.numel() for layer in layers)

    def for_inference(self) -> Network | DenseInference:
        """Return a faster form for layers without normalisation."""
        if self.n_members > 1 or self.encoder.norms or self.decoder.norms:
            return self
        return DenseInference(self.encoder, self.decoder)

    def gradients_by_hand(self, loss: Loss, unit: float | Tensor) -> DenseGradients | None:
        """Return them for plain layers: without normalisation, dropout or shared weights."""
        halves = (self.encoder, self.decoder)
        plain = all(
            not half.norms and not half.dropout and not any(layer.transposed for layer in half.layers)
            for half in halves
        )
        # both halves know the data's unit, or the output is bound to a range of its own
        known = self.decoder.after is None or self.encoder.before is not None
        return DenseGradients(self.encoder, self.decoder, loss, unit) if plain and known else None


class DenseNetwork(BaseEstimator):
    """Specification of a fully connected encoder and its mirrored decoder.

    Pass it as ``network`` to any autoencoder; its parameters can be searched as ``network__activation`` and so on.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(128, 64)
        Units of the encoder's hidden layers, from the input inwards; the decoder mirrors them. Empty: the
        encoder and the decoder are one layer each.
    activation : {"relu", "gelu", "silu", "tanh", "sigmoid", "identity"}, default="relu"
        Activation of the hidden layers.
    code_activation : same options, default="identity"
        Activation of the code.
    output_activation : same options, default="identity"
        Activation of the reconstruction. "identity" lets the network answer in X's location and unit. With
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

    _activation = StrOptions(set(ACTIVATIONS))
    _parameter_constraints: ClassVar[dict] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [_activation],
        "code_activation": [_activation],
        "output_activation": [_activation],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "normalization": [StrOptions({"batch", "layer"}), None],
        "tied_weights": ["boolean"],
    }

    def __init__(
        self,
        hidden_layer_sizes=(128, 64),
        activation="relu",
        *,
        code_activation="identity",
        output_activation="identity",
        dropout=0.0,
        normalization=None,
        tied_weights=False,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.code_activation = code_activation
        self.output_activation = output_activation
        self.dropout = dropout
        self.normalization = normalization
        self.tied_weights = tied_weights

    def build(self, rows: RowSummary, n_components: int, random: RandomStreams, logits: bool) -> StackNetwork:
        """Return the initialised network, on the CPU.

        Parameters
        ----------
        rows : RowSummary
            Mean and scale of the training rows. Like PCA the network works on centred rows, of unit scale.
        n_components : int
            Width of the code.
        random : RandomStreams
            Source of the initial weights, one stream a member.
        logits : bool
            Whether the loss takes the output for logits.

        Returns
        -------
        network : Network
            A stack of as many members as ``random`` has streams.

        Raises
        ------
        ValueError
            If a parameter is outside its range.
        """
        self._validate_params()
        if logits and self.output_activation != "identity":
            raise ValueError(
                f"output_activation={self.output_activation!r} must be 'identity' with loss='binary_cross_entropy', "
                "which takes the network's output for logits and applies the sigmoid itself."
            )
        hidden = check_hidden_layer_sizes(self.hidden_layer_sizes)
        sizes = [rows.n_features, *hidden, n_components]
        encoder = [StackedLinear(i, o, random) for i, o in pairwise(sizes)]
        tied: list[Any] = encoder[::-1] if self.tied_weights else [None] * len(encoder)
        decoder = [
            StackedLinear(i, o, random, tied_to=t) for (i, o), t in zip(pairwise(sizes[::-1]), tied, strict=True)
        ]

        def stack(layers, widths, last_activation, **affine):
            norms = [StackedNorm(self.normalization, w, random.n_members) for w in widths if self.normalization]
            activations = [self.activation] * len(widths) + [last_activation]
            return StackedDense(layers, activations, norms, self.dropout, **affine)

        before = Affine(1 / rows.scale, -rows.mean / rows.scale, random.n_members)
        free = self.output_activation == "identity" and not logits  # not bound to a range of its own
        after = Affine(rows.scale, rows.mean, random.n_members) if free else None
        return StackNetwork(
            stack(encoder, hidden, self.code_activation, before=before),
            stack(decoder, hidden[::-1], self.output_activation, after=after),
            random.n_members,
        )


def check_hidden_layer_sizes(sizes) -> list[int]:
    """Return the sizes as a list of positive integers, or say what is wrong with them."""
    sizes = [sizes] if isinstance(sizes, Integral) else list(sizes)
    if not all(isinstance(size, Integral) and int(size) >= 1 for size in sizes):
        raise ValueError(
            f"hidden_layer_sizes={sizes} must hold integers >= 1, for example (128, 64); use () for no hidden layer."
        )
    return [int(size) for size in sizes]
