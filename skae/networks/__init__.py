"""Network specifications, for the ``network`` parameter of every autoencoder."""

from skae.networks.dense import DenseNetwork
from skae.networks.modules import ModuleNetwork, build_from_callable

__all__ = ["DenseNetwork", "ModuleNetwork", "build_from_callable"]
