"""The training loop, the rows it walks and the schedule it follows."""

from skae.training.loop import History, train
from skae.training.reading import prefetched, release
from skae.training.rows import SHARE_OF_FREE_MEMORY, Rows
from skae.training.schedule import Schedule, auto_batch_size
from skae.training.statistics import Moments, unresolved
from skae.training.streams import (
    CHUNK,
    HELD_OUT,
    RowStream,
    StreamedRows,
    bounds,
    in_memory,
    stream_of,
    summarize,
)

__all__ = [
    "CHUNK",
    "HELD_OUT",
    "SHARE_OF_FREE_MEMORY",
    "History",
    "Moments",
    "RowStream",
    "Rows",
    "Schedule",
    "StreamedRows",
    "auto_batch_size",
    "bounds",
    "in_memory",
    "prefetched",
    "release",
    "stream_of",
    "summarize",
    "train",
    "unresolved",
]
