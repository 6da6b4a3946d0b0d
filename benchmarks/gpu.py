"""skae on a GPU, and the tight loops of torch that it might replace: seconds, share of the peak, memory.

Run: python benchmarks/gpu.py [--device cuda] [--quick]. `--device cpu --quick` checks the script where there is no GPU,
on one thread: its figures mean nothing.

All start from rows in NumPy. A loop keeps them on the device, shuffles them there and has a fused Adam: plain, with
`torch.compile`, and with its step in a CUDA graph, on a GPU. Turns alternate after one that warms up, in which loops
are compiled and recorded; skae records anew in every fit. The peak is that of a product of large matrices in the same
number format, the faster of before and after; the share counts the products of the networks alone. Memory is the most
that a turn allocated on the device beyond what it found there. Initial weights and the order of the rows differ, so
losses, squared errors of the standardised rows, agree only roughly. Convolutions use TF32 on a GPU in float32 too, as
is torch's default. The exit code is 1 where skae could not run.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.model_selection import KFold
from speed import data, start_alike
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer
from skae.model_selection import BatchedGridSearchCV
from skae.networks import ConvNetwork
from skae.precision import PRECISIONS

N_TURNS = 3
PLAIN, COMPILED, GRAPH = "torch", "torch.compile", "torch, graph"
RATE = 1e-3
SCORED_AT_A_TIME = 2**16  # rows, in loops
COMPARED = 1024  # rows, whose loss is printed


@contextmanager
def float32_products_in(precision):
    """Multiply float32 matrices in TF32, where that is the precision."""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


class Captured:
    """A function of a batch, recorded in a CUDA graph at its first call and replayed from then on."""

    def __init__(self, function):
        self._function = function
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, x):
        graph = self._graph or self._record(x)
        self._x.copy_(x)
        graph.replay()
        return self._result

    def _record(self, x):
        self._x = x.clone()
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            for _ in range(3):
                self._function(self._x)
        here.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._result = self._function(self._x)
        self._graph = graph
        return graph


class Loop:
    """What a user of torch would write. A fit starts again from the same weights, so that nothing is compiled anew."""

    def __init__(self, module, batch_size, n_epochs, device, kind, precision):
        self.module, self.device = module.to(device), device
        self._batch_size, self._n_epochs, self._precision = batch_size, n_epochs, precision
        is_captured = kind == GRAPH
        self._parameters = list(self.module.parameters())
        self._initial = [p.detach().clone() for p in self._parameters]
        rate = torch.tensor(RATE, device=device) if is_captured else RATE
        self._adam = torch.optim.Adam(self._parameters, lr=rate, fused=True, capturable=is_captured)
        self._loss = torch.compile(self._plain_loss, dynamic=False) if kind == COMPILED else self._plain_loss
        self._step = Captured(self._update) if is_captured else self._update
        compiled = torch.compile(self.errors, dynamic=False) if kind == COMPILED else self.errors
        self._errors = Captured(self.errors) if is_captured else compiled

    def fit(self, x, rate=RATE):
        self._start_again(rate)
        with float32_products_in(self._precision):
            for _ in range(self._n_epochs):
                for batch in x[torch.randperm(len(x), device=self.device)].split(self._batch_size):
                    self._step(batch)

    @torch.no_grad()
    def errors(self, x):
        return (self.module(x) - x).square().mean(1)

    def score(self, x):
        scores = torch.empty(len(x), device=self.device)
        for rows, out in zip(x.split(SCORED_AT_A_TIME), scores.split(SCORED_AT_A_TIME), strict=True):
            out.copy_(self._errors(rows))
        return scores.cpu().numpy()

    def _plain_loss(self, x):
        return nn.functional.mse_loss(self.module(x), x)

    def _update(self, x):
        self._adam.zero_grad(set_to_none=True)
        # cached copies of weights would be those of the recording
        with torch.autocast(self.device.type, torch.bfloat16, self._precision == "bfloat16", cache_enabled=False):
            loss = self._loss(x)
        loss.backward()
        self._adam.step()

    @torch.no_grad()
    def _start_again(self, rate):
        for p, initial in zip(self._parameters, self._initial, strict=True):
            p.copy_(initial)
        for state in self._adam.state.values():
            for tensor in state.values():
                tensor.zero_()
        (group,) = self._adam.param_groups
        if isinstance(group["lr"], torch.Tensor):  # which the graph reads
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


class Work(NamedTuple):
    """What is measured. Both functions return one that returns the loss, which is not timed."""

    title: str
    precisions: tuple[str, ...]
    n_passes: int  # of a row through a network, in all epochs and networks
    flops: float  # of a pass
    skae: Callable[[str], Callable[[], float]]  # of a precision
    make_loop: Callable[[str, str], Loop]  # of a kind and a precision
    loop: Callable[[Loop], Callable[[], float]]
    share: float = 1.0  # of the networks, which a loop trains; its seconds are divided by it
    note: str = ""


def dense(*widths):
    """Return the mirrored network of these widths; the code is linear, as skae's is."""
    half = len(widths) - 1
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(pairwise([*widths, *widths[-2::-1]]), 1):
        layers += [nn.Linear(n_in, n_out)] if i in (half, 2 * half) else [nn.Linear(n_in, n_out), nn.ReLU()]
    return start_alike(nn.Sequential(*layers))


