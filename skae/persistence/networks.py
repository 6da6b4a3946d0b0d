"""Networks: their tensors in the file, everything else from the parameters."""

from __future__ import annotations

from collections.abc import Callable, Sized
from contextlib import suppress
from functools import partial
from types import NoneType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skae._compat import in_own_modes
from skae.interfaces import Network, RowSummary
from skae.networks import ConvNetwork, DenseNetwork, LSTMNetwork, MemoryNetwork
from skae.networks.initialisation import take_memory
from skae.persistence.container import ArtifactError
from skae.persistence.values import Reader, Writer, fields
from skae.random import SHAPES_ONLY, RandomStreams
from skae.tables import TableLayout, TableNetwork

SPECIFICATIONS = (ConvNetwork, DenseNetwork, LSTMNetwork, MemoryNetwork)
ANY_SEED = 0  # of weights that are replaced
FREE_VALUES = 2**20  # of a network of the user's, whatever the size of the file


def own_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by their names, tied ones once."""
    named: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"the state {name!r} of its network is {type(tensor).__name__}, not a tensor")
        named.setdefault(id(tensor), (name, tensor))
    return dict(named.values())


def write_network(writer: Writer, network: Network) -> dict[str, Any]:
    """Keep the tensors of a network; return what is known of it beyond the parameters of its estimator."""
    prefix = f"network{writer.n_networks}"
    writer.n_networks += 1
    for name, tensor in own_tensors(network).items():
        writer.tensor(tensor, f"{prefix}/{name}")
    likelihood: Any = getattr(network, "likelihood", None)
    return {
        "tensors": prefix,
        "fills_holes": network.fills_holes if isinstance(network, TableNetwork) else None,
        "lowest_log_scale": None if likelihood is None else likelihood.lowest,
    }


@in_own_modes(inference=False)
def read_network(reader: Reader, written: dict[str, Any], builder: Any, layout: TableLayout | None) -> Network:
    """Return the network that ``builder``, an estimator with the parameters of the fit, makes for rows of a layout.

    Its shapes are compared with those of the tensors in the file before it takes any memory.
    """
    prefix, fills_holes, lowest = fields(written, "tensors", "fills_holes", "lowest_log_scale")
    n_features = builder.n_features_in_
    if layout is None:
        rows = RowSummary(torch.zeros(n_features, dtype=torch.float64, device="cpu"), 1.0)
    else:
        rows = layout.summary(np.empty((0, n_features)))._replace(X=None)
    if builder.n_components > reader.n_values:
        raise ArtifactError(f"n_components={builder.n_components} of it is more than it has weights")
    reader.n_layers_left -= _n_layers(builder)
    if reader.n_layers_left < 0:
        raise ArtifactError("its networks have more layers than it has arrays")
    if builder.network is not None and type(builder.network) not in SPECIFICATIONS:
        builder.network = _of_user(builder.network, reader.n_values)
    network = builder._build_network(rows, SHAPES_ONLY)
    if fills_holes is not None and layout is not None and not isinstance(network, TableNetwork):
        network = TableNetwork(network, layout)  # trained on rows without holes at first, then on rows with some
    kinds = (
        bool if isinstance(network, TableNetwork) else NoneType,
        float if hasattr(network, "likelihood") else NoneType,
    )
    if (type(fills_holes), type(lowest)) != kinds:
        raise ArtifactError("its network is of another kind than its parameters say")
    if isinstance(network, TableNetwork):
        network.fills_holes = fills_holes
    saved = {name: _saved(reader, f"{prefix}/{name}", like) for name, like in own_tensors(network).items()}
    take_memory(network)
    with torch.no_grad():
        for name, tensor in own_tensors(network).items():
            tensor.copy_(saved[name])
    if hasattr(network, "likelihood"):
        network.likelihood.lowest = lowest
    return network.eval()


def check_optimizer_states(states: list[list[Tensor]], network: Network) -> None:
    """Raise where they are not those of optimizers of all the parameters: a number of steps and two moments of each."""
    moments = [state[1 + part * (len(state) // 2) :][: len(state) // 2] for state in states for part in (0, 1)]
    shapes = sorted(tuple(tensor.shape) for part in moments for tensor in part)
    expected = sorted(2 * [tuple(p.shape) for p in network.parameters() if p.requires_grad])
    tensors = [tensor for state in states for tensor in state]
    if (
        (states and shapes != expected)
        or any(state[0].ndim for state in states)
        or any(tensor.dtype != torch.float32 for tensor in tensors)
    ):
        raise ArtifactError("the state of its optimizer is not one of its network")


def _saved(reader: Reader, name: str, like: Tensor) -> Tensor:
    tensor = reader.tensors.pop(name, None)
    if tensor is None or tensor.shape != like.shape or tensor.dtype != like.dtype:
        found = "nothing" if tensor is None else f"{tensor.dtype} of shape {tuple(tensor.shape)}"
        raise ArtifactError(
            f"its parameters describe another network than its weights: {name} is {found}, where {like.dtype} of shape "
            f"{tuple(like.shape)} belongs"
        )
    return tensor


def _n_layers(builder: Any) -> int:
    """Return how many layers the parameters ask for, about."""
    sizes, n_layers = [getattr(builder, "discriminator_layer_sizes", ())], 0
    if builder.network is None or type(builder.network) in SPECIFICATIONS:
        specification = builder.network or builder
        sizes += [getattr(specification, name, ()) for name in ("hidden_layer_sizes", "channels")]
        n_layers = getattr(specification, "n_layers", 0)
    return n_layers + sum(len(size) if isinstance(size, Sized) else 1 for size in sizes)


class _OfUser:
    """A specification of the user's, that is not asked to build more than the file has weights for."""

    def __init__(self, specification: Any, n_values: int):
        self.specification, self.n_values = specification, n_values

    def build(self, rows: RowSummary, n_components: int, random: RandomStreams, logits: bool) -> Network:
        """Return its network, with any weights."""
        build = partial(self.specification.build, n_components=n_components, logits=logits)
        _check_size(lambda: build(rows, random=random), self.n_values)
        return build(rows, random=RandomStreams([ANY_SEED]))


def _of_user(network: Any, n_values: int) -> Any:
    """Return the user's specification or callable, that is not asked to build more than the file has weights for."""
    if hasattr(network, "build"):
        return _OfUser(network, n_values)

    def build(n_features: int, n_components: int) -> tuple[nn.Module, nn.Module]:
        _check_size(lambda: nn.ModuleList(network(n_features, n_components)), n_values)
        return network(n_features, n_components)

    return build


def _check_size(build: Callable[[], nn.Module], n_values: int) -> None:
    """Raise where a network is too large; one that cannot be built without memory is not known to be."""
    n_wanted, limit = 0, max(FREE_VALUES, 10 * n_values)  # a variational autoencoder keeps halves only
    with suppress(Exception), torch.device("meta"):
        n_wanted = sum(tensor.numel() for tensor in own_tensors(build()).values())
    if n_wanted > limit:
        raise ArtifactError(f"network makes {n_wanted} weights; the file has {n_values}, of another network")
