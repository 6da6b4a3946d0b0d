"""Rows from files and from batches, read as they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import pandas as pd
import torch
from scipy.sparse import issparse

from skae.device import free_memory
from skae.distributed import Processes, current_processes
from skae.tables.frames import IDENTIFIER_ROWS, Table, read_rows, too_many_levels
from skae.tables.layout import CellStatistics
from skae.training import CHUNK, SHARE_OF_FREE_MEMORY, RowStream, prefetched, release, stream_of

MANY_LEVELS = 10_000
M = TypeVar("M", bound=Callable[..., Any])


class Part(NamedTuple):
    """Some rows of a stream, and where they are in it."""

    rows: Any
    place: str  # to name in errors; empty where there is none to name

    @contextmanager
    def named(self) -> Iterator[Any]:
        """Give the rows; an error gets a note that says where they are."""
        try:
            yield self.rows
        except Exception as error:
            if self.place:
                error.add_note(f"The error is about {self.place}.")
            raise


class Pieces(NamedTuple):
    """Rows in pieces, each read in parts of a few rows, arrays or frames."""

    n: int
    read: Callable[[int], Iterator[Part]]
    repeats: bool = True  # whether they can be read again

    def rows(self, i: int) -> Iterator[Any]:
        """Read a piece without the places of its parts."""
        return (part.rows for part in self.read(i))


def memory_in_bytes(max_memory: float | str) -> float:
    """Return the memory that a ``max_memory`` parameter, in MiB, allows."""
    return (
        SHARE_OF_FREE_MEMORY * free_memory(torch.device("cpu")) if isinstance(max_memory, str) else 2**20 * max_memory
    )


def is_stream(X: Any, max_memory: float | str) -> bool:
    """Whether X is read as it is needed: an array in a file that is too large, a dataset, or batches of rows."""
    if type(X) is np.ndarray:
        return False
    if isinstance(X, np.memmap):
        return X.ndim == 2 and X.nbytes + 4 * X.size > memory_in_bytes(max_memory)
    if isinstance(X, RowStream) or _is_arrow(X):
        return True
    of_rows = ("shape", "__array__", "__getitem__", "columns")
    return hasattr(X, "__iter__") and not any(hasattr(X, name) for name in of_rows)


def pieces_of(X: Any, max_memory: float | str) -> Pieces:
    """Return the pieces of a stream, or of any other rows."""
    if isinstance(X, RowStream):
        return Pieces(len(X.sizes), lambda i: (Part(rows, _range(numbers)) for numbers, rows in X.chunks([i])))
    max_bytes = memory_in_bytes(max_memory)
    if _is_arrow(X):
        return _of_arrow(X, max_bytes)
    if is_stream(X, max_memory) and not isinstance(X, np.memmap):
        return Pieces(1, lambda i: _of_batches(X, max_bytes), iter(X) is not X)
    if len(np.shape(X)) != 2:
        return Pieces(1, lambda i: iter([Part(X, "")]))  # it will be refused
    X = X if hasattr(X, "shape") else np.asarray(X)
    n = _n_rows(X, max_bytes)

    def read(i: int) -> Iterator[Part]:
        part = getattr(X, "iloc", X)[i * n : (i + 1) * n]
        yield Part(np.array(part) if isinstance(X, np.memmap) else part, _range(range(i * n, i * n + len(part))))
        release(X)

    return Pieces(-(-len(X) // n), read)


def chunks_of(X: Any, max_memory: float | str) -> Iterator[Part]:
    """Yield the parts of a stream, one of which is read ahead."""
    pieces = pieces_of(X, max_memory)
    return prefetched(part for i in range(pieces.n) for part in pieces.read(i))


def by_chunks(method: M) -> M:
    """Decorate a method of rows, one result for each, to take streams too."""

    @wraps(method)
    def call(self, X):
        if not is_stream(X, self.max_memory):
            return method(self, X)
        parts: list[Any] = []
        result, n = None, 0
        for chunk in chunks_of(X, self.max_memory):
            with chunk.named() as rows:
                part = method(self, rows)
            if isinstance(X, np.memmap) and isinstance(part, np.ndarray):  # without a second copy in the end
                result = np.empty((len(X), *part.shape[1:]), part.dtype) if result is None else result
                result[n : n + len(part)] = part
                n += len(part)
            else:
                parts.append(part)
        if result is not None:
            return result
        if not parts:
            raise ValueError("X has no rows: 0 sample(s) were read while a minimum of 1 is required.")
        if isinstance(parts[0], np.ndarray):
            return np.concatenate(parts)
        if not isinstance(parts[0], pd.DataFrame):
            import polars

            return polars.concat(parts)
        # frames of the user's have an index
        return pd.concat(parts, ignore_index=_is_arrow(X) or not isinstance(chunk.rows, pd.DataFrame))

    return cast(M, call)


def is_streamed(X: Any, max_memory: float | str) -> bool:
    """Whether X is read as it is needed in training: a stream, or one of the shards of several processes."""
    return is_stream(X, max_memory) or current_processes().rows == "shards"


def read_stream(
    estimator: Any, X: Any, table: Table | None, categorical_features: Any, takes_holes: bool
) -> tuple[Table, RowStream]:
    """Return the table of X and its cells, as `read_rows` does, but as a stream; all rows are read once.

    Processes that are given the same stream take different rows of it. All learn the same table.
    """
    processes, max_memory = current_processes(), estimator.max_memory
    pieces = pieces_of(X, max_memory)
    if not pieces.repeats:
        raise ValueError(
            f"X is an iterator ({type(X).__name__}), which can be read once only: give an object whose __iter__ "
            "starts anew each time, a memmap or a dataset."
        )
    if processes.size > 1 and processes.rows == "same" and not isinstance(X, RowStream):
        pieces = _share_of(pieces, processes)
    reader = _Reader(estimator, pieces, table, categorical_features, takes_holes)
    if reader.grows and processes.size > 1:
        processes.all_or_none(lambda: reader.read_all(pieces.n))
        reader.agree(processes)
    max_bytes = X.max_bytes if isinstance(X, RowStream) else memory_in_bytes(max_memory)
    stream = stream_of(reader.read, pieces.n, max_bytes, processes, lambda n: CellStatistics(n, reader.is_category))
    if reader.grows:
        reader.refuse_identifiers(IDENTIFIER_ROWS)
        reader.grows = False
    return reader.learned, stream


def some_of(stream: RowStream, chosen: np.ndarray) -> RowStream:
    """Return the stream of the rows that are ``chosen``, (n_rows,), which are read once."""
    pieces = pieces_of(stream.only(chosen), "auto")
    counts = CellStatistics.of(stream).counts
    is_category = [j in counts for j in range(stream.n_features)]
    return stream_of(
        pieces.rows, pieces.n, stream.max_bytes, stream.processes, lambda n: CellStatistics(n, is_category)
    )


class _Reader:
    """Cells of pieces, by a table that is learned as they are read for the first time."""

    def __init__(self, estimator: Any, pieces: Pieces, table: Table | None, features: Any, takes_holes: bool):
        self._pieces, self._table, self.grows = pieces, table, table is None
        self._n_values: Any = 0  # of each column, read so far
        self._read_rows = partial(
            read_rows, estimator, categorical_features=features, takes_holes=takes_holes, may_be_empty=True
        )

    @property
    def learned(self) -> Table:
        assert self._table is not None
        return self._table

    @property
    def is_category(self) -> list[bool]:
        return [column.levels is not None for column in self.learned.columns]

    def read(self, i: int) -> Iterator[np.ndarray]:
        """Yield the cells of a piece."""
        for part in self._pieces.read(i):
            with part.named() as rows:
                self._table, cells = self._read_rows(rows, self._table, grows=self.grows)
            if self.grows:
                self._n_values += (~np.isnan(cells)).sum(0)
                self.refuse_identifiers(MANY_LEVELS)  # before they fill the memory
            yield cells

    def refuse_identifiers(self, n_levels: int) -> None:
        """Raise where more than so many levels have been found, each once."""
        for column, n in zip(self.learned.columns, self._n_values, strict=True):
            if column.n_levels == n > n_levels:
                raise ValueError(too_many_levels(column.name, column.n_levels, n))

    def read_all(self, n_pieces: int) -> None:
        """Learn the table."""
        for i in range(n_pieces):
            for _ in self.read(i):
                pass
        if self._table is None:
            raise ValueError("X has no rows: 0 sample(s) were read while a minimum of 1 is required.")
        self.refuse_identifiers(IDENTIFIER_ROWS)

    def agree(self, processes: Processes) -> None:
        """Take the levels that other processes have found, in the same order everywhere."""
        first, *others = processes.gather(self.learned)
        columns = list(first.columns)
        for rank, table in enumerate(others, 1):
            if [(c.name, c.levels is None) for c in table.columns] != [(c.name, c.levels is None) for c in columns]:
                raise ValueError(
                    f"Processes 0 and {rank} have columns of other names or kinds in X, {first.names} and "
                    f"{table.names}: give all the same."
                )
        for table in others:
            for j, (own, other) in enumerate(zip(columns, table.columns, strict=True)):
                if own.levels is not None and other.levels is not None:
                    new = other.levels.difference(own.levels, sort=False)
                    columns[j] = own._replace(levels=own.levels.append(new))
        self._table, self.grows = Table(tuple(columns), first.container), False


def _share_of(pieces: Pieces, processes: Processes) -> Pieces:
    """Return the pieces for one of the processes; where there are fewer, it takes some parts of each."""
    rank, size = processes.rank, processes.size
    if pieces.n >= 8 * size:
        own = range(rank, pieces.n, size)
        return Pieces(len(own), lambda i: pieces.read(own[i]))
    return Pieces(
        pieces.n,
        lambda i: (part._replace(rows=part.rows[rank::size]) for part in pieces.read(i) if len(part.rows) > rank),
    )


def _is_arrow(X: Any) -> bool:
    return type(X).__module__.partition(".")[0] == "pyarrow" and hasattr(X, "to_batches")


def _of_arrow(X: Any, max_bytes: float) -> Pieces:
    """Return the row groups of a dataset's files as pieces, or a table as one."""
    import pyarrow

    def named(batches: Iterator[Any], place: str) -> Iterator[Part]:
        return (Part(batch.to_pandas(), place) for batch in batches if len(batch))

    settings: dict[str, Any] = {"use_threads": False, "batch_readahead": 1, "fragment_readahead": 1}
    # the default pool keeps what it has freed
    settings |= {"batch_size": 2**14, "memory_pool": pyarrow.system_memory_pool()}
    if not hasattr(X, "get_fragments"):  # in memory
        return Pieces(1, lambda i: _of_batches(X.to_batches(), max_bytes))
    try:
        fragments = list(X.get_fragments())
    except ValueError:  # a filter, which fragments know nothing of
        return Pieces(1, lambda i: named(X.to_batches(**settings), ""))
    parts = [part for f in fragments for part in (f.split_by_row_group() if hasattr(f, "row_groups") else [f])]
    return Pieces(
        len(parts),
        lambda i: named(parts[i].to_batches(schema=X.schema, **settings), f"row group {i} of X, counted from 0"),
    )


