"""Reconstruct from a code that changes little with the input."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from skae.interfaces import Batch, Loss, Network, Objective
from skae.random import RandomStreams


class ContractiveObjective(Objective):
    """Reconstruction error plus the weighted squared Frobenius norm of the encoder's Jacobian at each row.

    Parameters
    ----------
    network : Network
        The network to train; where ``exact``, its encoder has ``jacobian_factors``.
    loss : Loss
        Distance between output and target.
    weight : float
        Weight of the norm.
    exact : bool
        Whether the norm is computed in closed form, else estimated with one random vector a row.
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

    Rows share the weights and differ only in the diagonals. So the Gram matrices at both ends are computed once a
    batch, and with one hidden layer and a linear code nothing else is left: the norm is the quadratic form
    d_1 (W_1'W_1 * W_2 W_2') d_1 of each row. Otherwise matrices of each row are multiplied from the narrower
    end, at O(width of that end * size of the weights) a row.

    Parameters
    ----------
    weights : list of Tensor
        (K, fan_in, fan_out) of each layer.
    derivatives : list of Tensor or None
        (K, B, fan_out) of each layer's activation; None is the identity's.
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
    if last is not None:
        rows = rows * last.unsqueeze(3)
    for weight, diagonal in zip(weights[-2:0:-1], diagonals[-2:1:-1], strict=True):
        rows = _times(_scaled(rows, diagonal), weight.transpose(1, 2))
    rows = _scaled(rows, diagonals[1])
    if first is None and weights[0].shape[1] > weights[0].shape[2]:
        return (_times(rows, weights[0].transpose(1, 2) @ weights[0]) * rows).sum((2, 3))
    return _scaled(_times(rows, weights[0].transpose(1, 2)), first).square().sum((2, 3))


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
