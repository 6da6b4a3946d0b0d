"""Distances between a row and its reconstruction, by name."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skae.interfaces import Loss

Number = float | Tensor


def _squared(raw: Tensor, target: Tensor, scale: Number, out: Tensor) -> Tensor:
    flat = torch.sub(raw, target, out=out).flatten(1)
    return torch.dot(flat[0], flat[0]).view(1) if len(flat) == 1 else torch.linalg.vecdot(flat, flat)


def _absolute(raw: Tensor, target: Tensor, scale: Number, out: Tensor) -> Tensor:
    sums = torch.sub(raw, target, out=out).abs().sum((1, 2))
    out.sign_()
    return sums


def _huber(raw: Tensor, target: Tensor, scale: Number, out: Tensor) -> Tensor:
    torch.sub(raw, target, out=out).mul_(scale if isinstance(scale, float) else scale.to(raw.dtype))
    sums = F.huber_loss(out, torch.zeros_like(out), reduction="none", delta=1.0).sum((1, 2))
    out.clamp_(-1, 1)
    return sums


def _cross_entropy(raw: Tensor, target: Tensor, scale: Number, out: Tensor) -> Tensor:
    # logits have no unit: the scale is 1
    sums = F.binary_cross_entropy_with_logits(raw, target, reduction="none").sum((1, 2))
    torch.sigmoid(raw, out=out).sub_(target)
    return sums


LOSSES = {
    "squared_error": Loss(
        lambda raw, x: (raw - x).square(), gradient=_squared, units=lambda scale: (scale**2, 2 * scale**2)
    ),
    "absolute_error": Loss(lambda raw, x: (raw - x).abs(), gradient=_absolute, units=lambda scale: (scale, scale)),
    "huber": Loss(
        lambda raw, x: F.huber_loss(raw, x, reduction="none", delta=1.0),
        gradient=_huber,
        units=lambda scale: (1.0, scale),
    ),
    # on logits: the logarithm of a saturated sigmoid would be infinite
    "binary_cross_entropy": Loss(
        lambda raw, x: F.binary_cross_entropy_with_logits(raw, x, reduction="none"), nn.Sigmoid(), _cross_entropy
    ),
}
