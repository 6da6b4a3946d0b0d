"""How long it takes to import skae and to fit for the first time, beyond torch's and scikit-learn's own imports.

Run: python benchmarks/start.py [--repeats 7]. Each turn is a process of its own; bytecode has been written before, as
pip does where it installs. What a first fit costs is its seconds
minus those of a second, equal one. `python -X importtime -c "import skae"` says which modules the rest is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

BOUND = 0.1  # seconds, of skae's own part


def measure():
    """Print seconds of each part of a start."""
    times = [time.perf_counter()]

    def lap():
        times.append(time.perf_counter())
        return times[-1] - times[-2]

    parts = {}
    import torch  # noqa: F401

    parts["import torch"] = lap()
    import pandas  # noqa: F401
    import sklearn.callback
    import sklearn.model_selection
    import sklearn.neural_network
    import sklearn.pipeline  # noqa: F401

    parts["import scikit-learn and pandas"] = lap()
    import skae

    parts["import skae"] = lap()
    import numpy as np

    X = np.random.default_rng(0).normal(size=(300, 10))
    known = set(sys.modules)
    lap()
    for name, make in (
        ("AutoEncoderTransformer(max_iter=20)", lambda: skae.AutoEncoderTransformer(max_iter=20, random_state=0)),
        (
            "a detector of it",
            lambda: skae.AutoEncoderOutlierDetector(skae.AutoEncoderTransformer(max_iter=20, random_state=0)),
        ),
    ):
        make().fit(X)
        first = lap()
        make().fit(X)
        parts[f"first fit of {name}, beyond the second"] = first - lap()
    print(json.dumps({"parts": parts, "late": sorted(set(sys.modules) - known)}))


def main(repeats):
    """Print the medians."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    turns = []
    for _ in range(repeats + 1):
        command = [sys.executable, __file__, "--measure"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        turns.append(json.loads(done.stdout))
    turns.pop(0)  # it writes the bytecode
    medians = {name: sorted(turn["parts"][name] for turn in turns)[repeats // 2] for name in turns[0]["parts"]}
    for name, seconds in medians.items():
        print(f"{1e3 * seconds:8.0f} ms  {name}")
    own = sorted(sum(list(turn["parts"].values())[2:4]) for turn in turns)
    verdict = "reached" if own[repeats // 2] <= BOUND else "not reached"
    print(
        f"BOUND skae's import and first fit, at most {1e3 * BOUND:.0f} ms: "
        f"{1e3 * own[0]:.0f} to {1e3 * own[-1]:.0f}, median {1e3 * own[repeats // 2]:.0f}: {verdict}"
    )
    print(f"modules that the fits import: {', '.join(turns[0]['late']) or 'none'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure()
    else:
        main(arguments.repeats)
