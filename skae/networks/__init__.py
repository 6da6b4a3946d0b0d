"""Network specifications, for the ``network`` parameter of every autoencoder."""

from skae.networks.conv import ConvNetwork
from skae.networks.dense import DenseNetwork
from skae.networks.lstm import LSTMNetwork
from skae.networks.memory import MemoryNetwork
from skae.networks.modules import ModuleNetwork, build_from_callable
from skae.networks.stacking import stack_networks, unstack_networks

__all__ = [
    "ConvNetwork",
    "DenseNetwork",
    "LSTMNetwork",
    "MemoryNetwork",
    "ModuleNetwork",
    "build_from_callable",
    "stack_networks",
    "unstack_networks",
]