def _of_batches(batches: Iterable[Any], max_bytes: float) -> Iterator[Part]:
    """Yield the parts of batches."""
    for number, batch in enumerate(batches):
        for rows in _parts(batch, max_bytes):
            yield Part(rows, f"batch {number} of X, counted from 0")


def _range(numbers: Sequence[int]) -> str:
    return f"rows {numbers[0]} to {numbers[-1]} of X"


def _parts(batch: Any, max_bytes: float) -> Iterator[Any]:
    """Yield a batch in parts of a few rows, if it is an array or a frame."""
    if type(batch).__module__.partition(".")[0] == "pyarrow":
        batch = batch.to_pandas()
    elif isinstance(batch, list | tuple) and len(batch) == 1 and np.ndim(batch[0]) == 2:  # of a torch DataLoader
        batch = batch[0]
    if not hasattr(batch, "shape") or len(batch.shape) != 2 or issparse(batch):
        yield batch  # it will be refused, or read as rows
        return
    n = _n_rows(batch, max_bytes)
    for start in range(0, len(batch), n):
        yield getattr(batch, "iloc", batch)[start : start + n]


def _n_rows(X: Any, max_bytes: float) -> int:
    """Return the number of rows to read at a time."""
    return max(1, int(CHUNK * max_bytes / (8 * max(1, X.shape[1]))))
