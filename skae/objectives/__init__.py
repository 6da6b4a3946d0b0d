"""What autoencoders are trained for."""

from skae.objectives.losses import LOSSES
from skae.objectives.reconstruction import ReconstructionObjective

__all__ = ["LOSSES", "ReconstructionObjective"]