def convolutional():
    """Return what `ConvNetwork((1, 28, 28), (16, 8))` is."""
    options: dict[str, Any] = {"stride": 2, "padding": 1}
    module = nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        *(nn.Conv2d(1, 16, 3, **options), nn.ReLU(), nn.Conv2d(16, 8, 3, **options), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(392, 32), nn.Linear(32, 392), nn.ReLU(), nn.Unflatten(1, (8, 7, 7))),
        *(nn.ConvTranspose2d(8, 16, 3, output_padding=1, **options), nn.ReLU()),
        *(nn.ConvTranspose2d(16, 1, 3, output_padding=1, **options), nn.Flatten()),
    )
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def flops_of_a_row(module, n_features, backward=True):
    """Return the operations of the products of a step, or of scoring, for one row."""
    x = torch.zeros(64, n_features)
    with FlopCounterMode(display=False) as counter:
        loss = nn.functional.mse_loss(module(x), x)
        if backward:
            loss.backward()
    return counter.get_total_flops() / len(x)


def training(title, X, make_module, batch_size, n_epochs, precisions, device, **settings):
    """Return the work of training one network."""

    def skae(precision):
        model = autoencoder(batch_size, n_epochs, device, precision=precision, **settings).fit(X)
        return lambda: -model.score(X[:COMPARED])

    def loop(loop):
        x = torch.from_numpy(X).to(device)
        loop.fit(x)
        return lambda: loop.errors(x[:COMPARED]).mean().item()

    def make_loop(kind, precision):
        return Loop(make_module(), batch_size, n_epochs, device, kind, precision)

    flops = flops_of_a_row(make_module(), X.shape[1])
    return Work(f"{title}, epochs: {n_epochs}", precisions, len(X) * n_epochs, flops, skae, make_loop, loop)


def scoring(X, make_module, model, device):
    """Return the work of scoring rows, with one fitted model and with one untrained module."""

    def skae(precision):
        scores = model.score_samples(X)
        return lambda: -scores[:COMPARED].mean()

    def loop(loop):
        scores = loop.score(torch.from_numpy(X).to(device))
        return lambda: scores[:COMPARED].mean()

    def make_loop(kind, precision):
        return Loop(make_module(), 1, 0, device, kind, precision)

    title, note = (
        f"scoring {len(X):,} x {X.shape[1]}",
        "the modules of the loops are not trained, so their losses differ",
    )
    flops = flops_of_a_row(make_module(), X.shape[1], backward=False)
    return Work(title, ("float32",), len(X), flops, skae, make_loop, loop, note=note)


def bag(X, n_members, n_of_loop, n_epochs, precisions, device):
    """Return the work of training a detector's members and measuring their errors on all rows."""
    n_rows = 2048

    def skae(precision):
        member = autoencoder(256, n_epochs, device, precision=precision, **SMALL)
        model = AutoEncoderOutlierDetector(member, n_estimators=n_members, max_samples=n_rows, random_state=0).fit(X)
        return lambda: -model.score_samples(X[:COMPARED]).mean()

    def loop(loop):
        x, errors = torch.from_numpy(X).to(device), []
        for _ in range(n_of_loop):
            loop.fit(x[torch.randperm(len(x), device=device)[:n_rows]])
            errors.append(loop.errors(x))
        mean = torch.stack(errors).mean(0).cpu()
        return lambda: mean[:COMPARED].mean().item()

    title = f"a bag of {n_members:,} members, 64-32-8, batch 256, each on {n_rows:,} of {len(X):,} x {X.shape[1]}"
    return small_networks(title, n_members, n_of_loop, n_rows, n_epochs, X, precisions, device, skae, loop)


