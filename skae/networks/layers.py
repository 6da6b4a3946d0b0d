"""Layers of K dense networks of one shape, trained at once: weights (K, fan_in, fan_out), one product a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skae.interfaces import SHARED_MATMUL_SIZE, Loss, Network
from skae.networks.activations import ACTIVATIONS
from skae.networks.fused_gradients import FusedGradients
from skae.networks.fused_output import FusedInference, FusedOutput, keep_output, kept_output
from skae.random import RandomStreams


class BatchedLinear(nn.Module):
    """K linear maps, (K, B, fan_in) -> (K, B, fan_out)."""

    block: nn.Parameter  # (K, fan_in + 1, fan_out): weights and, in the last row, biases; `fused_gradients` says why

    def __init__(self, fan_in: int, fan_out: int, random: RandomStreams):
        super().__init__()
        block = torch.zeros(random.n_members, fan_in + 1, fan_out, dtype=torch.float32, device=random.device)
        bound = math.sqrt(6 / (fan_in + fan_out))  # Glorot & Bengio 2010
        # in place: for other products on its meta device torch loads its compiler, a second
        block[:, :-1] = random.uniform(fan_in, fan_out).mul_(2).sub_(1).mul_(bound)
        self.block = nn.Parameter(block)

    @property
    def weight(self) -> Tensor:
        """(K, fan_in, fan_out)."""
        return self.block[:, :-1]

    @property
    def bias(self) -> Tensor:
        """(K, 1, fan_out)."""
        return self.block[:, -1:]

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, fan_in) -> (K, B, fan_out)."""
        return _product(x, *self.block.split_with_sizes((self.block.shape[1] - 1, 1), 1))


class TransposedLinear(nn.Module):
    """The transposed weights of another layer, (K, fan_in, fan_out), and own biases: fan_out inputs, fan_in outputs."""

    def __init__(self, tied_to: BatchedLinear):
        super().__init__()
        self.tied_to = tied_to
        n_members, n_rows, _ = tied_to.block.shape
        bias = torch.zeros(n_members, 1, n_rows - 1, dtype=torch.float32, device=tied_to.block.device)
        self.bias = nn.Parameter(bias)

    @property
    def weight(self) -> Tensor:
        """(K, fan_out, fan_in) of the other layer."""
        return self.tied_to.weight.mT

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, fan_out) -> (K, B, fan_in) of the other layer."""
        return _product(x, self.weight, self.bias)


def _product(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if x.shape[0] != weight.shape[0]:  # many batches for a single member
        weight = weight.expand(x.shape[0], -1, -1)
    return torch.baddbmm(bias, x, weight)


class Affine(nn.Module):
    """A fixed scale and shift of each feature, from or to the location and unit of the data."""

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


class BatchedNorm(nn.Module):
    """Batch normalisation over the rows, or layer normalisation over the units, of each member."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, kind: str, n_units: int, random: RandomStreams, momentum: float = 0.1, eps: float = 1e-5):
        super().__init__()
        self.kind, self.momentum, self.eps = kind, momentum, eps
        shape = random.n_members, n_units
        zeros, ones = (partial(f, shape, dtype=torch.float32, device=random.device) for f in (torch.zeros, torch.ones))
        self.scale = nn.Parameter(ones())
        self.shift = nn.Parameter(zeros())
        if kind == "batch":
            self.register_buffer("running_mean", zeros())
            self.register_buffer("running_var", ones())

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


