"""Two commits of skae beside each other, so that a change which makes it slower is seen.

Run: python benchmarks/guard.py OLD [NEW] [--repeats 7]. NEW is the working tree where it is not given. Each commit
works in a process of its own, a peer in a third (torch's tight loop, or MLPRegressor for scoring), and their turns
alternate, so that a busy machine slows all alike. "new/old" is the median of the ratios of neighbouring turns, beside
their quartiles. A work is "slower" where even the lower quartile is above 1.15, and is so again in new processes: one
process can be slower than another of the same code as long as it lives. Works use names that OLD may not have yet. The
exit code is 0 unless something cannot run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from speed import MLP, Tight, data, timed

ROOT = Path(__file__).parents[1]
SLOWER = 1.15
OLD, NEW, PEER = "old", "new", "peer"
HIDDEN = (64, 32, 8)
TRAININGS = {  # name: rows, features, hidden layers up to the code, batch size, epochs
    "20,000 x 30, batch 256": (20_000, 30, HIDDEN, 256, 5),
    "20,000 x 30, batch 32": (20_000, 30, HIDDEN, 32, 1),
    "10,000 x 784, batch 256": (10_000, 784, (128, 64, 32), 256, 3),
}
TABLE, ROW, BAG, SEARCH = "score 500,000 x 30", "score one row, 500 times", "a bag of 16", "a search of 4 in 4 folds"
WORKS = [*TRAININGS, TABLE, ROW, BAG, SEARCH]


def autoencoder(hidden=HIDDEN, batch_size=32, epochs=5):
    """Return skae's autoencoder, unfitted."""
    from skae import AutoEncoderTransformer

    options: dict[str, Any] = {
        "learning_rate": "constant",
        "learning_rate_init": 1e-3,
        "random_state": 0,
        "device": "cpu",
    }
    return AutoEncoderTransformer(
        hidden[-1], hidden_layer_sizes=hidden[:-1], batch_size=batch_size, max_iter=epochs, **options
    )


def prepare(work):
    """Return a function that does a work of skae."""
    from skae import AutoEncoderOutlierDetector

    if work in TRAININGS:
        n, d, *settings = TRAININGS[work]
        X, model = data(n, d), autoencoder(*settings)
        return lambda: model.fit(X)
    X = data(2000, 30)
    if work == TABLE:
        table, model = data(500_000, 30), autoencoder().fit(X)
        return lambda: model.score_samples(table)
    if work == ROW:
        detector = AutoEncoderOutlierDetector(autoencoder()).fit(X)
        return lambda: [detector.decision_function(X[:1]) for _ in range(500)]
    if work == BAG:
        bag = AutoEncoderOutlierDetector(autoencoder(), n_estimators=16, max_samples=1000, random_state=0)
        return lambda: bag.fit(X)
    from skae.model_selection import BatchedGridSearchCV

    search = BatchedGridSearchCV(autoencoder(), {"learning_rate_init": [3e-4, 1e-3, 3e-3, 1e-2]}, cv=4, refit=False)
    return lambda: search.fit(X)


def prepare_peer(work):
    """Return a function that does about the same, whose seconds say how busy the machine is."""
    if work in TRAININGS:
        n, d, *settings = TRAININGS[work]
        X, model = data(n, d), Tight(*settings)
        return lambda: model.fit(X)
    X = data(2000, 30)
    if work in (TABLE, ROW):
        table, predict = data(500_000, 30), MLP(HIDDEN, 32, 5).table_scorer(X)
        return (lambda: predict(table)) if work == TABLE else lambda: [predict(X[:1]) for _ in range(500)]
    n_networks, n_rows = (16, 1000) if work == BAG else (4, 1500)  # a quarter of the networks of the search
    model = Tight(HIDDEN, 32, 5)
    return lambda: [model.fit(X[:n_rows]) for _ in range(n_networks)]


