"""Distances between a row and its reconstruction, by name."""

import torch
from torch import nn
from torch.nn import functional as F

from skae.contracts import Loss

LOSSES = {
    "squared_error": Loss(
        lambda raw, x: (raw - x).square(), lambda raw, x: 2 * (raw - x), None, lambda scale: scale**2
    ),
    "absolute_error": Loss(lambda raw, x: (raw - x).abs(), lambda raw, x: (raw - x).sign(), None, lambda scale: scale),
    "huber": Loss(
        lambda raw, x: F.huber_loss(raw, x, reduction="none", delta=1.0),
        lambda raw, x: (raw - x).clamp(-1, 1),
        None,
        lambda scale: min(scale, scale**2),
    ),
    # on logits: the logarithm of a saturated sigmoid would be infinite
    "binary_cross_entropy": Loss(
        lambda raw, x: F.binary_cross_entropy_with_logits(raw, x, reduction="none"),
        lambda raw, x: torch.sigmoid(raw) - x,
        nn.Sigmoid(),
        lambda scale: 1.0,
    ),
}
