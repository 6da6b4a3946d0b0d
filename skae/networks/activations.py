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
# (input, out): the activation of x, written to out
INTO: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "relu": lambda x, out: torch.clamp_min(x, 0, out=out),
    "gelu": lambda x, out: aten.gelu.out(x, out=out),
    "silu": lambda x, out: aten.silu.out(x, out=out),
    "tanh": lambda x, out: torch.tanh(x, out=out),
    "sigmoid": lambda x, out: torch.sigmoid(x, out=out),
}
# (gradient of the output, input, output): the first becomes the gradient of the input
BACKWARD_INTO: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "relu": lambda g, x, y: aten.threshold_backward.grad_input(g, x, 0, grad_input=g),
    "gelu": lambda g, x, y: aten.gelu_backward.grad_input(g, x, grad_input=g),
    "silu": lambda g, x, y: aten.silu_backward.grad_input(g, x, grad_input=g),
    "tanh": lambda g, x, y: aten.tanh_backward.grad_input(g, y, grad_input=g),
    "sigmoid": lambda g, x, y: aten.sigmoid_backward.grad_input(g, y, grad_input=g),
}
