"""Tables: categories and holes, from frames to what networks compute with.

Everything between takes *cells*, one number for each value of the user's: a number as it is, a category as the number
of its level, a hole as NaN.
"""

from skae.tables.frames import FLOATS, Table, has_holes, read_rows, without_mask
from skae.tables.layout import TableLayout
from skae.tables.loss import TableLoss
from skae.tables.network import TableNetwork
from skae.tables.streams import by_chunks, chunks_of, is_stream, is_streamed, read_stream, some_of

__all__ = [
    "FLOATS",
    "Table",
    "TableLayout",
    "TableLoss",
    "TableNetwork",
    "by_chunks",
    "chunks_of",
    "has_holes",
    "is_stream",
    "is_streamed",
    "read_rows",
    "read_stream",
    "some_of",
    "without_mask",
]
