"""Activations by name, and what the chain rule needs of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skae._compat import ACTIVATION_BACKWARD


class Activation(NamedTuple):
    """A function of each unit or, if it is softmax, of all units of a row."""

    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor] | None  # at the same x; None is 1 everywhere
    in_place: Callable[[Tensor], Tensor]  # the same function where x may be overwritten
    layer: type[nn.Module]


ACTIVATIONS = {
    "identity": Activation(lambda x: x, None, lambda x: x, nn.Identity),
    "relu": Activation(F.relu, lambda x: (x > 0).to(x.dtype), torch.relu_, nn.ReLU),
    "gelu": Activation(
        F.gelu,
        lambda x: torch.special.ndtr(x) + x * torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi),
        F.gelu,  # torch has none in place
        nn.GELU,
    ),
    "silu": Activation(
        F.silu,
        lambda x: torch.sigmoid(x) * (1 + x * torch.sigmoid(-x)),
        lambda x: F.silu(x, inplace=True),
        nn.SiLU,
    ),
    "tanh": Activation(torch.tanh, lambda x: 1 - torch.tanh(x).square(), torch.tanh_, nn.Tanh),
    "sigmoid": Activation(torch.sigmoid, lambda x: torch.sigmoid(x) * torch.sigmoid(-x), torch.sigmoid_, nn.Sigmoid),
}
OF_EACH_UNIT = frozenset(ACTIVATIONS)  # the names that users choose from
ACTIVATIONS["softmax"] = Activation(lambda x: x.softmax(-1), None, lambda x: x.softmax(-1), nn.Softmax)


def activation_backward(name: str) -> Callable[[Tensor, Tensor, Tensor], Tensor] | None:
    """Return (gradient of the output, input, output) -> that of the input, written over the first; None: identity."""
    if name == "softmax":
        return lambda g, x, y: g.sub_((g * y).sum(-1, keepdim=True)).mul_(y)
    derivative = ACTIVATIONS[name].derivative
    if derivative is None:
        return None
    return ACTIVATION_BACKWARD.get(name) or (lambda g, x, y: g.mul_(derivative(x)))
