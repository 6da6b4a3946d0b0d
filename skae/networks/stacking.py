"""Several networks of one shape as one stack, and back."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from skae.contracts import Network

N = TypeVar("N", bound=Network)


def joined(networks: Sequence[N]) -> N:
    """Return a stack of the members of networks whose tensors all have a member axis; they keep their own."""
    stack = copy.deepcopy(networks[0])
    states = [network.state_dict() for network in networks]
    for name, tensor in _tensors(stack).items():
        tensor.data = torch.cat([state[name] for state in states])
    for module in stack.modules():
        if isinstance(module, Network):
            module.n_members = sum(network.n_members for network in networks)
    return stack


def hand_out(stack: Network, networks: Sequence[Network]) -> None:
    """Give each network of one member its weights in the stack."""
    for k, network in enumerate(networks):
        network.load_state_dict({name: tensor[k : k + 1] for name, tensor in stack.state_dict().items()})


def _tensors(network: Network) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}