def search(X, n_rates, n_of_loop, n_epochs, precisions, device):
    """Return the work of a search of learning rates in four folds; the loss is that of the first of them."""
    rates, folds = np.geomspace(RATE, 1e-2, n_rates).tolist(), KFold(4)

    def skae(precision):
        model = autoencoder(256, n_epochs, device, precision=precision, **SMALL)
        found = BatchedGridSearchCV(model, {"learning_rate_init": rates}, cv=folds, refit=False).fit(X)
        return lambda: -found.cv_results_["mean_test_score"][0]

    def loop(loop):
        x, errors = torch.from_numpy(X).to(device), []
        for rate in rates[:n_of_loop]:
            for train, test in folds.split(X):
                loop.fit(x[torch.from_numpy(train).to(device)], rate)
                errors.append(loop.errors(x[torch.from_numpy(test).to(device)]).mean().item())
        return lambda: float(np.mean(errors[:4]))

    title = f"a search of {n_rates} learning rates in 4 folds of {len(X):,} x {X.shape[1]}, 64-32-8, batch 256"
    n = len(X) * 3 // 4
    return small_networks(title, 4 * n_rates, 4 * n_of_loop, n, n_epochs, X, precisions, device, skae, loop)


def small_networks(title, n_networks, n_of_loop, n_rows, n_epochs, X, precisions, device, skae, loop):
    """Return a work of many small networks, of which a loop trains some."""
    widths = (X.shape[1], *SMALL["hidden_layer_sizes"], SMALL["n_components"])

    def make_loop(kind, precision):
        return Loop(dense(*widths), 256, n_epochs, device, kind, precision)

    title = f"{title}, epochs: {n_epochs}"
    note = f"loops train {n_of_loop} of the {n_networks:,} networks, one by one; their seconds are scaled up"
    n_passes, flops = n_networks * n_rows * n_epochs, flops_of_a_row(dense(*widths), X.shape[1])
    return Work(title, precisions, n_passes, flops, skae, make_loop, loop, n_of_loop / n_networks, note)


SMALL: dict[str, Any] = {"hidden_layer_sizes": (64, 32), "n_components": 8}


def autoencoder(batch_size, n_epochs, device, **settings):
    """Return skae's autoencoder, unfitted."""
    options: dict[str, Any] = {
        "learning_rate": "constant",
        "learning_rate_init": RATE,
        "random_state": 0,
        "device": str(device),
    }
    return AutoEncoderTransformer(batch_size=batch_size, max_iter=n_epochs, **options, **settings)


def works(device, precisions, quick) -> Iterator[Work]:
    """Yield the works one by one, as each holds its rows. All batches are full: a graph has one shape."""
    n_epochs = 1 if quick else 5
    large: dict[str, Any] = {"hidden_layer_sizes": (256, 128), "n_components": 32}
    X, make_module = data(2**15 if quick else 2**22, 64), partial(dense, 64, 256, 128, 32)
    title = f"{len(X):,} x 64, 256-128-32, batch 4,096"
    yield training(title, X, make_module, 4096, n_epochs, precisions, device, **large)
    yield scoring(X, make_module, autoencoder(4096, 1, device, **large).fit(X), device)
    X = data(1500 if quick else 60_000, 784)
    title = f"{len(X):,} x 784, ConvNetwork((1, 28, 28), (16, 8)), batch 250"
    specification = {"network": ConvNetwork((1, 28, 28), (16, 8)), "n_components": 32}
    yield training(title, X, convolutional, 250, n_epochs, precisions, device, **specification)
    n_members, n_of_loop = (20, 2) if quick else (1000, 50)
    yield bag(data(20_000, 30), n_members, n_of_loop, n_epochs, precisions, device)
    n_rates, n_of_loop = (4, 1) if quick else (16, 4)
    yield search(data(4096 if quick else 16_384, 30), n_rates, n_of_loop, n_epochs, precisions, device)


def synchronise(device):
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def product_rate(device, precision):
    """Return operations a second of a product of large matrices in a number format, the fastest of ten."""
    n = 8192 if device.type == "cuda" else 1024
    a, b, out = torch.randn(3, n, n, device=device).to(torch.bfloat16 if precision == "bfloat16" else None).unbind()
    seconds = []
    with float32_products_in(precision):
        for _ in range(10):
            synchronise(device)
            start = time.perf_counter()
            torch.mm(a, b, out=out)
            synchronise(device)
            seconds.append(time.perf_counter() - start)
    return 2 * n**3 / min(seconds)


