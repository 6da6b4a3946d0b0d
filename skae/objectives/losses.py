"""Distances between a row and its reconstruction, by name."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skae.interfaces import Loss

Number = float | Tensor


def _squared(raw: Tensor, target: Tensor, scale: Number, factor: Number, out: Tensor) -> Tensor:
    flat = torch.sub(raw, target, out=out).flatten(1)
    sums = torch.linalg.vecdot(flat, flat) * _in_dtype_of(raw, scale**2, -1)
    out.mul_(_in_dtype_of(raw, 2 * scale**2 * factor))
    return sums


def _absolute(raw: Tensor, target: Tensor, scale: Number, factor: Number, out: Tensor) -> Tensor:
    sums = torch.sub(raw, target, out=out).abs().sum((1, 2)) * _in_dtype_of(raw, scale, -1)
    out.sign_().mul_(_in_dtype_of(raw, scale * factor))
    return sums


def _huber(raw: Tensor, target: Tensor, scale: Number, factor: Number, out: Tensor) -> Tensor:
    torch.sub(raw, target, out=out).mul_(_in_dtype_of(raw, scale))
    sums = F.huber_loss(out, torch.zeros_like(out), reduction="none", delta=1.0).sum((1, 2))
    out.clamp_(-1, 1).mul_(_in_dtype_of(raw, scale * factor))
    return sums


def _cross_entropy(raw: Tensor, target: Tensor, scale: Number, factor: Number, out: Tensor) -> Tensor:
    # logits have no unit: the scale is 1
    sums = F.binary_cross_entropy_with_logits(raw, target, reduction="none").sum((1, 2))
    torch.sigmoid(raw, out=out).sub_(target).mul_(_in_dtype_of(raw, factor))
    return sums


def _in_dtype_of(raw: Tensor, number: Number, *shape: int) -> Number:
    """Return a product of float64 numbers, (K, 1, 1), in the dtype of ``raw``; float32 might not hold its factors."""
    return number.to(raw.dtype).view(shape or number.shape) if isinstance(number, Tensor) else number


LOSSES = {
    "squared_error": Loss(lambda raw, x: (raw - x).square(), gradient=_squared),
    "absolute_error": Loss(lambda raw, x: (raw - x).abs(), gradient=_absolute),
    "huber": Loss(lambda raw, x: F.huber_loss(raw, x, reduction="none", delta=1.0), gradient=_huber),
    # on logits: the logarithm of a saturated sigmoid would be infinite
    "binary_cross_entropy": Loss(
        lambda raw, x: F.binary_cross_entropy_with_logits(raw, x, reduction="none"), nn.Sigmoid(), _cross_entropy
    ),
}
