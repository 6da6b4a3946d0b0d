"""Gradients of dense networks derived by hand, into one buffer: small networks spend their time on calls, not sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from skae.contracts import Loss
from skae.networks.activations import ACTIVATIONS, BACKWARD

if TYPE_CHECKING:
    from skae.networks.dense import StackedDense, StackedLinear


class FlatGradients:
    """The parameters of a stack of dense autoencoders as one vector, and the gradient of a loss in another.

    The network's own parameters become views of ``flat``.

    Parameters
    ----------
    encoder, decoder : StackedDense
        Halves of plain layers.
    loss : Loss
        Distance between output and target.
    """

    def __init__(self, encoder: StackedDense, decoder: StackedDense, loss: Loss):
        self.loss, self.before, self.after = loss, encoder.before, decoder.after
        self.activations = encoder.activations + decoder.activations
        layers = [cast("StackedLinear", layer) for layer in [*encoder.layers, *decoder.layers]]
        parameters = [p for layer in layers for p in (layer.weight, layer.bias)]
        self.flat = nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
        self.flat.grad = torch.zeros_like(self.flat)
        sizes = [p.numel() for p in parameters]
        views = zip(self.flat.detach().split(sizes), self.flat.grad.split(sizes), parameters, strict=True)
        gradients = []
        for values, gradient, parameter in views:
            parameter.data = values.view(parameter.shape)
            gradients.append(gradient.view(parameter.shape))
        self.weights, self.biases = parameters[::2], parameters[1::2]
        self.weight_gradients, self.bias_gradients = gradients[::2], gradients[1::2]

    @torch.no_grad()
    def compute(self, x: Tensor, target: Tensor, unit: float) -> Tensor:
        """Return each member's mean loss, (K,); leave the gradient of their sum over ``unit`` in ``flat.grad``."""
        y = x if self.before is None else self.before(x)
        inputs, outputs = [], [y]  # of the activations
        for weight, bias, activation in zip(self.weights, self.biases, self.activations, strict=True):
            inputs.append(torch.baddbmm(bias.unsqueeze(1), y, weight))  # (K, B, fan_out)
            y = ACTIVATIONS[activation](inputs[-1])
            outputs.append(y)
        if self.after is not None:
            y = self.after(y)
        losses = self.loss.elementwise(y, target).mean((1, 2))
        g = self.loss.gradient(y, target) * (1 / (unit * y[0].numel()))
        if self.after is not None:
            g *= self.after.scale
        for i in reversed(range(len(self.weights))):
            g = BACKWARD[self.activations[i]](g, inputs[i], outputs[i + 1])
            torch.bmm(outputs[i].mT, g, out=self.weight_gradients[i])
            torch.sum(g, 1, out=self.bias_gradients[i])
            if i:
                g = torch.bmm(g, self.weights[i].mT)
        return losses
