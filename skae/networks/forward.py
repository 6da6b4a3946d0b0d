"""Dense layers in as few calls as can be: small networks spend their time on calls, not sums.

Weights and bias of a layer are one block, (K, fan_in + 1, fan_out), and its input ends in a column of ones, so that one
product applies both. All that is computed goes to buffers that are made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor

from skae.networks.activations import INTO

if TYPE_CHECKING:
    from skae.networks.dense import Affine, StackedDense, StackedLinear


class Buffers(NamedTuple):
    """Where batches of one shape are computed, a tensor a layer; lists lack the member axis where K is 1."""

    inputs: list[Tensor]  # (K, B, fan_in + 1), the last column 1
    rows: Tensor  # (K, B, n_in), the first of them without the ones
    pre: list[Tensor]  # (K, B, fan_out), before the activation
    post: list[Tensor]  # the same after it
    output: Tensor  # (K, B, n_out), the last of them


class DensePass:
    """The forward pass through layers.

    Parameters
    ----------
    blocks : sequence of Tensor of shape (K, fan_in + 1, fan_out)
        Weights and, in the last row, biases of each layer.
    activations : sequence of str
        One a layer.
    before : Affine or None
        What is done to the input.
    """

    def __init__(self, blocks: Sequence[Tensor], activations: Sequence[str], before: Affine | None):
        self._before, self._shapes = before, [block.shape[1:] for block in blocks]
        self._single = len(blocks[0]) == 1
        self.product = torch.mm if self._single else torch.bmm
        self._blocks = [self.flat(block) for block in blocks]
        # the output needs no copy where it has no activation
        self._activate = [*[INTO.get(name, _copy) for name in activations[:-1]], INTO.get(activations[-1])]
        self._buffers: dict[torch.Size, Buffers] = {}

    def __call__(self, x: Tensor) -> Buffers:
        """Apply the layers to x, (K, B, n_in); the answer lasts until the next call."""
        at = self._buffers.get(x.shape) or self._make_buffers(x)
        self.normalise(x, at.rows)
        for i, activate in enumerate(self._activate):
            self.product(at.inputs[i], self._blocks[i], out=at.pre[i])
            if activate is not None:
                activate(at.pre[i], at.post[i])
        return at

    def normalise(self, x: Tensor, out: Tensor) -> Tensor:
        """Write what the first layer sees of x to ``out``."""
        if self._before is None:
            return out.copy_(x)
        return torch.addcmul(self._before.shift, x, self._before.scale, out=out)

    def flat(self, tensor: Tensor) -> Tensor:
        """Return the tensor without its member axis where there is one member: products are cheaper then."""
        return tensor[0] if self._single else tensor

    def _make_buffers(self, x: Tensor) -> Buffers:
        k, b, _ = x.shape
        inputs = [x.new_ones(k, b, fan_in) for fan_in, _ in self._shapes]
        pre = [x.new_empty(k, b, fan_out) for _, fan_out in self._shapes]
        post = [y[..., :-1] for y in inputs[1:]]
        post.append(pre[-1] if self._activate[-1] is None else torch.empty_like(pre[-1]))
        self._buffers[x.shape] = Buffers(
            [self.flat(y) for y in inputs],
            inputs[0][..., :-1],
            [self.flat(h) for h in pre],
            [self.flat(y) for y in post],
            post[-1],
        )
        return self._buffers[x.shape]


class DenseInference:
    """A dense autoencoder of one member as it is now, for rows in any number of batches.

    Parameters
    ----------
    encoder, decoder : StackedDense
        Halves of plain layers.
    """

    def __init__(self, encoder: StackedDense, decoder: StackedDense):
        self._encoder, self._decoder = (
            [
                (linear.bias, linear.matrix, INTO.get(activation))
                for linear, activation in zip(cast("list[StackedLinear]", half.layers), half.activations, strict=True)
            ]
            for half in (encoder, decoder)
        )
        self._before, self._after = encoder.before, decoder.after

    def encode(self, x: Tensor) -> Tensor:
        """(S, B, n_features) -> (S, B, n_components)."""
        return _apply(self._encoder, x if self._before is None else _moved(x, self._before))

    def decode(self, z: Tensor) -> Tensor:
        """(S, B, n_components) -> (S, B, n_features)."""
        x = _apply(self._decoder, z)
        return x if self._after is None else _moved(x, self._after)

    def __call__(self, x: Tensor) -> Tensor:
        """Decode the code of x."""
        return self.decode(self.encode(x))


def _apply(layers: list, x: Tensor) -> Tensor:
    s = x.shape[0]
    for bias, matrix, activate in layers:
        x = torch.baddbmm(bias, x, matrix if s == 1 else matrix.expand(s, -1, -1))
        if activate is not None:
            activate(x, x)
    return x


def _moved(x: Tensor, affine: Affine) -> Tensor:
    return torch.addcmul(affine.shift, x, affine.scale)


def as_block(layer: torch.nn.Module) -> Tensor:
    """Return weights and bias of a layer, (K, fan_in + 1, fan_out)."""
    linear = cast("StackedLinear", layer)
    return torch.cat([linear.matrix, linear.bias.unsqueeze(1)], 1).detach()


def _copy(x: Tensor, out: Tensor) -> Tensor:
    return out.copy_(x)
