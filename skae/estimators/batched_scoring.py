"""Scores of several fitted autoencoders: those of one shape are computed at once, as they are trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    parts: Sequence[Network]  # none where the networks cannot be stacked

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
    return _apply_to_members(autoencoders, X, lambda a: a._score_function(), lambda a: a._score_checked(X))


def feature_errors_of_members(autoencoders: Sequence[Any], X: np.ndarray) -> Iterator[np.ndarray]:
    """Yield their `feature_errors`, (n_clones, n, n_features), of some at a time."""
    n = X.shape[1]
    for errors in _apply_to_members(
        autoencoders, X, lambda a: a._error_function(), lambda a: n * a._feature_errors_checked(X)
    ):
        yield errors / n


def _apply_to_members(
    autoencoders: Sequence[Any],
    X: np.ndarray,
    of_networks: Callable[[Any], Callable[[Any, Tensor], Tensor]],
    of_one: Callable[[Any], np.ndarray],
) -> Iterator[np.ndarray]:
    """Yield what a function of networks gives, or that of one autoencoder where its network cannot be stacked."""
    first, start = autoencoders[0], 0
    if not has_holes(X):
        stack = _stack_of([autoencoder._network for autoencoder in autoencoders], first.device)
        if stack.parts:
            first._check_range("X", X, first._fixed["loss"])
        for part in stack.parts:
            values = apply_members(part, of_networks(first), X, stack.device)
            if not np.isfinite(values.sum()):  # each in float64 where float32 overflows
                break
            yield values
            start += len(values)
    for autoencoder in autoencoders[start:]:
        yield of_one(autoencoder)[None]


def _stack_of(networks: list[Network], device_name: str) -> Stack:
    device = device_for_scoring(device_name)
    stack = _stacks.get(networks[0])
    if stack is None or not stack.holds(networks, device):
        tensors: list[Tensor] = [parameter for network in networks for parameter in network.parameters()]
        references, versions = [ref(network) for network in networks], versions_of(tensors)
        stack = _stacks[networks[0]] = Stack(references, device, tensors, versions, _parts(networks, device))
    return stack


def _parts(networks: list[Network], device: torch.device) -> Sequence[Network]:
    shapes = [[tensor.shape for tensor in network.state_dict().values()] for network in networks]
    are_dense = all(type(network) is DenseAutoEncoder for network in networks)
    if len(networks) == 1 or not are_dense or any(own != shapes[0] for own in shapes):
        return []
    size = max(1, STACK_BYTES // sum(4 * shape.numel() for shape in shapes[0]))
    with torch.no_grad():
        parts = [stack_networks(networks[start : start + size]) for start in range(0, len(networks), size)]
        return [part.to(device).eval() for part in parts]
