"""Reconstruct from a code that changes little with the input."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from skae.interfaces import Batch, Loss, Network, Objective
from skae.random import RandomStreams

CHUNK_VALUES = 2**17  # of float32, in a core's own cache


class ContractiveObjective(Objective):
    """Reconstruction error plus the weighted squared Frobenius norm of the encoder's Jacobian at each row.

    Where ``exact``, the norm is computed in closed form, from the encoder's ``jacobian_factors``; else it is estimated
    with one random vector a row.
    """

    def __init__(self, network: Network, loss: Loss, weight: float, exact: bool):
        self.network, self.loss = network, loss
        self.weight, self.exact = weight, exact

    def row_losses(self, batch: Batch, random: RandomStreams) -> Tensor:
        """Return error and penalty of each row, (K, B)."""
        if self.exact:
            code, weights, derivatives = self.network.encoder.jacobian_factors(batch.x)  # type: ignore[operator]
            norms = squared_jacobian_norm(weights, derivatives)
        else:
            code, norms = encode_and_estimate(self.network, batch.x, random)
        errors = self.loss.elementwise(self.network.decode(code, random), batch.target).mean(-1)
        return errors + self.weight * norms


def squared_jacobian_norm(weights: list[Tensor], derivatives: list[Tensor | None]) -> Tensor:
    """Return the squared Frobenius norm of W_1 D_1 W_2 D_2 ... W_L D_L of each row, (K, B), by autograd's rules.

    Weights W are (K, fan_in, fan_out), derivatives D of the activations (K, B, fan_out), or None for the identity's.

    Rows share the weights and differ only in the diagonals. So the Gram matrices at both ends are computed once a
    batch, and with one hidden layer and a linear code nothing else is left: the norm is the quadratic form
    d_1 (W_1'W_1 * W_2 W_2') d_1 of each row. Otherwise matrices of each row are multiplied from the narrower
    end, at O(width of that end * size of the weights) a row. The diagonal at that end scales the rows of the product,
    so that the squares of their norms need only be weighted with its squares.
    """
    diagonals = [None, *derivatives]  # D_0 W_1 D_1 ... W_L D_L
    if weights[0].shape[1] < weights[-1].shape[2]:  # fewer features than components: take the transposed product
        weights, diagonals = [w.transpose(1, 2) for w in reversed(weights)], diagonals[::-1]
    first, last = diagonals[0], diagonals[-1]
    if len(weights) == 1:
        squares = weights[0].square()  # (K, n, h)
        if last is not None:
            return (last.square() @ squares.sum(1).unsqueeze(2)).squeeze(2)
        if first is not None:
            return (first.square() @ squares.sum(2).unsqueeze(2)).squeeze(2)
        return squares.sum((1, 2)).unsqueeze(1)
    if len(weights) == 2 and first is None and last is None:
        inner = diagonals[1]
        form = (weights[0].transpose(1, 2) @ weights[0]) * (weights[1] @ weights[1].transpose(1, 2))
        if inner is None:
            return form.sum((1, 2)).unsqueeze(1)
        return (inner @ form * inner).sum(-1)

    rows = weights[-1].transpose(1, 2).unsqueeze(1)  # (K, 1, h, w): the right end of each row's product, transposed
    for weight, diagonal in zip(weights[-2:0:-1], diagonals[-2:1:-1], strict=True):
        rows = _times(_scaled(rows, diagonal), weight.transpose(1, 2))
    inner = diagonals[1]
    if inner is not None and first is None and weights[0].shape[1] > weights[0].shape[2]:
        forms = _RowForms.apply(rows, inner, weights[0].transpose(1, 2) @ weights[0])
    else:
        forms = _scaled(_times(_scaled(rows, inner), weights[0].transpose(1, 2)), first).square().sum(3)
    return (forms if last is None else forms * last.square()).sum(2)


class _RowForms(torch.autograd.Function):
    """Squared norms r'Gr of the rows r of R_b D_b, for each row b of a batch, (K, B, h).

    Takes R, (K, B, h, m) or, where the batch shares it, (K, 1, h, m), the diagonals D, (K, B, m), and the symmetric
    G, (K, m, m). The gradient is 2 Gr, which the forward pass has: autograd would multiply by G again. A few rows of
    the batch at a time fit into the cache.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, diagonals: Tensor, gram: Tensor) -> Tensor:
        n_members, n_rows, width = diagonals.shape
        size = n_rows if rows.is_cuda else max(1, CHUNK_VALUES // (n_members * rows.shape[2] * width))
        products, forms = [], []
        parts = rows.expand(-1, n_rows, -1, -1).split(size, 1)
        for part, diagonal in zip(parts, diagonals.split(size, 1), strict=True):
            scaled = _scaled(part, diagonal)
            products.append(_times(scaled, gram))
            forms.append(scaled.mul_(products[-1]).sum(3))
        ctx.size = size
        ctx.save_for_backward(rows, diagonals, *products)
        return torch.cat(forms, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        rows, diagonals, *products = ctx.saved_tensors
        shared, width = rows.shape[1] == 1, diagonals.shape[2]
        rows_grad, gram_grad = torch.zeros_like(rows), rows.new_zeros(rows.shape[0], width, width)
        diagonals_grad = torch.empty_like(diagonals) if ctx.needs_input_grad[1] else None  # a relu's is a constant
        buffers = [torch.empty_like(products[0], dtype=rows.dtype) for _ in range(2)]
        for i, product in enumerate(products):
            chunk = slice(i * ctx.size, (i + 1) * ctx.size)
            part = rows if shared else rows[:, chunk]
            diagonal, factor = diagonals[:, chunk].unsqueeze(2), grad[:, chunk].unsqueeze(3)
            scaled, weighted = (buffer[:, : diagonal.shape[1]] for buffer in buffers)
            torch.mul(part, diagonal, out=scaled)
            torch.mul(scaled, factor, out=weighted)
            gram_grad += scaled.flatten(1, 2).transpose(1, 2) @ weighted.flatten(1, 2)
            torch.mul(product, 2 * factor, out=weighted)  # the gradient of ``scaled``
            if diagonals_grad is not None:
                torch.sum(torch.mul(weighted, part, out=scaled), 2, out=diagonals_grad[:, chunk])
            weighted *= diagonal
            if shared:
                rows_grad += weighted.sum(1, keepdim=True)
            else:
                rows_grad[:, chunk] = weighted
        return rows_grad, diagonals_grad, gram_grad


def _times(a: Tensor, b: Tensor) -> Tensor:
    """(K, B, h, m), (K, m, w) -> (K, B, h, w), as one product a member."""
    return (a.flatten(1, 2) @ b).unflatten(1, a.shape[1:3])


def _scaled(a: Tensor, diagonal: Tensor | None) -> Tensor:
    """(K, B, h, m), (K, B, m) -> (K, B, h, m)."""
    return a if diagonal is None else a * diagonal.unsqueeze(2)


def encode_and_estimate(network: Network, x: Tensor, random: RandomStreams) -> tuple[Tensor, Tensor]:
    """Return the code and an unbiased estimate of its Jacobian's squared Frobenius norm, (K, B, h) and (K, B).

    E |J'v|^2 = |J|^2 for v of random signs (Hutchinson 1989), one product with the Jacobian a row. Differences of
    two codes would need no second derivatives, but they are biased, and meaningless under dropout, which draws
    another mask for each.
    """
    create_graph = torch.is_grad_enabled()
    # cuDNN cannot differentiate a recurrent network twice; torch's own kernels can
    recurrent = any(isinstance(module, nn.RNNBase) for module in network.encoder.modules())
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext():
        x = x.detach().requires_grad_()
        code = network.encode(x, random)
        signs = 2 * random.integers(2, *code.shape[1:]).to(code.dtype) - 1
        (product,) = torch.autograd.grad(code, x, signs, create_graph=create_graph)
    return code, product.square().sum(-1)