def measure(function, device):
    """Return seconds, MiB allocated on a GPU, NaN elsewhere, and the loss."""
    before = float("nan")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    synchronise(device)
    start = time.perf_counter()
    loss = function()
    synchronise(device)
    seconds = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return seconds, (peak - before) / 2**20, loss()


def compare(work, precision, device):
    """Print a table; who cannot run is left out, and the error printed. Return whether skae could."""
    print(f"\n{work.title}: {precision}", flush=True)
    if work.note:
        print(f"  ({work.note})")
    torch.compiler.reset()  # torch compiles a function for a few modules only
    peers = {"skae": partial(work.skae, precision)}
    for kind in (PLAIN, COMPILED, *([GRAPH] if device.type == "cuda" else [])):
        peers[kind] = partial(work.loop, work.make_loop(kind, precision))
    answers: dict[str, list] = {name: [] for name in peers}
    peak = product_rate(device, precision)
    for turn in range(N_TURNS + 1):
        for name in list(answers):
            try:
                answer = measure(peers[name], device)
            except RuntimeError as error:  # no compiler, a refused recording, no memory
                del answers[name]
                print(f"  {name} cannot run: {type(error).__name__}: {' '.join(str(error).split())[:400]}")
                if name == "skae":
                    traceback.print_exc()
                continue
            if turn:  # the first warms up
                answers[name].append(answer)
    peak = max(peak, product_rate(device, precision))
    medians = {name: np.median(measured, axis=0) for name, measured in answers.items()}
    print(f"  {'':14s}{'seconds':>10s}{'rows/s':>16s}{'of peak':>9s}{'MiB':>9s}{'loss':>9s}")
    for name, (seconds, memory, loss) in medians.items():
        seconds /= 1.0 if name == "skae" else work.share
        rate, allocated = work.n_passes / seconds, "-" if np.isnan(memory) else f"{memory:,.0f}"
        ratio = f"{seconds / medians['skae'][0]:9.2f} times skae's" if "skae" in medians else ""
        share = f"{rate * work.flops / peak:9.1%}"
        print(f"  {name:14s}{seconds:10.3f}{rate:16,.0f}{share}{allocated:>9s}{loss:9.4f}{ratio}")
    print(f"  the peak: {peak / 1e12:.3g} Tflop/s", flush=True)
    return "skae" in medians


def move(device, n_rows):
    """Print how far scores are from those of the pickled model in a new process that sees no GPU."""
    X = data(n_rows, 64)
    model = autoencoder(4096, 5, device, hidden_layer_sizes=(256, 128), n_components=32).fit(X)
    expected = model.score_samples(X)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model").write_bytes(pickle.dumps(model))
        np.save(Path(folder) / "rows.npy", X)
        command, hidden = [sys.executable, __file__, "--score", folder], {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        subprocess.run(command, env=hidden, check=True)
        scores = np.load(Path(folder) / "scores.npy")
    difference = np.abs(scores / expected - 1).max()
    print(f"\nfitted on {device}, pickled, scored in a process without CUDA: {len(X):,} scores differ")
    print(f"  by {difference:.1e} at most, in relation to their size")


def score(folder):
    """Score the rows in a folder by the pickled model in it, on the CPU."""
    assert not torch.cuda.is_available()
    model = pickle.loads((folder / "model").read_bytes())
    np.save(folder / "scores.npy", model.score_samples(np.load(folder / "rows.npy")))


def main(device, quick):
    """Print all tables; return the exit code."""
    warnings.simplefilter("ignore")
    is_gpu = device.type == "cuda"
    if not is_gpu:
        torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name(device) if is_gpu else 'a CPU'}")
    precisions = tuple(p for p in PRECISIONS if is_gpu or p != "tf32")
    if is_gpu and torch.cuda.get_device_capability(device) < (8, 0):
        precisions = ("float32",)
    ran = [compare(work, p, device) for work in works(device, precisions, quick) for p in work.precisions]
    move(device, 2**14 if quick else 2**18)
    print("\nThe tests that need a GPU: python -m pytest -n0 -m gpu")
    return 0 if all(ran) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", type=torch.device, default="cuda")
    parser.add_argument("--quick", action="store_true", help="small sizes, to check the script")
    parser.add_argument("--score", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.score:
        score(arguments.score)
    else:
        sys.exit(main(arguments.device, arguments.quick))
