"""Torch's own layers with initial weights from streams of ours."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from skae.random import RandomStreams

M = TypeVar("M", bound=nn.Module)


def initialised(make: Callable[[], M], random: RandomStreams) -> M:
    """Return the module that ``make`` builds, without parameters drawn from torch's global generator.

    Weights are uniform as in Glorot & Bengio 2010, biases 0. The module must have no buffers.
    """
    with torch.device("meta"):  # layers draw nothing there
        module = make().float()
    module.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim == 1:
                parameter.zero_()
            else:
                n_out, n_in, *field = parameter.shape
                bound = math.sqrt(6 / ((n_out + n_in) * math.prod(field)))
                parameter.copy_((2 * random.uniform(*parameter.shape)[0] - 1) * bound)
    return module


def require_single(name: str, random: RandomStreams) -> None:
    """Refuse stacks of several members."""
    if random.n_members > 1:
        raise ValueError(f"{name} builds one network at a time, not a stack of {random.n_members}: use a DenseNetwork.")
