"""Rows that are read as they are needed, for there are more than memory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skae._compat import limit_to_one_thread
from skae.distributed import ALONE, Processes
from skae.interfaces import Batch, RowSummary
from skae.random import RandomStreams
from skae.training.reading import prefetched, release
from skae.training.rows import as_float32
from skae.training.statistics import CHUNK_VALUES, Moments

# Shares of the memory that a stream may take; the rest is for copies on the way.
POOL, HELD_OUT, SAMPLE, CHUNK = 3 / 8, 1 / 8, 1 / 16, 1 / 64


class RowStream:
    """Rows in pieces, each of which can be read again, and what one pass over all of them has found.

    ``read(i)`` gives the rows of piece i as float arrays, NaN where there is no value. ``sizes`` are the numbers of
    rows of the pieces, ``sample`` some rows drawn at random. ``keep``, (n_rows,), says which rows there are; None
    stands for all. ``max_bytes`` is how much memory reading may take.
    """

    def __init__(
        self,
        read: Callable[[int], Iterable[np.ndarray]],
        sizes: list[int],
        moments: Moments,
        sample: np.ndarray,
        max_bytes: float,
        processes: Processes = ALONE,
        keep: np.ndarray | None = None,
    ):
        self.read, self.sizes, self.moments, self.sample = read, sizes, moments, sample
        self.max_bytes, self.processes, self.keep = max_bytes, processes, keep
        self._starts = np.cumsum([0, *sizes])
        self.n_rows = int(self._starts[-1]) if keep is None else int(keep.sum())
        self.n_features = len(moments.mean)

    def __len__(self) -> int:
        return self.n_rows

    @property
    def shape(self) -> tuple[int, int]:
        """(n_rows, n_features)."""
        return self.n_rows, self.n_features

    def chunks(self, order: Iterable[int] | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the numbers of rows, (m,), and these, (m, n_features), piece by piece."""
        for i in range(len(self.sizes)) if order is None else order:
            number = self._starts[i]
            for rows in self.read(i):
                numbers = np.arange(number, number + len(rows))
                number += len(rows)
                if number > self._starts[i + 1]:
                    break
                if self.keep is not None:
                    kept = self.keep[numbers]
                    numbers, rows = numbers[kept], rows[kept]
                if len(rows):
                    yield numbers, rows
            if number != self._starts[i + 1]:
                piece = f" in its piece {i}, counted from 0," if len(self.sizes) > 1 else ""
                raise ValueError(
                    f"X has given{piece} {number - self._starts[i]} rows or more where it gave {self.sizes[i]} before: "
                    "it must give the same rows each time that it is read."
                )

    def only(self, chosen: np.ndarray) -> RowStream:
        """Return the stream of some of its rows, by whether they are ``chosen``, (n_rows of all pieces,)."""
        keep = chosen if self.keep is None else self.keep & chosen
        return RowStream(self.read, self.sizes, self.moments, self.sample, self.max_bytes, self.processes, keep)

    def take(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of rows and these, in memory."""
        stream, n = self.only(chosen), 0
        numbers, rows = np.empty(len(stream), dtype=np.int64), self.sample[:0]
        for some, part in stream.chunks():
            if not n:
                rows = np.empty((len(stream), part.shape[1]), part.dtype)
            numbers[n : n + len(part)], rows[n : n + len(part)] = some, part
            n += len(part)
        return numbers, rows

    def most_rows(self, share: float) -> int:
        """Return how many float32 rows a share of the memory holds."""
        return max(1, int(share * self.max_bytes / (4 * self.n_features)))

    def mapped(self, function: Callable[[np.ndarray], np.ndarray]) -> RowStream:
        """Return the stream of a function of its rows."""
        return stream_of(
            lambda i: (function(rows) for _, rows in self.chunks([i])), len(self.sizes), self.max_bytes, self.processes
        )

    @property
    def is_shared_out(self) -> bool:
        """Whether several processes were given the same rows, of which these are some."""
        return self.processes.size > 1 and self.processes.rows == "same"


def in_memory(X: np.ndarray | RowStream) -> np.ndarray:
    """Return rows or, of a stream, some that were drawn at random."""
    return X.sample if isinstance(X, RowStream) else X


def bounds(X: np.ndarray | RowStream) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest value of each column, (n_features,) both."""
    if isinstance(X, RowStream):
        return X.moments.low, X.moments.high
    if not isinstance(X, np.memmap):
        return np.fmin.reduce(X), np.fmax.reduce(X)
    low, high = np.full(X.shape[1], np.inf), np.full(X.shape[1], -np.inf)
    n = max(1, CHUNK_VALUES // X.shape[1])
    for start in range(0, len(X), n):
        low, high = (
            np.fmin(low, np.fmin.reduce(X[start : start + n])),
            np.fmax(high, np.fmax.reduce(X[start : start + n])),
        )
        release(X)
    return low, high


def summarize(X: np.ndarray | RowStream) -> RowSummary:
    """Return the mean and scale of rows in float64, without a copy of X; constant rows have scale 1."""
    if isinstance(X, RowStream):
        return X.moments.summary(X.sample)
    moments = Moments(X.shape[1])
    moments.add(X)
    return moments.summary(X)


def stream_of(
    read: Callable[[int], Iterable[np.ndarray]],
    n_pieces: int,
    max_bytes: float,
    processes: Processes = ALONE,
    make_moments: Callable[[int], Moments] = Moments,
) -> RowStream:
    """Read all rows once; return their stream."""

    def read_all() -> tuple[list[int], Moments, Sample]:
        sizes: list[int] = []
        moments, sample = None, None
        for i in range(n_pieces):
            sizes.append(0)
            for rows in read(i):
                if moments is None or sample is None:
                    moments, sample = make_moments(rows.shape[1]), Sample(rows, int(SAMPLE * max_bytes))
                moments.add(rows)
                sample.add(rows)
                sizes[-1] += len(rows)
        if moments is None or sample is None:
            raise ValueError("X has no rows: 0 sample(s) were read while a minimum of 1 is required.")
        return sizes, moments, sample

    sizes, moments, sample = processes.all_or_none(read_all)
    chosen = sample.rows()
    if processes.size > 1:
        moments, *others = processes.gather(moments)
        for other in others:
            moments.merge(other)
        n_rows = processes.gather(sum(sizes))
        n_chosen = int(len(chosen) * n_rows[processes.rank] / max(n_rows))  # so that all rows are as likely
        chosen = np.concatenate(processes.gather(chosen[: max(1, n_chosen)]))
    return RowStream(read, sizes, moments, chosen, max_bytes, processes)


class Sample:
    """Rows drawn at random from a stream (Vitter, "Random sampling with a reservoir", 1985), at most 100,000."""

    def __init__(self, like: np.ndarray, n_bytes: int):
        self._n = max(256, min(100_000, n_bytes // like[0].nbytes))
        self._rows, self._n_seen = np.empty((0, like.shape[1]), like.dtype), 0
        self._random = np.random.default_rng(0)

    def rows(self) -> np.ndarray:
        """Return them, in random order."""
        return self._random.permutation(self._rows)

    def add(self, rows: np.ndarray) -> None:
        """Let some of these rows take the places of others."""
        n_first = max(0, min(self._n - len(self._rows), len(rows)))
        if n_first:
            self._rows = np.concatenate([self._rows, rows[:n_first]])
        places = self._random.integers(0, self._n_seen + np.arange(n_first, len(rows)) + 1)
        chosen = places < self._n
        self._rows[places[chosen]] = rows[n_first:][chosen]  # of two for one place the later stays
        self._n_seen += len(rows)


class StreamedRows:
    """Inputs and targets of training as `skae.training.rows.Rows` has them, of one member, read from a stream.

    An epoch reads the pieces in random order. Their rows go through a pool: rows that are read take the places of rows
    in it, which leave. All places are taken once, in random order, before one is taken again. A thread reads and
    shuffles while the network is trained.
    """

    n_members = 1
    n_reading_threads = 1

    def __init__(
        self,
        stream: RowStream,
        target: np.ndarray | None,
        device: torch.device,
        labels: np.ndarray | None = None,
        *,
        held_out: np.ndarray | None = None,
    ):
        self.device, self.processes = device, stream.processes
        self._target, self._labels = target, None if labels is None else torch.from_numpy(labels.astype(np.int64))
        self._held_out: Batch | None = None
        if held_out is not None:
            numbers, rows = stream.take(held_out)
            self._held_out = self._batch(torch.from_numpy(self._values(numbers, rows)), torch.from_numpy(numbers))
            stream = stream.only(~held_out)
        self._stream = stream
        self._n_of_processes = stream.processes.gather(stream.n_rows)
        self.n_rows = sum(self._n_of_processes)
        own = 0 if self._held_out is None else self._held_out.x.shape[1]
        self.n_held_out = sum(stream.processes.gather(own))

    @property
    def n_rows_of_members(self) -> int:
        """Number of rows that each member trains on."""
        return self.n_rows

    def n_batches(self, batch_size: int) -> int:
        """Return the number of batches of an epoch, all of nearly one size <= ``batch_size``."""
        return -(-self.n_rows // batch_size)

    def epoch(self, batch_size: int, random: RandomStreams | None) -> Iterator[tuple[Batch, int, int]]:
        """Yield batches as `Rows.epoch` does; in the order of the stream without ``random``."""
        n_batches = self.n_batches(batch_size)
        sizes = np.array([_sizes(n, n_batches) for n in self._n_of_processes])  # (n_processes, n_batches)
        own, totals = sizes[self.processes.rank].tolist(), sizes.sum(0).tolist()
        blocks = prefetched(self._blocks(random))
        try:
            values, numbers = next(blocks)
            start = 0
            for n, total in zip(own, totals, strict=True):
                while len(values) - start < n:
                    more, more_numbers = next(blocks)
                    values = torch.cat([values[start:], more])
                    numbers, start = torch.cat([numbers[start:], more_numbers]), 0
                part = slice(start, start + n) if n else slice(1)
                yield self._batch(values[part], numbers[part]), n, total
                start += n
        finally:
            blocks.close()

    def validation(self, batch_size: int) -> Iterator[Batch]:
        """Yield batches of the rows held out."""
        if (held_out := self._held_out) is not None:
            for start in range(0, held_out.x.shape[1], batch_size):
                part = slice(start, start + batch_size)
                yield Batch(*(None if t is None else t[:, part] for t in held_out))  # type: ignore[arg-type]

    def _values(self, numbers: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return inputs and, beside them, targets, float32."""
        rows = as_float32(rows)
        if self._target is None:
            return rows
        values = np.hstack([rows, as_float32(self._target[numbers])])
        release(self._target)
        return values

    def _batch(self, values: Tensor, numbers: Tensor) -> Batch:
        values = values.to(self.device).unsqueeze(0)
        labels = None if self._labels is None else self._labels[numbers].to(self.device).unsqueeze(0)
        if self._target is None:
            return Batch(values, values, labels)
        x, target = values.chunk(2, -1)
        return Batch(x, target, labels)

    def _blocks(self, random: RandomStreams | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the values of rows, and their numbers."""
        n_pieces = len(self._stream.sizes)
        order = range(n_pieces) if random is None else random.permutation(n_pieces)[0].tolist()
        chunks = ((self._values(numbers, rows), numbers) for numbers, rows in self._stream.chunks(order))
        tensors = ((torch.from_numpy(values), torch.from_numpy(numbers)) for values, numbers in chunks)
        if random is None:
            yield from tensors
            return
        yield from self._shuffled(tensors, random)

    def _shuffled(self, tensors: Iterator[tuple[Tensor, Tensor]], random: RandomStreams) -> Iterator[Any]:
        pool: list[Tensor] = []  # of values and of numbers
        n_in, n_pool, places = 0, 0, torch.empty(0, dtype=torch.int64)

        def exchange(out: Tensor, parts: Sequence[Tensor]) -> list[Tensor]:
            left = [t.index_select(0, out) for t in pool]
            for t, part in zip(pool, parts, strict=True):
                t.index_copy_(0, out, part)
            return left

        for parts in tensors:
            if not pool:
                bytes_of_row = sum(t[0].nbytes for t in parts)
                n_pool = min(max(1, int(POOL * self._stream.max_bytes / bytes_of_row)), self._stream.n_rows)
                pool = [t.new_empty(n_pool, *t.shape[1:]) for t in parts]
            start, n = min(n_pool - n_in, len(parts[0])), len(parts[0])
            for t, part in zip(pool, parts, strict=True):
                t[n_in : n_in + start] = part[:start]
            n_in += start
            while start < n:
                if not len(places):
                    places = random.permutation(n_pool)[0].to("cpu")
                out, places = places[: n - start], places[n - start :]
                end = start + len(out)
                yield limit_to_one_thread(exchange, out, [part[start:end] for part in parts])
                start = end
        for out in random.permutation(n_in)[0].to("cpu").split(self._stream.most_rows(CHUNK)):
            yield [t.index_select(0, out) for t in pool]


def _sizes(n: int, n_parts: int) -> np.ndarray:
    """Return the sizes of parts that differ by one at most."""
    return n // n_parts + (np.arange(n_parts) < n % n_parts)
