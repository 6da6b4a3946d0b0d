"""The same autoencoders trained and applied by skae and by those it might replace: medians and ratios of seconds.

Run: python benchmarks/speed.py [--repeats 5] [--threads 2]. Each library works in a process of its own; their turns
alternate, so that a busy machine slows all alike. Architecture, batch size, epochs, optimizer (Adam, 1e-3) and data are
the same; the code has a relu, as PyOD and MLPRegressor leave no choice. Losses are squared errors on the training rows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from itertools import pairwise

import numpy as np

WORKS = {  # name: rows, features, hidden layers up to the code, batch size, epochs
    "20,000 x 30, 64-32-8, batch 256": (20_000, 30, (64, 32, 8), 256, 10),
    "20,000 x 30, 64-32-8, batch 32": (20_000, 30, (64, 32, 8), 32, 3),
    "10,000 x 784, 128-64-32, batch 256": (10_000, 784, (128, 64, 32), 256, 5),
}
SCORING = {"score 1,000,000 x 30": 1_000_000, "score one row": 1}
SMALL = "300 x 10, defaults, fit and score"


def data(n, d):
    """Rows near a curved surface of 5 dimensions, standardised."""
    rng = np.random.default_rng(0)
    X = np.tanh(rng.normal(size=(n, 5)) @ rng.normal(size=(5, d))) + 0.1 * rng.normal(size=(n, d))
    return ((X - X.mean(0)) / X.std(0)).astype(np.float32)


class Skae:
    def __init__(self, hidden, batch_size, epochs):
        from skae import AutoEncoderTransformer
        from skae.networks import DenseNetwork

        network = DenseNetwork(hidden[:-1], "relu", code_activation="relu")
        options = {"learning_rate": "constant", "learning_rate_init": 1e-3, "random_state": 0, "device": "cpu"}
        self.model = AutoEncoderTransformer(
            hidden[-1], network=network, batch_size=batch_size, max_iter=epochs, **options
        )

    def fit(self, X):
        self.model.fit(X)

    def score(self, X):
        return -self.model.score_samples(X)

    def detector(self):
        from skae import AutoEncoderOutlierDetector

        return AutoEncoderOutlierDetector(random_state=0)


class PyOD:
    def __init__(self, hidden, batch_size, epochs):
        from pyod.models.auto_encoder import AutoEncoder

        self.model = AutoEncoder(
            hidden_neuron_list=list(hidden),
            batch_size=batch_size,
            epoch_num=epochs,
            batch_norm=False,
            dropout_rate=0,
            preprocessing=False,
            optimizer_params={},
            verbose=0,
        )

    def fit(self, X):
        self.model.fit(X)

    def score(self, X):
        return np.square(self.model.decision_function(X)) / X.shape[1]  # its error is the residuals' norm

    def detector(self):
        from pyod.models.auto_encoder import AutoEncoder

        return AutoEncoder(verbose=0)


class MLP:
    def __init__(self, hidden, batch_size, epochs):
        from sklearn.neural_network import MLPRegressor

        layers = (*hidden, *hidden[-2::-1])
        self.model = MLPRegressor(
            hidden_layer_sizes=layers, alpha=0, batch_size=batch_size, max_iter=epochs, tol=0, random_state=0
        )

    def fit(self, X):
        self.model.fit(X, X)

    def score(self, X):
        return np.square(self.model.predict(X).reshape(X.shape) - X).mean(1)


def torch_module(d, hidden):
    import torch

    sizes = [d, *hidden, *hidden[-2::-1], d]
    torch.manual_seed(0)
    layers = [torch.nn.Linear(i, o) for i, o in pairwise(sizes)]
    return torch.nn.Sequential(*[m for layer in layers for m in (layer, torch.nn.ReLU())][:-1])


class Tight:
    """A torch loop over resident rows, shuffled once an epoch, with a fused Adam."""

    def __init__(self, hidden, batch_size, epochs):
        self.hidden, self.batch_size, self.epochs = hidden, batch_size, epochs

    def batches(self, X):
        import torch

        return X[torch.randperm(len(X))].split(self.batch_size)

    def fit(self, X):
        import torch

        self.module = torch_module(X.shape[1], self.hidden)
        optimizer = torch.optim.Adam(self.module.parameters(), lr=1e-3, fused=True)
        rows = torch.from_numpy(X)
        for _ in range(self.epochs):
            for x in self.batches(rows):
                optimizer.zero_grad(set_to_none=True)
                torch.nn.functional.mse_loss(self.module(x), x).backward()
                optimizer.step()

    def score(self, X):
        import torch

        with torch.no_grad():
            x = torch.from_numpy(X)
            return (self.module(x) - x).square().mean(1).numpy()


class Loader(Tight):
    """The usual loop: a DataLoader over a TensorDataset."""

    def batches(self, X):
        from torch.utils.data import DataLoader, TensorDataset

        return (x for (x,) in DataLoader(TensorDataset(X), self.batch_size, shuffle=True))


class Skorch(Tight):
    def fit(self, X):
        import skorch
        import torch

        net = skorch.NeuralNetRegressor(
            torch_module(X.shape[1], self.hidden),
            optimizer=torch.optim.Adam,
            lr=1e-3,
            batch_size=self.batch_size,
            max_epochs=self.epochs,
            train_split=None,
            iterator_train__shuffle=True,
            verbose=0,
        )
        self.module = net.fit(X, X).module_


PEERS = {"skae": Skae, "MLPRegressor": MLP, "tight torch": Tight, "DataLoader": Loader, "skorch": Skorch, "PyOD": PyOD}


def measure(peer, work, fitted):
    """Return seconds and, of a training, the final loss."""
    if work in WORKS:
        n, d, hidden, batch_size, epochs = WORKS[work]
        X, model = data(n, d), PEERS[peer](hidden, batch_size, epochs)
        start = time.perf_counter()
        model.fit(X)
        seconds = time.perf_counter() - start
        return seconds, float(np.mean(model.score(X)))
    if work in SCORING:
        if not fitted:
            fitted.append(PEERS[peer]((64, 32, 8), 256, 1))
            fitted[0].fit(data(2000, 30))
        X, repeats = data(SCORING[work], 30) if SCORING[work] > 1 else data(50, 30)[:1], 1 if SCORING[work] > 1 else 200
        start = time.perf_counter()
        for _ in range(repeats):
            fitted[0].score(X)
        return (time.perf_counter() - start) / repeats, None
    X, model = data(300, 10), PEERS[peer]((8,), 32, 1).detector()
    start = time.perf_counter()
    model.fit(X)
    model.decision_function(X)
    return time.perf_counter() - start, None


def serve(peer, threads):
    """Measure what is asked for on standard input."""
    import torch

    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    fitted: list = []
    for line in sys.stdin:
        print(json.dumps(measure(peer, line.strip(), fitted)), flush=True)


def main(repeats, threads):
    """Print a table a work."""
    command = [sys.executable, __file__, "--threads", str(threads), "--serve"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = {peer: subprocess.Popen([*command, peer], **pipes) for peer in PEERS}

    def ask(peer, work):
        workers[peer].stdin.write(work + "\n")
        workers[peer].stdin.flush()
        return json.loads(workers[peer].stdout.readline())

    for work in [*WORKS, *SCORING, SMALL]:
        peers = [p for p in PEERS if work != SMALL or hasattr(PEERS[p], "detector")]
        answers: dict = {peer: [] for peer in peers}
        for repeat in range(repeats + 1):
            for peer in peers:
                answer = ask(peer, work)
                if repeat:  # the first warms up
                    answers[peer].append(answer)
        print(f"\n{work}")
        ours = np.median([seconds for seconds, _ in answers["skae"]])
        for peer in peers:
            seconds, loss = np.median([a[0] for a in answers[peer]]), answers[peer][-1][1]
            note = "" if loss is None else f"   loss {loss:.4f}"
            print(f"  {peer:14s}{1e3 * seconds:12.2f} ms   {seconds / ours:6.2f} times skae's{note}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.threads)
    else:
        main(arguments.repeats, arguments.threads)
