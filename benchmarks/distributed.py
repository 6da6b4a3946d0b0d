"""Two processes that train one network: the time of a step, and how far their weights are from those of one process.

Run: python benchmarks/distributed.py

One thread each. A step of two processes on batches of B rows is compared with one of a single process on B / 2 rows,
the part that each of them computes: what is more is the exchange of the gradients. Medians of three
turns that alternate.
"""

import os
import socket
import subprocess
import sys
import time
from contextlib import nullcontext

import numpy as np

from skae import AutoEncoderTransformer
from skae.distributed import data_parallel

N_TURNS, N_EPOCHS = 3, 3
WORK = {  # columns, hidden layers, components, batch
    "30 columns, 64-32-8, batch 256": (30, (64, 32), 8, 256),
    "30 columns, 64-32-8, batch 4096": (30, (64, 32), 8, 4096),
    "784 columns, 128-64-32, batch 256": (784, (128, 64), 32, 256),
    "784 columns, 512-256-32, batch 1024": (784, (512, 256), 32, 1024),
}


def rows(n, n_columns):
    rng = np.random.default_rng(0)
    return (rng.normal(size=(n, 6)) @ rng.normal(size=(6, n_columns)) + rng.normal(size=(n, n_columns))).astype(
        np.float32
    )


def fit(name, n_processes):
    """Return the microseconds of a step, and the weights."""
    n_columns, hidden, n_components, batch_size = WORK[name]
    X = rows(8192, n_columns)
    settings = {"hidden_layer_sizes": hidden, "max_iter": N_EPOCHS, "random_state": 0}
    together = data_parallel("same", timeout=120) if n_processes > 1 else nullcontext()
    with together:
        AutoEncoderTransformer(n_components, batch_size=batch_size, **settings | {"max_iter": 1}).fit(X)
        start = time.perf_counter()
        autoencoder = AutoEncoderTransformer(n_components, batch_size=batch_size, **settings).fit(X)
        seconds = time.perf_counter() - start
    weights = np.concatenate([p.detach().numpy().ravel() for p in autoencoder._network.parameters()])
    return 1e6 * seconds / (N_EPOCHS * -(-len(X) // batch_size)), weights


def of_half_the_rows(name):
    n_columns, hidden, n_components, batch_size = WORK[name]
    X = rows(4096, n_columns)
    settings = {"hidden_layer_sizes": hidden, "batch_size": batch_size // 2, "random_state": 0}
    AutoEncoderTransformer(n_components, max_iter=1, **settings).fit(X)
    start = time.perf_counter()
    AutoEncoderTransformer(n_components, max_iter=N_EPOCHS, **settings).fit(X)
    return 1e6 * (time.perf_counter() - start) / (N_EPOCHS * -(-len(X) // (batch_size // 2)))


def together(name):
    """Return what `fit` does in two processes, from the first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    variables = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    command = [sys.executable, __file__, name]
    started = [
        subprocess.Popen(command, env={**variables, "RANK": str(rank)}, stdout=subprocess.PIPE) for rank in range(2)
    ]
    output, _ = [process.communicate()[0] for process in started]
    numbers = np.frombuffer(output, dtype=np.float64)
    return numbers[0], numbers[1:]


def main():
    print(
        f"{'work':38s} {'two, us':>8s} {'one, half, us':>14s} {'ratio':>6s} {'one, all, us':>13s} {'difference':>11s}"
    )
    for name in WORK:
        turns, difference = [], 0.0
        for _ in range(N_TURNS):
            two, weights = together(name)
            one, alone = fit(name, 1)
            turns.append((two, of_half_the_rows(name), one))
            difference = max(difference, np.abs(weights - alone).max())
        two, half, one = np.median(turns, axis=0)
        print(f"{name:38s} {two:8.0f} {half:14.0f} {two / half:6.2f} {one:13.0f} {difference:11.1e}", flush=True)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    if len(sys.argv) > 1:
        microseconds, weights = fit(sys.argv[1], 2)
        sys.stdout.buffer.write(np.r_[microseconds, weights].astype(np.float64).tobytes())
    elif os.environ.get("SKAE_ONE_THREAD"):
        main()
    else:  # the number of threads is read when torch is loaded
        raise SystemExit(subprocess.call([sys.executable, __file__], env={**os.environ, "SKAE_ONE_THREAD": "1"}))
