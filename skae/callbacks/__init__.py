"""Callbacks for long fits, in addition to scikit-learn's `ProgressBar` and `ScoringMonitor`."""

from skae.callbacks.checkpoint import Checkpoint
from skae.callbacks.tensorboard import TensorBoardLogger

__all__ = ["Checkpoint", "TensorBoardLogger"]
