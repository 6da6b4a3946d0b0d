"""Seconds of training beside processes that keep cores busy, with one of torch's threads and with two.

Run: python benchmarks/busy.py [--repeats 3] [--busy 0 1 2]. Medians of fits of three epochs, each setting in a process
of its own. Small networks compute in one thread in all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np
from speed import data

SETTINGS = {  # name: threads and environment
    "2 threads": (2, {}),
    "1 thread": (1, {}),
    "2 threads, OMP_WAIT_POLICY=passive": (2, {"OMP_WAIT_POLICY": "passive"}),
}


def fits():
    """Return functions that train, by name."""
    from skae import (
        AdversarialAutoEncoder,
        AutoEncoderTransformer,
        ConditionalVariationalAutoEncoder,
        VariationalAutoEncoder,
    )

    options = {"max_iter": 3, "random_state": 0, "device": "cpu"}
    wide, narrow, y = data(4000, 784), data(4000, 30), np.arange(4000) % 5
    return {
        "plain, 784 columns": lambda: AutoEncoderTransformer(16, **options).fit(wide),
        "variational, 784": lambda: VariationalAutoEncoder(16, **options).fit(wide),
        "conditional, 784": lambda: ConditionalVariationalAutoEncoder(16, **options).fit(wide, y),
        "plain, 30 columns": lambda: AutoEncoderTransformer(8, **options).fit(narrow),
        "variational, 30": lambda: VariationalAutoEncoder(8, **options).fit(narrow),
        "adversarial, 30": lambda: AdversarialAutoEncoder(8, **options).fit(narrow),
    }


def serve(threads, repeats):
    """Print the medians."""
    import torch

    torch.set_num_threads(threads)
    medians = {}
    for name, fit in fits().items():
        fit()
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            fit()
            seconds.append(time.perf_counter() - start)
        medians[name] = float(np.median(seconds))
    print(json.dumps(medians))


def main(n_busy, repeats):
    """Print a table for some busy processes."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n_busy)]
    try:
        columns = {}
        for setting, (threads, environment) in SETTINGS.items():
            command = [sys.executable, __file__, "--serve", str(threads), "--repeats", str(repeats)]
            done = subprocess.run(
                command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
            )
            columns[setting] = json.loads(done.stdout.splitlines()[-1])
    finally:
        for process in busy:
            process.kill()
    print(f"\nbeside {n_busy} busy process{'es' * (n_busy != 1)}: " + " | ".join(SETTINGS))
    for name in columns["1 thread"]:
        print(f"  {name:20s}" + "".join(f"{column[name]:9.2f} s" for column in columns.values()), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.repeats)
    else:
        for n_busy in arguments.busy:
            main(n_busy, arguments.repeats)
