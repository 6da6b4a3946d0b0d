"""Callbacks for long fits, in addition to scikit-learn's own."""

from skae.callbacks.checkpoint import Checkpoint
from skae.callbacks.progress import ProgressBar
from skae.callbacks.tensorboard import TensorBoardLogger

__all__ = ["Checkpoint", "ProgressBar", "TensorBoardLogger"]
