"""The training loop, the rows it walks and the schedule it follows."""

from skae.training.loop import History, train
from skae.training.rows import Rows, moments, summarize, unresolved
from skae.training.schedule import Schedule, auto_batch_size

__all__ = ["History", "Rows", "Schedule", "auto_batch_size", "moments", "summarize", "train", "unresolved"]
