"""Activations by name, and what the chain rule needs of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

ACTIVATIONS = {
    "identity": lambda x: x,
    "relu": F.relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}
# at the same x; None is 1 everywhere
DERIVATIVES: dict[str, Callable[[Tensor], Tensor] | None] = {
    "identity": None,
    "relu": lambda x: (x > 0).to(x.dtype),
    "gelu": lambda x: torch.special.ndtr(x) + x * torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi),
    "silu": lambda x: torch.sigmoid(x) * (1 + x * torch.sigmoid(-x)),
    "tanh": lambda x: 1 - torch.tanh(x).square(),
    "sigmoid": lambda x: torch.sigmoid(x) * torch.sigmoid(-x),
}
aten: Any = torch.ops.aten
# (gradient of the output, input, output) -> gradient of the input, in one call
BACKWARD: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "identity": lambda g, x, y: g,
    "relu": lambda g, x, y: aten.threshold_backward(g, y, 0),
    "gelu": lambda g, x, y: aten.gelu_backward(g, x),
    "silu": lambda g, x, y: aten.silu_backward(g, x),
    "tanh": lambda g, x, y: aten.tanh_backward(g, y),
    "sigmoid": lambda g, x, y: aten.sigmoid_backward(g, y),
}
