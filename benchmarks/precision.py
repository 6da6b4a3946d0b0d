"""What training in other number formats gains in time and loses in accuracy, on MNIST.

Run: python benchmarks/precision.py [--repeats 3] [--threads 2]. Medians; the formats take turns. The error is the mean
squared one of 10,000 test images, the range that of three seeds.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from tutorials import mnist

from skae import AutoEncoderTransformer

NETWORKS = {"128-64-32": ((128, 64), 32), "1024-512-64": ((1024, 512), 64)}
FORMATS = ("float32", "bfloat16")
EPOCHS, N_ROWS = 5, 10_000


def flags():
    """Return what the processor says of bfloat16."""
    path = Path("/proc/cpuinfo")
    words = path.read_text().split() if path.exists() else []
    return [flag for flag in ("avx512_bf16", "amx_bf16") if flag in words]


def main(repeats, threads):
    """Print a table a network."""
    torch.set_num_threads(threads)
    X_train, _, X_test, _ = mnist(False)
    X = np.ascontiguousarray(X_train[:N_ROWS])
    print(f"{threads} threads; the processor has {', '.join(flags()) or 'neither avx512_bf16 nor amx_bf16'}")
    for name, (hidden, n_components) in NETWORKS.items():
        seconds, errors = ({precision: [] for precision in FORMATS} for _ in range(2))
        for seed in range(repeats):
            for precision in FORMATS:
                model = AutoEncoderTransformer(
                    n_components,
                    hidden_layer_sizes=hidden,
                    batch_size=256,
                    max_iter=EPOCHS,
                    random_state=seed,
                    precision=precision,
                    device="cpu",
                )
                start = time.perf_counter()
                model.fit(X)
                seconds[precision].append(time.perf_counter() - start)
                errors[precision].append(-model.score(X_test))
        print(f"\n784-{name}, batches of 256, {EPOCHS} epochs of {N_ROWS:,} images")
        for precision in FORMATS:
            ratio = np.median(seconds[precision]) / np.median(seconds["float32"])
            low, high = min(errors[precision]), max(errors[precision])
            print(
                f"  {precision:10s}{np.median(seconds[precision]):8.2f} s   {ratio:.2f} times float32's"
                f"   test error {np.median(errors[precision]):.5f} ({low:.5f} to {high:.5f})",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    main(arguments.repeats, arguments.threads)
