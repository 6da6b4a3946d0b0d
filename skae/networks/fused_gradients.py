"""Gradients of dense networks by hand: small networks spend their time on calls, not on arithmetic.

The input of a layer ends in a column of ones, so that one product applies weights and biases and another derives the
gradients of both. All is computed in buffers that are made once for each shape of a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from skae.interfaces import Loss
from skae.networks.activations import ACTIVATIONS, activation_backward

if TYPE_CHECKING:
    from skae.networks.layers import DenseAutoEncoder


class Buffers(NamedTuple):
    """Where batches of one shape are computed, one tensor for each layer; without the member axis where K is 1."""

    rows: Tensor  # (K, B, n_in), the first layer's input without the ones; has the member axis
    inputs: list[Tensor]  # (K, B, fan_in + 1), the last column 1
    transposed: list[Tensor]  # the same, (K, fan_in + 1, B)
    pre: list[Tensor]  # (K, B, fan_out), before the activation
    post: list[Tensor]  # the same after it, within the next layer's input
    output: Tensor  # (K, B, n_out), the last of them, with the member axis
    gradients: list[Tensor]  # (K, B, fan_out), those of ``post``, then of ``pre``
    output_gradient: Tensor  # (K, B, n_out), the last of them, with the member axis
    loss_factor: float | Tensor  # from what the loss's gradient returns to the mean loss, (K,) where K is not 1
    factor: float | Tensor  # from what it writes to the gradient over ``loss_scale``, (K, 1, 1) where K is not 1


class FusedGradients:
    """Loss of K plain dense autoencoders; its gradients, over ``loss_scale``, (K,), are the parameters' ``grad``."""

    def __init__(self, network: DenseAutoEncoder, loss: Loss, loss_scale: float | Tensor):
        assert loss.gradient is not None
        self._loss_gradient, self._units, self._before = loss.gradient, loss.units, network.encoder.before
        blocks = [layer.block for layer in network.layers]
        activations = network.encoder.activations + network.decoder.activations
        self._single = len(blocks[0]) == 1
        self._product = torch.mm if self._single else torch.bmm
        for block in blocks:
            block.grad = torch.zeros_like(block)
        self._blocks = [self._drop_member_axis(block.detach()) for block in blocks]
        self._weights = [self._drop_member_axis(block.detach()[:, :-1].mT) for block in blocks]
        self._grads = [self._drop_member_axis(block.grad) for block in blocks if block.grad is not None]
        self._shapes = [block.shape[1:] for block in blocks]
        self._activate: list[Callable[..., Tensor] | None] = [writing_to_out(name) for name in activations]
        if activations[-1] == "identity":
            self._activate[-1] = None  # the output needs no copy
        self._differentiate = [activation_backward(name) for name in activations]
        # a decoder that scales its output is compared with the scaled target; the loss is multiplied by the scale
        self._normalised = network.decoder.after is not None
        self._scale = 1.0 if network.decoder.after is None else self._number(network.decoder.after.scale)
        self._loss_scale = self._number(loss_scale.view(-1, 1, 1)) if isinstance(loss_scale, Tensor) else loss_scale
        self._buffers: dict[torch.Size, Buffers] = {}

    def compute(self, x: Tensor, target: Tensor, n_counted: Tensor | None = None) -> Tensor:
        """Return each member's mean loss, (K,); write the gradients of their sum over ``loss_scale``.

        ``n_counted`` is that of `skae.interfaces.Batch`.
        """
        at = self._buffers.get(x.shape) or self._make_buffers(x)
        self._normalise(x, at.rows)
        for i, activate in enumerate(self._activate):
            self._product(at.inputs[i], self._blocks[i], out=at.pre[i])
            if activate is not None:
                activate(at.pre[i], out=at.post[i])
        if self._normalised:
            target = at.rows if target is x else self._normalise(target, torch.empty_like(target))
        if n_counted is None:
            sums = self._loss_gradient(at.output, target, self._scale, at.output_gradient)
        else:
            sums = self._loss_without_last_rows(at, target, n_counted)
        product = self._product
        if isinstance(at.factor, float):  # a pass over the output less
            product = partial(_scaled_product, at.factor)
        else:
            at.output_gradient.mul_(at.factor)
        for i in reversed(range(len(self._blocks))):
            g = at.gradients[i]
            if differentiate := self._differentiate[i]:
                differentiate(g, at.pre[i], at.post[i])
            product(at.transposed[i], g, out=self._grads[i])
            if i:
                product(g, self._weights[i], out=at.gradients[i - 1])
            product = self._product
        return sums.mul_(at.loss_factor)

    def _loss_without_last_rows(self, at: Buffers, target: Tensor, n_counted: Tensor) -> Tensor:
        """Do what the loss's gradient does, where the last row of some members does not count."""
        n_rows = target.shape[1]
        counts, sums = (n_counted == n_rows).to(target.dtype), torch.zeros((), dtype=target.dtype, device=target.device)
        for part, counted in ((slice(n_rows - 1), torch.ones_like(counts)), (slice(n_rows - 1, None), counts)):
            out = at.output_gradient[:, part]
            sums = sums + counted * self._loss_gradient(at.output[:, part], target[:, part], self._scale, out)
            out.mul_(counted.view(-1, 1, 1))
        share = n_rows / n_counted.to(target.dtype)  # the factors are those of ``n_rows``
        at.output_gradient.mul_(share.view(-1, 1, 1))
        return sums * share

    def _normalise(self, x: Tensor, out: Tensor) -> Tensor:
        if self._before is None:
            return out.copy_(x)
        return torch.addcmul(self._before.shift, x, self._before.scale, out=out)

    def _drop_member_axis(self, tensor: Tensor) -> Tensor:
        """Return the tensor without its member axis where there is one member: products are cheaper then."""
        return tensor[0] if self._single else tensor

    def _number(self, tensor: Tensor) -> float | Tensor:
        return tensor.item() if self._single else tensor.to(torch.float32 if tensor.is_mps else torch.float64)

    def _factors(self, n_values: int, like: Tensor) -> tuple[float | Tensor, float | Tensor]:
        """Return the factors of the loss's sums and gradients; float32 might not hold what they are made of."""
        of_sum, of_gradient = self._units(self._scale)
        factors = of_sum / n_values, of_gradient / (self._loss_scale * n_values)
        if self._single:
            return factors
        of_sum, of_gradient = (like.new_ones(len(like), 1, 1).mul_(f) for f in factors)
        return of_sum.flatten(), of_gradient

    def _make_buffers(self, x: Tensor) -> Buffers:
        k, b, n_in = x.shape
        loss_factor, factor = self._factors(b * n_in, x)
        inputs = [x.new_ones(k, b, rows) for rows, _ in self._shapes]
        pre = [x.new_empty(k, b, fan_out) for _, fan_out in self._shapes]
        post = [y[..., :-1] for y in inputs[1:]]
        post.append(pre[-1] if self._activate[-1] is None else torch.empty_like(pre[-1]))
        gradients = [torch.empty_like(h) for h in pre[:-1]]
        # written over the output, where its activation's derivative does not need it
        gradients.append(pre[-1] if self._differentiate[-1] is None else torch.empty_like(pre[-1]))
        self._buffers[x.shape] = Buffers(
            rows=inputs[0][..., :-1],
            inputs=[self._drop_member_axis(y) for y in inputs],
            transposed=[self._drop_member_axis(y.mT) for y in inputs],
            pre=[self._drop_member_axis(h) for h in pre],
            post=[self._drop_member_axis(y) for y in post],
            output=post[-1],
            gradients=[self._drop_member_axis(g) for g in gradients],
            output_gradient=gradients[-1],
            loss_factor=loss_factor,
            factor=factor,
        )
        return self._buffers[x.shape]


def _scaled_product(factor: float, a: Tensor, b: Tensor, *, out: Tensor) -> Tensor:
    return torch.addmm(out, a, b, beta=0, alpha=factor, out=out)


def writing_to_out(name: str) -> Callable[..., Tensor]:
    """Return (input, out) -> the activation, written to ``out``; not every kernel supports a strided ``out``."""
    kernels: dict[str, Callable[..., Tensor]] = {"tanh": torch.tanh, "sigmoid": torch.sigmoid}
    kernels["relu"] = partial(torch.clamp_min, min=0)
    function = ACTIVATIONS[name].function
    return kernels.get(name) or (lambda x, out: out.copy_(function(x)))
