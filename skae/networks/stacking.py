"""K networks of one member as one network of K members, and back."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn

from skae.interfaces import Network

N = TypeVar("N", bound=Network)


def stack_networks(networks: Sequence[N]) -> N:
    """Return one network of the members of several of one shape, as copies; all tensors must have a member axis."""
    batched = copy.deepcopy(networks[0])
    for modules in zip(*(network.modules() for network in (batched, *networks)), strict=True):
        target, *sources = modules
        if isinstance(target, Network):
            target.n_members = sum(source.n_members for source in sources)
        for name, _ in target.named_parameters(recurse=False):
            setattr(target, name, nn.Parameter(torch.cat([getattr(source, name).detach() for source in sources])))
        for name, _ in target.named_buffers(recurse=False):
            setattr(target, name, torch.cat([getattr(source, name) for source in sources]))
    return batched


def unstack_networks(batched: Network, networks: Sequence[Network]) -> None:
    """Copy the weights of each member of a network to a network of one member."""
    state = batched.state_dict()
    for k, network in enumerate(networks):
        network.load_state_dict({name: tensor[k : k + 1] for name, tensor in state.items()})