class BatchedPerceptron(nn.Module):
    """Halves of K dense autoencoders: (K, B, n_in) -> (K, B, n_out) or, where K is 1, also (B, n_in) -> (B, n_out)."""

    def __init__(
        self,
        layers: Sequence[BatchedLinear | TransposedLinear],
        activations: Sequence[str],
        norms: Sequence[BatchedNorm] = (),
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

    def forward(
        self, x: Tensor, random: RandomStreams | None = None, pre_activations: list[Tensor] | None = None
    ) -> Tensor:
        """Apply the layers; append the input of each activation to ``pre_activations``.

        ``random`` draws the dropout masks; where it is None, torch's global generator does.
        """
        single = x.ndim == 2
        if single:
            x = x.unsqueeze(0)
        if self.before is not None:
            x = self.before(x)
        keep_inputs = pre_activations is not None or torch.is_grad_enabled()
        layers, norms = list(self.layers), list(self.norms)
        for i, (layer, name) in enumerate(zip(layers, self.activations, strict=True)):
            x = layer(x)
            if i < len(norms):
                x = norms[i](x)
            if pre_activations is not None:
                pre_activations.append(x)
            activation = ACTIVATIONS[name]
            x = activation.function(x) if keep_inputs else activation.in_place(x)
            if self.training and self.dropout and i < len(layers) - 1:
                uniform = torch.rand_like(x) if random is None else random.uniform(*x.shape[1:])
                x = torch.where(uniform < self.dropout, 0.0, x / (1 - self.dropout))
        if self.after is not None:
            x = self.after(x)
        return x.squeeze(0) if single else x

    @property
    def has_jacobian_factors(self) -> bool:
        """Whether `jacobian_factors` is supported: it is not with normalisation, dropout or softmax."""
        return not self.depends_on_mode and "softmax" not in self.activations

    @property
    def depends_on_mode(self) -> bool:
        """Whether it computes something else in training mode: with dropout or normalisation."""
        return bool(self.norms or self.dropout)

    def jacobian_factors(self, x: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor | None]]:
        """Return the output for x, (K, B, n_in), and the factors of its Jacobian W_1 D_1 ... W_L D_L.

        The weights W are (K, fan_in, fan_out), the diagonals D (K, B, fan_out), None for the identity.
        """
        pre_activations: list[Tensor] = []
        output = self(x, pre_activations=pre_activations)
        weights = [cast(BatchedLinear, layer).weight for layer in self.layers]
        if self.before is not None:
            weights[0] = weights[0] * self.before.scale.mT
        slopes = [ACTIVATIONS[name].derivative for name in self.activations]
        diagonals = [None if f is None else f(x) for f, x in zip(slopes, pre_activations, strict=True)]
        return output, weights, diagonals

    def extra_repr(self) -> str:
        """Show what the list of modules does not."""
        return f"activations={self.activations}, dropout={self.dropout}"


class DenseAutoEncoder(Network):
    """K dense autoencoders of one shape."""

    encoder: BatchedPerceptron
    decoder: BatchedPerceptron
    broadcasts = True

    def __init__(self, encoder: BatchedPerceptron, decoder: BatchedPerceptron, n_members: int):
        super().__init__()
        self.encoder, self.decoder, self.n_members = encoder, decoder, n_members

    def encode(self, x: Tensor, random: RandomStreams | None = None) -> Tensor:
        """(K, B, n_features) -> (K, B, n_components)."""
        return self.encoder(x, random)

    def decode(self, z: Tensor, random: RandomStreams | None = None) -> Tensor:
        """(K, B, n_components) -> (K, B, n_features)."""
        return self.decoder(z, random)

    @property
    def layers(self) -> list[BatchedLinear]:
        """The encoder's and the decoder's, of which those with tied weights are `TransposedLinear`."""
        return [cast(BatchedLinear, layer) for layer in (*self.encoder.layers, *self.decoder.layers)]

    @property
    def depends_on_mode(self) -> bool:
        """Whether it computes something else in training mode: with dropout or normalisation."""
        return self.encoder.depends_on_mode or self.decoder.depends_on_mode

    def is_small(self, n_rows: int) -> bool:
        """Whether its largest product is; those of several members are shared out member by member, in less time."""
        size = n_rows * max(parameter.numel() for parameter in self.parameters())
        return size < (SHARED_MATMUL_SIZE if self.n_members == 1 else SHARED_MATMUL_SIZE / 2)

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return cast(BatchedLinear, self.encoder.layers[0]).block.device

    def for_inference(self, keep: bool) -> Any:
        """Return what computes its output in buffers, for plain layers."""
        output = kept_output(self) if keep else None
        if output is None:
            if not self._is_plain:
                return self
            output = FusedOutput(self)
            if keep:
                keep_output(self, output)
        return FusedInference(self, output)

    @property
    def _is_plain(self) -> bool:
        return not self.depends_on_mode and all(isinstance(layer, BatchedLinear) for layer in self.layers)

    def fused_gradients(self, loss: Loss, loss_scale: float | Tensor) -> FusedGradients | None:
        """Return what computes them, for plain layers and a loss that has a gradient."""
        # the target of a decoder that scales its output is scaled by the encoder
        can_scale_target = self.decoder.after is None or self.encoder.before is not None
        can_be_fused = can_scale_target and self._is_plain and loss.gradient
        return FusedGradients(self, loss, loss_scale) if can_be_fused else None
