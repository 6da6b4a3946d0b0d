"""More rows than memory: time and memory of fits that read their rows, beside those of rows in memory.

Run: python benchmarks/streams.py [MiB that rows may take, default 128]

The rows are eight times that in a file on the local disk: an array, and a parquet dataset of the same rows. Each fit
runs in a process of its own. Printed are the seconds of the fit, the median of three turns that alternate, over those
in memory; the peak of the resident memory beyond that before the fit; and how well the rows are shuffled.
"""

import multiprocessing
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

N_COLUMNS, N_TURNS = 30, 3
SETTINGS = {"n_components": 8, "hidden_layer_sizes": (64, 32), "batch_size": 256, "max_iter": 1, "random_state": 0}


class Peak:
    """Largest resident memory of this process while it is watched, in bytes beyond that at the start."""

    def __enter__(self):
        self._process, self._ended = psutil.Process(), threading.Event()
        self._start = self.bytes = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self):
        while not self._ended.wait(0.005):
            self.bytes = max(self.bytes, self._process.memory_info().rss)

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()
        self.bytes -= self._start


def write(folder, n_rows):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(6, N_COLUMNS)).astype(np.float32)
    X = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.float32, (n_rows, N_COLUMNS))
    names = [f"x{j}" for j in range(N_COLUMNS)]
    writer = None
    for start in range(0, n_rows, 2**16):
        rows = X[start : start + 2**16]
        rows[:] = rng.normal(size=(len(rows), 6)).astype(np.float32) @ mixing
        table = pa.table(dict(zip(names, np.array(rows.T), strict=True)))
        writer = writer or pq.ParquetWriter(folder / "rows.parquet", table.schema, compression="none")
        writer.write_table(table, row_group_size=2**15)
    writer.close()
    X.flush()


def open_rows(kind, folder):
    if kind == "dataset":
        import pyarrow.dataset

        return pyarrow.dataset.dataset(folder / "rows.parquet")
    X = np.load(folder / "rows.npy", mmap_mode="r")
    return np.array(X) if kind == "memory" else X


def measure(kind, folder, max_memory, results):
    from skae import AutoEncoderTransformer

    warm_up = np.random.default_rng(0).normal(size=(2000, N_COLUMNS)).astype(np.float32)
    AutoEncoderTransformer(**SETTINGS).fit(warm_up).score_samples(warm_up)
    X = open_rows(kind, folder)
    autoencoder = AutoEncoderTransformer(**SETTINGS, max_memory="auto" if kind == "memory" else max_memory)
    figures = {}
    for name, call in (("fit", autoencoder.fit), ("score", lambda X: autoencoder.score_samples(X))):
        with Peak() as peak:
            start = time.perf_counter()
            call(X)
            seconds = time.perf_counter() - start
        figures[name] = seconds, peak.bytes
    figures["loss"] = autoencoder.loss_curve_[-1]
    results.put(figures)


def shuffling(max_memory, n_rows=400_000):
    """Return, for a file and for batches, the correlation of a row's place in the file with that in an epoch."""
    import torch

    from skae.random import RandomStreams
    from skae.tables.streams import pieces_of
    from skae.training import StreamedRows, stream_of

    with tempfile.TemporaryDirectory() as folder:
        X = np.lib.format.open_memmap(Path(folder, "x.npy"), "w+", np.float32, (n_rows, N_COLUMNS))
        X[:, 0] = np.arange(n_rows)

        class Batches:
            def __iter__(self):
                return (np.array(X[i : i + 1000]) for i in range(0, n_rows, 1000))

        correlations = {}
        for kind, rows in (("file", X), ("batches", Batches())):
            pieces = pieces_of(rows, max_memory)
            stream = stream_of(pieces.rows, pieces.n, max_memory * 2**20)
            epoch = StreamedRows(stream, None, torch.device("cpu")).epoch(256, RandomStreams([0]))
            places = np.concatenate([batch.x[0, :, 0].numpy().copy() for batch, *_ in epoch])
            correlations[kind] = float(np.corrcoef(places, np.arange(n_rows))[0, 1])
    return correlations


def main(max_memory=128.0):
    n_rows = int(8 * max_memory * 2**20 / (4 * N_COLUMNS))
    print(f"{n_rows:,} x {N_COLUMNS} float32 rows, {8 * max_memory:.0f} MiB; max_memory={max_memory:.0f}; one epoch")
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, n_rows)
        kinds, turns = ("memory", "memmap", "dataset"), []
        for turn in range(N_TURNS):
            figures = {}
            for kind in kinds[turn % 3 :] + kinds[: turn % 3]:
                results = context.Queue()
                process = context.Process(target=measure, args=(kind, folder, max_memory, results))
                process.start()
                figures[kind] = results.get()
                process.join()
            turns.append(figures)
    print(f"{'rows':10s} {'call':6s} {'seconds':>8s} {'over memory':>12s} {'peak MiB':>9s} {'bound':>6s}")
    for kind in kinds:
        for call in ("fit", "score"):
            seconds = np.median([figures[kind][call][0] for figures in turns])
            ratio = np.median([figures[kind][call][0] / figures["memory"][call][0] for figures in turns])
            peak = max(figures[kind][call][1] for figures in turns) / 2**20
            bound = "" if kind == "memory" else f"{max_memory:.0f}"
            print(f"{kind:10s} {call:6s} {seconds:8.2f} {ratio:12.2f} {peak:9.0f} {bound:>6s}")
    print("loss:", {kind: round(turns[0][kind]["loss"], 5) for kind in kinds})
    for share in (1 / 8, 1, 8):
        found = shuffling(share * 400_000 * 4 * N_COLUMNS / 2**20)
        print(f"max_memory {share:5.3f} of the rows: correlation of places", {k: round(v, 3) for k, v in found.items()})


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    main(*map(float, sys.argv[1:2]))
