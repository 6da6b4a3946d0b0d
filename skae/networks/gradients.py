"""Gradients of dense networks derived by hand: small networks spend their time on calls, not sums.

Weights and bias of a layer are one block, (K, fan_in + 1, fan_out), and its input ends in a column of ones: so one
product applies both and one gives both gradients. All that is computed goes to buffers that are made once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn

from skae.contracts import Loss
from skae.networks.activations import BACKWARD_INTO, INTO

if TYPE_CHECKING:
    from skae.networks.dense import StackedDense, StackedLinear


class Buffers(NamedTuple):
    """Where batches of one size are computed, a tensor a layer; without the member axis where K is 1."""

    inputs: list[Tensor]  # (K, B, fan_in + 1), the last column 1
    transposed: list[Tensor]  # the same, (K, fan_in + 1, B)
    rows: Tensor  # (K, B, n_features), the first of them without the ones
    pre: list[Tensor]  # (K, B, fan_out), before the activation
    post: list[Tensor]  # the same after it
    output: Tensor  # (K, B, n_features), the last of them
    residual: Tensor  # (K, B, n_features)
    gradients: list[Tensor]  # (K, B, fan_out), for `pre` and `post`
    factor: float | Tensor  # of the gradients of a member's sum over its batch


class DenseGradients:
    """Loss of a stack of dense autoencoders and its gradients.

    The network's own parameters become views of the layers' blocks.

    Parameters
    ----------
    encoder, decoder : StackedDense
        Halves of plain layers.
    loss : Loss
        Distance between output and target.
    unit : float or Tensor of shape (K,)
        What gradients are divided by.
    """

    def __init__(self, encoder: StackedDense, decoder: StackedDense, loss: Loss, unit: float | Tensor):
        self.loss, self.before = loss, encoder.before
        layers = [cast("StackedLinear", layer) for layer in [*encoder.layers, *decoder.layers]]
        activations = encoder.activations + decoder.activations
        # the output needs no copy where it has no activation
        self._activate = [*[INTO.get(name, _copy) for name in activations[:-1]], INTO.get(activations[-1])]
        self._differentiate = [BACKWARD_INTO.get(name) for name in activations]
        self.parameters = [nn.Parameter(torch.cat([layer.weight, layer.bias.unsqueeze(1)], 1)) for layer in layers]
        for layer, block in zip(layers, self.parameters, strict=True):
            block.grad = torch.zeros_like(block)
            layer.weight.data, layer.bias.data = block.detach()[:, :-1], block.detach()[:, -1]
        self.n_members = len(layers[0].bias)
        blocks = [self._flat(block.detach()) for block in self.parameters]
        self._blocks, self._weights = blocks, [block[..., :-1, :].mT for block in blocks]
        self._gradients = [self._flat(cast(Tensor, block.grad)) for block in self.parameters]
        self._product = torch.mm if self.n_members == 1 else torch.bmm
        # the output is in the unit that the encoder sees, where it has one: the error is larger by the decoder's scale
        self._scale = 1.0 if decoder.after is None else self._number(decoder.after.scale)
        self._unit = self._number(unit.view(-1, 1, 1)) if isinstance(unit, Tensor) else unit
        self._normalised = decoder.after is not None
        self._buffers: dict[int, Buffers] = {}

    def compute(self, x: Tensor, target: Tensor) -> Tensor:
        """Return each member's mean loss, (K,); leave the gradient of their sum over the unit in ``parameters``."""
        at = self._buffers.get(x.shape[1]) or self._make_buffers(x)
        self._normalise(x, at.rows)
        for i, activate in enumerate(self._activate):
            self._product(at.inputs[i], self._blocks[i], out=at.pre[i])
            if activate is not None:
                activate(at.pre[i], at.post[i])
        if self._normalised:
            target = at.rows if target is x else self._normalise(target, torch.empty_like(target))
        sums = self.loss.gradient(at.output, target, self._scale, at.factor, at.residual)
        g = at.gradients[-1]
        for i in reversed(range(len(self._blocks))):
            if differentiate := self._differentiate[i]:
                differentiate(g, at.pre[i], at.post[i])
            self._product(at.transposed[i], g, out=self._gradients[i])
            if i:
                g = self._product(g, self._weights[i], out=at.gradients[i - 1])
        return sums / x[0].numel()

    def _make_buffers(self, x: Tensor) -> Buffers:
        k, b, _ = x.shape
        widths = [block.shape[1] - 1 for block in self.parameters]
        inputs = [x.new_ones(k, b, n + 1) for n in widths]
        pre = [x.new_empty(k, b, block.shape[2]) for block in self.parameters]
        post = [y[..., :-1] for y in inputs[1:]]
        post.append(pre[-1] if self._activate[-1] is None else torch.empty_like(pre[-1]))
        gradients = [torch.empty_like(h) for h in pre]
        self._buffers[b] = Buffers(
            [self._flat(y) for y in inputs],
            [self._flat(y).mT for y in inputs],
            inputs[0][..., :-1],
            [self._flat(h) for h in pre],
            [self._flat(y) for y in post],
            post[-1],
            gradients[-1],
            [self._flat(g) for g in gradients],
            1 / (self._unit * x[0].numel()),
        )
        return self._buffers[b]

    def _normalise(self, x: Tensor, out: Tensor) -> Tensor:
        if self.before is None:
            return out.copy_(x)
        return torch.addcmul(self.before.shift, x, self.before.scale, out=out)

    def _flat(self, tensor: Tensor) -> Tensor:
        """Return the tensor without its member axis where there is one member: products are cheaper then."""
        return tensor[0] if self.n_members == 1 else tensor

    def _number(self, tensor: Tensor) -> float | Tensor:
        return tensor.item() if self.n_members == 1 else tensor.to(torch.float32 if tensor.is_mps else torch.float64)


def _copy(x: Tensor, out: Tensor) -> Tensor:
    return out.copy_(x)
