"""Peak resident memory of fitting and scoring a large table, compared with the size of one float32 copy of it.

Run: python benchmarks/memory.py [--rows 1000000] [--features 100] [--threads 2], on Linux. Each number is of a process
of its own: the largest resident memory during the call, less what was resident before it, after imports, a fit on few
rows and the making of X. One epoch, 128-64 hidden units, codes of 32. Scoring is score_samples, MLPRegressor's predict
and PyOD's decision_function.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import warnings

import numpy as np
import psutil

HIDDEN = (128, 64, 32)
MB = 1e6


def skae():
    """Return an autoencoder, its fit and its way of scoring."""
    from skae import AutoEncoderTransformer

    model = AutoEncoderTransformer(HIDDEN[-1], hidden_layer_sizes=HIDDEN[:-1], max_iter=1, device="cpu", random_state=0)
    return model.fit, model.score_samples


def mlp():
    """The same of MLPRegressor, in batches as large as skae's."""
    from sklearn.neural_network import MLPRegressor

    model = MLPRegressor(hidden_layer_sizes=(*HIDDEN, *HIDDEN[-2::-1]), batch_size=256, max_iter=1, random_state=0)
    return lambda X: model.fit(X, X), model.predict


def pyod():
    """The same of PyOD, in large batches: small ones take minutes."""
    from pyod.models.auto_encoder import AutoEncoder

    model = AutoEncoder(hidden_neuron_list=list(HIDDEN), epoch_num=1, batch_size=4096, random_state=0, verbose=0)
    return model.fit, model.decision_function


PEERS = {"skae": skae, "MLPRegressor": mlp, "PyOD": pyod}


def table(n, d, dtype):
    """Return normal rows, made without a temporary of their size, which would hide a peak of the call."""
    rng = np.random.default_rng(0)
    X = np.empty((n, d), dtype)
    for start in range(0, n, 1000):
        X[start : start + 1000] = rng.normal(size=X[start : start + 1000].shape)
    return X


def measure(peer, action, dtype, n, d, threads):
    """Return how far resident memory rises during the call, in bytes."""
    import torch

    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    fit, score = PEERS[peer]()
    few = table(5000, d, dtype)
    fit(few)
    score(few)
    X = table(n, d, dtype)
    before = psutil.Process().memory_info().rss
    (fit if action == "fit" else score)(X)
    rise = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return max(0, rise)  # the kernel's two counters lag each other by some pages


def main(n, d, threads):
    """Print the table."""
    copy = 4 * n * d
    print(f"{n:,} x {d}; a float32 copy is {copy / MB:,.0f} MB\n")
    print(f"{'X':10s}{'':16s}{'fit, MB':>12s}{'copies':>9s}{'score, MB':>12s}{'copies':>9s}")
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    for dtype in ("float64", "float32"):
        for peer in PEERS:
            line = f"{dtype:10s}{peer:16s}"
            for action in ("fit", "score"):
                command = [sys.executable, __file__, "--measure", json.dumps([peer, action, dtype, n, d, threads])]
                answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
                rise = int(answer.stdout.splitlines()[-1])
                line += f"{rise / MB:12,.0f}{rise / copy:9.2f}"
            print(line, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(measure(*arguments.measure))
    else:
        main(arguments.rows, arguments.features, arguments.threads)