def serve(name, threads):
    """Do the works that are asked for on standard input; the answer is seconds, or why a work is missing."""
    import torch

    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    answers, sys.stdout = sys.stdout, sys.stderr  # what a work prints is no answer
    prepared: dict = {}
    for line in sys.stdin:
        work = json.loads(line)
        try:
            if work not in prepared:
                prepared.clear()  # the rows of the last work
                prepared[work] = (prepare_peer if name == PEER else prepare)(work)
            answer, _ = timed(prepared[work])
        except (ImportError, AttributeError, TypeError) as error:  # a name or a parameter of later commits
            if name != OLD:
                raise
            answer = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), file=answers, flush=True)


class Worker:
    """A process that serves works with the skae of a folder."""

    def __init__(self, name, folder, threads):
        self._name = name
        command = [sys.executable, __file__, "--threads", str(threads), "--serve", name]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": str(threads)},
        )

    def ask(self, work):
        """Return seconds, or why the work is missing."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(work) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self._name} cannot run: {work}")
        return json.loads(answer)

    def stop(self):
        """End the process."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def checked_out(commit) -> Iterator[Path]:
    """Check a commit out in a temporary folder."""
    git = ["git", "-C", str(ROOT), "worktree"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "skae"
        if subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit]).returncode:
            raise SystemExit(f"{commit} cannot be checked out")
        try:
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def turns(workers, work, repeats):
    """Return seconds of each turn, one list a worker, or why the work is missing in OLD."""
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    for repeat in range(repeats + 1):
        for name in list(workers)[:: 1 if repeat % 2 else -1]:  # neither is always the first
            answer = workers[name].ask(work)
            if isinstance(answer, str):
                return answer
            if repeat:  # the first warms up
                seconds[name].append(answer)
    return seconds


def compare(folders: dict[str, Path], works: Sequence[str], repeats: int, threads: int) -> list[str]:
    """Print a line a work, measured in new processes; return the works that are slower."""
    slower = []
    with ExitStack() as stack:
        workers = {}
        for name in (OLD, NEW, PEER):
            workers[name] = Worker(name, folders.get(name, ROOT), threads)
            stack.callback(workers[name].stop)
        for work in works:
            seconds = turns(workers, work, repeats)
            if isinstance(seconds, str):
                print(f"{work:26s}  not in OLD ({seconds})", flush=True)
                continue
            of_old, of_new, of_peer = (np.array(seconds[name]) for name in (OLD, NEW, PEER))
            low, ratio, high = np.quantile(of_new / of_old, [0.25, 0.5, 0.75])
            to_peer = "".join(f"{np.median(own / of_peer):10.2f}" for own in (of_old, of_new))
            mark = "  slower" if low > SLOWER else ""
            figures = f"{1e3 * np.median(of_old):9.1f}{to_peer}{ratio:9.2f}  {low:.2f} to {high:.2f}"
            print(f"{work:26s}{figures}{mark}", flush=True)
            if mark:
                slower.append(work)
    return slower


def main(old, new, repeats, threads):
    """Print a table, and which works are slower."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that the folders are removed
    with ExitStack() as stack:
        folders = {OLD: stack.enter_context(checked_out(old))}
        folders[NEW] = ROOT if new is None else stack.enter_context(checked_out(new))
        print(f"old is {old}, new is {new or 'the working tree'}; medians of {repeats} turns")
        print(f"{'':26s}{'old, ms':>9s}{'old/peer':>10s}{'new/peer':>10s}{'new/old':>9s}  quartiles", flush=True)
        slower = compare(folders, WORKS, repeats, threads)
        if slower:
            print("again, in new processes:")
            slower = compare(folders, slower, repeats, threads)
    print(f"slower: {'; '.join(slower)}" if slower else "nothing is slower")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", nargs="?", metavar="OLD", help="a commit")
    parser.add_argument("new", nargs="?", metavar="NEW", help="a commit; the working tree where it is not given")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.threads)
    elif arguments.old is None:
        parser.error("OLD is missing")
    else:
        main(arguments.old, arguments.new, arguments.repeats, arguments.threads)
