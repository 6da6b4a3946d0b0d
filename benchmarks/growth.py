"""How seconds grow with rows, features and members: medians, as a table and as a picture.

Run: python benchmarks/growth.py [--repeats 3] [--threads 2] [--plot docs/images/growth.png]. The sizes of a panel take
turns. A slope is that of the line from the size before on logarithmic axes: 1 where seconds are proportional to the
size. Rows and features: fit of three epochs and score_samples of `AutoEncoderTransformer`, otherwise at its defaults.
Streamed rows are read from a file, of which 64 MiB may be in memory, once. Members: the same of
`AutoEncoderOutlierDetector` over small autoencoders of 2,000 rows each, divided by their number.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from speed import data

from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer

EPOCHS = 3
SIZES = {
    "rows": (10_000, 30_000, 100_000, 300_000, 1_000_000),
    "streamed rows": (1_000_000, 3_000_000, 10_000_000),
    "features": (10, 30, 100, 300, 1000, 3000, 10_000, 20_000),
    "members": (1, 4, 16, 64, 256, 1000),
}
PANELS = {
    "rows": ("30 features", "seconds"),
    "streamed rows": ("30 features, from a file", "seconds"),
    "features": ("5,000 rows", "seconds"),
    "members": ("a bag, 2,000 rows a member", "seconds per member"),
}


def plain(X):
    """Return an autoencoder and the number to divide its seconds by."""
    return AutoEncoderTransformer(max_iter=EPOCHS, random_state=0, device="cpu"), 1


def bag(X, n_members):
    """Return a detector of some members and their number."""
    member = AutoEncoderTransformer(8, hidden_layer_sizes=(64, 32), batch_size=32, max_iter=EPOCHS, device="cpu")
    return AutoEncoderOutlierDetector(member, n_estimators=n_members, max_samples=2000, random_state=0), n_members


def write_rows(n, path):
    """Write rows to a file, and return them as a memmap."""
    X = np.memmap(path, np.float32, "w+", shape=(n, 30))
    part = data(1_000_000, 30)
    for start in range(0, n, len(part)):
        X[start : start + len(part)] = part[: n - start]
    X.flush()
    return np.memmap(path, np.float32, "r", shape=(n, 30))


def seconds(X, model, divisor):
    """Return seconds of a fit and of scoring the same rows."""
    times = [time.perf_counter()]
    for step in (model.fit, model.score_samples):
        step(X)
        times.append(time.perf_counter())
    return np.diff(times) / divisor


def measure(panel, size):
    """Return the pair of seconds of one point of a panel."""
    if panel == "streamed rows":
        with TemporaryDirectory() as folder:
            X = write_rows(size, Path(folder) / "rows")
            return seconds(X, plain(X)[0].set_params(max_iter=1, max_memory=64), 1)
    X = data(size, 30) if panel == "rows" else data(5000, size if panel == "features" else 30)
    return seconds(X, *(bag(X, size) if panel == "members" else plain(X)))


def medians(panel, sizes, repeats):
    """Return the medians, (n_sizes, 2)."""
    measure(panel, sizes[0])  # warms up
    return np.median([[measure(panel, size) for size in sizes] for _ in range(repeats)], axis=0)


def plot(tables, path):
    """Draw a panel a table, with lines of proportional growth to compare with."""
    figure, axes = plt.subplots(1, len(tables), figsize=(15, 4), layout="constrained")
    for ax, (panel, (sizes, times)) in zip(axes, tables.items(), strict=True):
        fixed, unit = PANELS[panel]
        for column, name, marker in ((0, f"fit, {epochs(panel)}", "o"), (1, "score_samples", "s")):
            ax.loglog(sizes, times[:, column], marker=marker, label=name)
            if panel != "members":
                proportional = times[-1, column] * np.array(sizes) / sizes[-1]
                ax.loglog(sizes, proportional, ":", color="grey", label="proportional" if column else None)
        ax.set(xlabel=panel, ylabel=unit, title=fixed)
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=30)
        ax.xaxis.minorticks_off()
        ax.grid(alpha=0.3)
        ax.legend()
    figure.savefig(path, dpi=110)


def epochs(panel):
    """Return how long a fit of a panel is."""
    return "1 epoch" if panel == "streamed rows" else f"{EPOCHS} epochs"


def main(repeats, threads, path):
    """Print the tables and save the picture."""
    torch.set_num_threads(threads)
    tables = {}
    for panel, sizes in SIZES.items():
        times = medians(panel, sizes, repeats)
        tables[panel] = sizes, times
        fixed, unit = PANELS[panel]
        totals = times * np.array(sizes)[:, None] if panel == "members" else times
        slopes = np.diff(np.log(totals), axis=0) / np.diff(np.log(sizes))[:, None]
        print(f"\n{fixed}: {unit}\n{panel:>14s}{f'fit, {epochs(panel)}':>16s}  slope{'score_samples':>16s}  slope")
        for i, (size, (fit, score)) in enumerate(zip(sizes, times, strict=True)):
            of_fit, of_score = [f"{slope:7.2f}" for slope in slopes[i - 1]] if i else [7 * " "] * 2
            print(f"{size:14,d}{fit:16.4f}{of_fit}{score:16.4f}{of_score}", flush=True)
    plot(tables, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    picture = Path(__file__).parents[1] / "docs" / "images" / "growth.png"
    parser.add_argument("--plot", type=Path, default=picture, metavar="PATH")
    arguments = parser.parse_args()
    main(arguments.repeats, arguments.threads, arguments.plot)
