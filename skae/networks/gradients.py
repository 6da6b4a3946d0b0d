"""Gradients of dense networks derived by hand: the product that applies weights and bias has one that derives both."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn

from skae.contracts import Loss
from skae.networks.activations import BACKWARD_INTO
from skae.networks.forward import DensePass, as_block

if TYPE_CHECKING:
    from skae.networks.dense import StackedDense, StackedLinear


class Backward(NamedTuple):
    """Where the gradients of batches of one shape are computed, a tensor a layer."""

    inputs: list[Tensor]  # (K, fan_in + 1, B), transposed
    pre: list[Tensor]  # (K, B, fan_out), gradients before the activation and after it
    output: Tensor  # (K, B, n_features), the last of them
    n_values: int  # B * n_features
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
        self._loss = loss
        layers = [cast("StackedLinear", layer) for layer in [*encoder.layers, *decoder.layers]]
        activations = encoder.activations + decoder.activations
        self.parameters = [nn.Parameter(as_block(layer)) for layer in layers]
        for layer, block in zip(layers, self.parameters, strict=True):
            block.grad = torch.zeros_like(block)
            layer.weight.data, layer.bias.data = block.detach()[:, :-1], block.detach()[:, -1]
        self._single = len(layers[0].bias) == 1
        blocks = [block.detach() for block in self.parameters]
        self._forward = DensePass(blocks, activations, encoder.before)
        self._differentiate = [BACKWARD_INTO.get(name) for name in activations]
        self._weights = [self._forward.flat(block[:, :-1].mT) for block in blocks]
        self._gradients = [self._forward.flat(cast(Tensor, block.grad)) for block in self.parameters]
        # the output is in the unit that the encoder sees, where it has one: the error is larger by the decoder's scale
        self._normalised = decoder.after is not None
        self._scale = 1.0 if decoder.after is None else self._number(decoder.after.scale)
        self._unit = self._number(unit.view(-1, 1, 1)) if isinstance(unit, Tensor) else unit
        self._backward: dict[torch.Size, Backward] = {}

    def compute(self, x: Tensor, target: Tensor) -> Tensor:
        """Return each member's mean loss, (K,); leave the gradient of their sum over the unit in ``parameters``."""
        at = self._forward(x)
        back = self._backward.get(x.shape) or self._make_backward(x, at.inputs, at.pre)
        if self._normalised:
            target = at.rows if target is x else self._forward.normalise(target, torch.empty_like(target))
        sums = self._loss.gradient(at.output, target, self._scale, back.factor, back.output)
        for i in reversed(range(len(self._weights))):
            g = back.pre[i]
            if differentiate := self._differentiate[i]:
                differentiate(g, at.pre[i], at.post[i])
            self._forward.product(back.inputs[i], g, out=self._gradients[i])
            if i:
                self._forward.product(g, self._weights[i], out=back.pre[i - 1])
        return sums.div_(back.n_values)

    def _make_backward(self, x: Tensor, inputs: list[Tensor], pre: list[Tensor]) -> Backward:
        n_values = x[0].numel()
        # the output's own place, where nothing asks for the output again
        gradients = [torch.empty_like(h) for h in pre[:-1]]
        gradients.append(torch.empty_like(pre[-1]) if self._differentiate[-1] else pre[-1])
        self._backward[x.shape] = Backward(
            [y.mT for y in inputs],
            gradients,
            gradients[-1].view(len(x), x.shape[1], -1),
            n_values,
            1 / (self._unit * n_values),
        )
        return self._backward[x.shape]

    def _number(self, tensor: Tensor) -> float | Tensor:
        return tensor.item() if self._single else tensor.to(torch.float32 if tensor.is_mps else torch.float64)
