"""What networks of torch's layers share: initial weights from our random streams, checks of sizes and shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain
from numbers import Integral
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from skae.random import RandomStreams

M = TypeVar("M", bound=nn.Module)


def initialised(make: Callable[[], M], random: RandomStreams) -> M:
    """Return ``make()``, which has no buffers, with weights uniform as in Glorot & Bengio 2010 and biases of 0."""
    with torch.device("meta"):  # layers draw nothing there
        module = make().float()
    if random.device.type != "meta":
        take_memory(module)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim == 1:
                parameter.zero_()
            else:
                n_out, n_in, *field = parameter.shape
                bound = math.sqrt(6 / ((n_out + n_in) * math.prod(field)))
                parameter.copy_(random.uniform(*parameter.shape)[0].mul_(2).sub_(1).mul_(bound))
    return module


def take_memory(module: nn.Module) -> None:
    """Move what is on torch's meta device to the CPU; the values are any.

    `torch.nn.Module.to_empty` would do that, but loads torch's compiler first, a second.
    """
    for part in module.modules():
        for name, tensor in chain(part.named_parameters(recurse=False), part.named_buffers(recurse=False)):
            if tensor.is_meta:
                empty = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")
                setattr(part, name, nn.Parameter(empty) if isinstance(tensor, nn.Parameter) else empty)


def require_single(name: str, random: RandomStreams) -> None:
    """Raise a ValueError where several members are asked for."""
    if random.n_members > 1:
        raise ValueError(f"{name} builds one network at a time, not {random.n_members}: use a DenseNetwork.")


def check_sizes(name: str, sizes: int | Sequence, example: str, none: str | None = None) -> tuple[int, ...]:
    """Return the parameter ``name`` as integers >= 1; ``none`` says how to give none of them, if that is allowed."""
    listed = np.atleast_1d(np.asarray(sizes, dtype=object)).tolist()
    if not (listed or none) or not all(isinstance(size, Integral) and int(size) >= 1 for size in listed):
        hint = f"; use {none} for none" if none else ""
        raise ValueError(f"{name}={sizes} must hold integers >= 1, for example {example}{hint}.")
    return tuple(int(size) for size in listed)


def check_shape(name: str, shape: Sequence, axes: str, example: str, n_features: int) -> tuple[int, ...]:
    """Return the shape to which rows are reshaped, or raise a ValueError where rows of ``n_features`` do not fit."""
    shape = check_sizes(name, shape, example)
    if len(shape) != axes.count(",") + 1:
        raise ValueError(f"{name}={shape} must be {axes}, for example {example}.")
    if math.prod(shape) != n_features:
        raise ValueError(
            f"{name}={shape} holds {math.prod(shape)} values, but X has {n_features} features: {axes} must multiply to "
            "their number."
        )
    return shape
