"""Scores of several fitted autoencoders: those of one shape are computed at once, as they are trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from weakref import ReferenceType, WeakKeyDictionary, ref

import numpy as np
import torch
from torch import Tensor

from skae._compat import versions_of
from skae.device import device_for_scoring
from skae.inference import apply_members
from skae.interfaces import Network
from skae.networks import stack_networks
from skae.networks.layers import DenseAutoEncoder
from skae.tables import has_holes

STACK_BYTES = 2**23  # of weights: on a CPU what the caches hold


class Stack(NamedTuple):
    """The networks of several autoencoders as few of many members, and what tells that they are still the same."""

    networks: list[ReferenceType[Network]]
    device: torch.device
    tensors: list[Tensor]
    versions: list[int]
    parts: list[Network]  # none where the networks cannot be stacked

    def holds(self, networks: Sequence[Network], device: torch.device) -> bool:
        """Whether it was made of these networks as they are now."""
        return (
            self.device == device
            and len(self.networks) == len(networks)
            and all(own() is network for own, network in zip(self.networks, networks, strict=True))
            and versions_of(self.tensors) == self.versions
        )


_stacks: WeakKeyDictionary[Network, Stack] = WeakKeyDictionary()  # by their first networks


def score_members(autoencoders: Sequence[Any], X: np.ndarray) -> Iterator[np.ndarray]:
    """Yield `score_samples` of checked rows of fitted clones of one autoencoder, (n_clones, n), of some at a time."""
    first = autoencoders[0]
    stack = None if has_holes(X) else _stack_of([autoencoder._network for autoencoder in autoencoders], first.device)
    start = 0
    for part in [] if stack is None else stack.parts:
        first._check_range("X", X, first._fixed["loss"])
        scores = apply_members(part, first._score_function(), X, stack.device)
        if not np.isfinite(scores.sum()):  # each in float64 where float32 overflows
            break
        yield scores
        start += len(scores)
    for autoencoder in autoencoders[start:]:
        yield autoencoder._score_checked(X)[None]


def _stack_of(networks: list[Network], device_name: str) -> Stack:
    device = device_for_scoring(device_name)
    stack = _stacks.get(networks[0])
    if stack is None or not stack.holds(networks, device):
        tensors = [parameter for network in networks for parameter in network.parameters()]
        references, versions = [ref(network) for network in networks], versions_of(tensors)
        stack = _stacks[networks[0]] = Stack(references, device, tensors, versions, _parts(networks, device))
    return stack


def _parts(networks: list[Network], device: torch.device) -> list[Network]:
    shapes = [[tensor.shape for tensor in network.state_dict().values()] for network in networks]
    are_dense = all(type(network) is DenseAutoEncoder for network in networks)
    if len(networks) == 1 or not are_dense or any(own != shapes[0] for own in shapes):
        return []
    size = max(1, STACK_BYTES // sum(4 * shape.numel() for shape in shapes[0]))
    with torch.no_grad():
        parts = [stack_networks(networks[start : start + size]) for start in range(0, len(networks), size)]
        return [part.to(device).eval() for part in parts]
