"""The same autoencoders trained and applied by skae and by those it might replace: medians and ratios of seconds.

Run: python benchmarks/speed.py [--repeats 3] [--threads 2 1] [--profile]. Each library works in a process of its own;
their turns alternate, so that a busy machine slows all alike. The ratios of all turns stand beside those that we aim
at. Architecture, initial weights, batch size, epochs,
optimizer (Adam, 1e-3) and data are the same; the code has a relu, as PyOD and MLPRegressor leave no choice. The rows
are shuffled by each library's own generator, so the losses, squared errors on the training rows, agree but for a few
percent. PyOD's `fit` also scores the training rows; it leaves out the rows that do not fill a batch.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import math
import os
import pstats
import subprocess
import sys
import time
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np

WORKS = {  # name: rows, features, hidden layers up to the code, batch size, epochs
    "20,000 x 30, 64-32-8, batch 256": (20_000, 30, (64, 32, 8), 256, 10),
    "20,000 x 30, 64-32-8, batch 32": (20_000, 30, (64, 32, 8), 32, 5),
    "10,000 x 784, 128-64-32, batch 256": (10_000, 784, (128, 64, 32), 256, 10),
}
TRAINED = ["skae", "MLPRegressor", "tight torch", "DataLoader", "skorch", "PyOD"]
TABLE, ROW, SMALL = "score 1,000,000 x 30", "score one row of 30", "300 x 10, defaults, fit and score"
MEMBERS = "32 members of 64-32-8, batch 32, each on 2,000 of 20,000 x 30"
SEARCH = "search of 8 learning rates in 4 folds of 2,000 x 30, 64-32-8, batch 32"
UNEVEN = "the same search of 2,001 x 30, whose folds differ by a row"
BAG_ROW = "score one row of 30 with a bag of 48 members"
OTHERS = {  # name: peers; the torch loops and skorch score with one and the same module
    TABLE: ["skae", "MLPRegressor", "tight torch", "PyOD"],
    ROW: ["skae", "MLPRegressor", "PyOD", "IsolationForest"],
    SMALL: ["skae", "PyOD"],
    BAG_ROW: ["skae", "one member"],
    MEMBERS: ["skae", "one by one"],
    SEARCH: ["skae", "one by one"],
    UNEVEN: ["skae", "one by one"],
}
BOUNDS = {  # work: peer and least ratio of its seconds to skae's
    "10,000 x 784, 128-64-32, batch 256": ("tight torch", 1.7),
    TABLE: ("MLPRegressor", 3),
    ROW: ("PyOD", 3),
    BAG_ROW: ("one member", 1 / 4),
    MEMBERS: ("one by one", 5),
    SEARCH: ("one by one", 4),
    UNEVEN: ("one by one", 4),
}
LEAST_SHARE = 0.6  # of the machine's matrix-product peak, of the wide network
MOST_SECONDS = 1.5e-4  # of one row, or the ratio above
NOTES = {
    TABLE: "skae and PyOD return errors, MLPRegressor.predict reconstructions; tight torch is one full-batch forward",
    ROW: "decision_function of skae's and PyOD's detectors, MLPRegressor.predict, IsolationForest.score_samples",
    SMALL: "a tenth of the rows are outliers, unlabelled; another draw of rows each repeat",
    BAG_ROW: "64-32-8; a detector with n_estimators=48 against one with a single autoencoder",
    MEMBERS: "thirty epochs; a detector's n_estimators=32 against a loop over skae's own fits",
    SEARCH: "thirty epochs; BatchedGridSearchCV against GridSearchCV of the same skae estimator",
}
TOLERANCE = 0.05  # of the losses


def data(n, d):
    """Rows near a curved surface of 5 dimensions, standardised."""
    rng = np.random.default_rng(0)
    # With a fifth of this noise the mere order of the rows changes the loss of batches of 32 by up to 15 %.
    X = np.tanh(rng.normal(size=(n, 5)) @ rng.normal(size=(5, d))) + 0.5 * rng.normal(size=(n, d))
    return ((X - X.mean(0)) / X.std(0)).astype(np.float32)


def contaminated_data(n, d, seed):
    """Blobs on a curved surface of 2 dimensions; the last tenth of the rows is uniform in their box."""
    from sklearn.datasets import make_blobs

    rng = np.random.default_rng(seed)
    n_outliers = n // 10
    blobs, _ = make_blobs(n - n_outliers, 2, random_state=seed)
    inliers = np.tanh(blobs @ rng.normal(scale=0.1, size=(2, d))) + 0.3 * rng.normal(size=(len(blobs), d))
    return np.r_[inliers, rng.uniform(inliers.min(0), inliers.max(0), (n_outliers, d))].astype(np.float32)


def initial_weights(shapes):
    """One matrix, (fan_in, fan_out), a layer, uniform as in Glorot & Bengio 2010. Biases start at 0."""
    rng = np.random.default_rng(0)
    return [math.sqrt(6 / (i + o)) * rng.uniform(-1, 1, (i, o)).astype(np.float32) for i, o in shapes]


def start_alike(module):
    """Give the linear layers of a torch module the initial weights."""
    import torch

    layers = [m for m in module.modules() if isinstance(m, torch.nn.Linear)]
    weights = initial_weights([(layer.in_features, layer.out_features) for layer in layers])
    with torch.no_grad():
        for layer, weight in zip(layers, weights, strict=True):
            layer.weight.copy_(torch.from_numpy(weight.T))
            layer.bias.zero_()
    return module


class Skae:
    def __init__(self, hidden, batch_size, epochs):
        import torch

        from skae import AutoEncoderTransformer
        from skae.networks import DenseNetwork

        class AlikeNetwork(DenseNetwork):
            def build(self, *args):
                network = super().build(*args)
                layers = [*network.encoder.layers, *network.decoder.layers]
                with torch.no_grad():
                    for layer, weight in zip(
                        layers, initial_weights([x.weight.shape[1:] for x in layers]), strict=True
                    ):
                        layer.weight.copy_(torch.from_numpy(weight))
                        layer.bias.zero_()
                return network

        network = AlikeNetwork(hidden[:-1], "relu", code_activation="relu")
        options = {"learning_rate": "constant", "learning_rate_init": 1e-3, "random_state": 0, "device": "cpu"}
        self.model = AutoEncoderTransformer(
            hidden[-1], network=network, batch_size=batch_size, max_iter=epochs, **options
        )

    def fit(self, X):
        self.model.fit(X)

    def errors(self, X):
        return -self.model.score_samples(X)

    def table_scorer(self, X):
        return self.model.fit(X).score_samples

    def row_scorer(self, X):
        from skae import AutoEncoderOutlierDetector

        return AutoEncoderOutlierDetector(self.model).fit(X).decision_function

    @staticmethod
    def bag_row_scorer(X):
        from skae import AutoEncoderOutlierDetector

        return AutoEncoderOutlierDetector(small(), n_estimators=48, max_samples=500).fit(X).decision_function

    @staticmethod
    def train_members(X):
        from skae import AutoEncoderOutlierDetector

        AutoEncoderOutlierDetector(small(), n_estimators=32, max_samples=2000).fit(X)

    @staticmethod
    def search(X):
        from skae.model_selection import BatchedGridSearchCV

        return BatchedGridSearchCV(small(), GRID, cv=4, refit=False).fit(X).cv_results_["mean_test_score"]

    @staticmethod
    def outlier_scores(X, seed):
        from skae import AutoEncoderOutlierDetector

        return -AutoEncoderOutlierDetector(random_state=seed).fit(X).score_samples(X)


class PyOD:
    def __init__(self, hidden, batch_size, epochs):
        from pyod.models.auto_encoder import AutoEncoder

        class AlikeAutoEncoder(AutoEncoder):
            def build_model(self):
                super().build_model()
                start_alike(self.model)

        self.model = AlikeAutoEncoder(
            hidden_neuron_list=list(hidden),
            batch_size=batch_size,
            epoch_num=epochs,
            batch_norm=False,
            dropout_rate=0,
            preprocessing=False,
            optimizer_params={},
            random_state=0,
            verbose=0,
        )

    def fit(self, X):
        self.model.fit(X)

    def errors(self, X):
        return np.square(self.model.decision_function(X)) / X.shape[1]  # its error is the residuals' norm

    def table_scorer(self, X):
        return self.model.fit(X).decision_function

    row_scorer = table_scorer

    @staticmethod
    def outlier_scores(X, seed):
        from pyod.models.auto_encoder import AutoEncoder

        return AutoEncoder(random_state=seed, verbose=0).fit(X).decision_function(X)


class MLP:
    def __init__(self, hidden, batch_size, epochs):
        from sklearn.neural_network import MLPRegressor

        class AlikeRegressor(MLPRegressor):
            def _initialize(self, y, layer_units, dtype):
                self._weights = iter(initial_weights(list(pairwise(layer_units))))
                super()._initialize(y, layer_units, dtype)

            def _init_coef(self, fan_in, fan_out, dtype):
                return next(self._weights).astype(dtype), np.zeros(fan_out, dtype)

        self.model = AlikeRegressor(
            hidden_layer_sizes=(*hidden, *hidden[-2::-1]),
            alpha=0,
            batch_size=batch_size,
            max_iter=epochs,
            n_iter_no_change=epochs,
            random_state=0,
        )

    def fit(self, X):
        self.model.fit(X, X)

    def errors(self, X):
        return np.square(self.model.predict(X) - X).mean(1)

    def table_scorer(self, X):
        return self.model.fit(X, X).predict

    row_scorer = table_scorer


class Tight:
    """A torch loop over resident rows, shuffled once an epoch, with a fused Adam."""

    def __init__(self, hidden, batch_size, epochs):
        self.hidden, self.batch_size, self.epochs = hidden, batch_size, epochs

    def make_module(self, d):
        import torch

        torch.manual_seed(0)
        layers = [torch.nn.Linear(i, o) for i, o in pairwise([d, *self.hidden, *self.hidden[-2::-1], d])]
        return start_alike(torch.nn.Sequential(*[m for layer in layers for m in (layer, torch.nn.ReLU())][:-1]))

    def batches(self, X):
        import torch

        return X[torch.randperm(len(X))].split(self.batch_size)

    def fit(self, X):
        import torch

        self.module = self.make_module(X.shape[1])
        optimizer = torch.optim.Adam(self.module.parameters(), lr=1e-3, fused=True)
        rows = torch.from_numpy(X)
        for _ in range(self.epochs):
            for x in self.batches(rows):
                optimizer.zero_grad(set_to_none=True)
                torch.nn.functional.mse_loss(self.module(x), x).backward()
                optimizer.step()

    def errors(self, X):
        import torch

        with torch.no_grad():
            x = torch.from_numpy(X)
            return (self.module(x) - x).square().mean(1).numpy()

    def table_scorer(self, X):
        self.fit(X)
        return self.errors


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
            self.make_module(X.shape[1]),
            optimizer=torch.optim.Adam,
            lr=1e-3,
            batch_size=self.batch_size,
            max_epochs=self.epochs,
            train_split=None,
            iterator_train__shuffle=True,
            verbose=0,
        )
        self.module = net.fit(X, X).module_


def small():
    from skae import AutoEncoderTransformer

    return AutoEncoderTransformer(
        8, hidden_layer_sizes=(64, 32), batch_size=32, max_iter=30, random_state=0, device="cpu"
    )


GRID = {"learning_rate_init": np.geomspace(1e-4, 1e-2, 8).tolist()}


class OneByOne:
    @staticmethod
    def train_members(X):
        rng = np.random.default_rng(0)
        members = [small().set_params(random_state=k).fit(X[rng.permutation(len(X))[:2000]]) for k in range(32)]
        np.mean([member.score_samples(X) for member in members], axis=0)  # as a detector does for its threshold

    @staticmethod
    def search(X):
        from sklearn.model_selection import GridSearchCV

        return GridSearchCV(small(), GRID, cv=4, refit=False).fit(X).cv_results_["mean_test_score"]


class OneMember:
    @staticmethod
    def bag_row_scorer(X):
        from skae import AutoEncoderOutlierDetector

        return AutoEncoderOutlierDetector(small()).fit(X).decision_function


class Forest:
    def __init__(self, hidden, batch_size, epochs):
        from sklearn.ensemble import IsolationForest

        self.model = IsolationForest(random_state=0)

    def row_scorer(self, X):
        return self.model.fit(X).score_samples


PEERS = {
    "skae": Skae,
    "MLPRegressor": MLP,
    "tight torch": Tight,
    "DataLoader": Loader,
    "skorch": Skorch,
    "PyOD": PyOD,
    "IsolationForest": Forest,
    "one by one": OneByOne,
    "one member": OneMember,
}


def product_rate():
    """Return float32 operations a second of a product of matrices of 1024 x 1024, the fastest of ten."""
    import torch

    a, b, out = torch.randn(3, 1024, 1024).unbind()
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        seconds.append(time.perf_counter() - start)
    return 2 * 1024**3 / min(seconds)


def timed(function, *args):
    """Return seconds and what the function returns."""
    start = time.perf_counter()
    result = function(*args)
    return time.perf_counter() - start, result


def measure(peer, work, seed, scorers):
    """Return seconds and what else there is to know."""
    if work in WORKS:
        n, d, hidden, batch_size, epochs = WORKS[work]
        X, model = data(n, d), PEERS[peer](hidden, batch_size, epochs)
        peaks = [product_rate()] if peer == "skae" else []
        seconds, _ = timed(model.fit, X)
        answer = {"seconds": seconds, "loss": float(np.mean(model.errors(X)))}
        if peaks:
            # two operations a weight and row forwards, for the weights' gradient and for the inputs', but the first
            weights = [i * o for i, o in pairwise([d, *hidden])]
            rate = 2 * (3 * 2 * sum(weights) - weights[0]) * n * epochs / seconds
            answer["peak"] = max(*peaks, product_rate())
            answer["share"] = rate / answer["peak"]
        return answer
    if work == SMALL:
        from sklearn.metrics import roc_auc_score

        X = contaminated_data(300, 10, seed)
        seconds, scores = timed(PEERS[peer].outlier_scores, X, seed)
        return {"seconds": seconds, "auroc": roc_auc_score(np.arange(300) >= 270, scores)}
    if work in (MEMBERS, SEARCH, UNEVEN):
        X = data({MEMBERS: 20_000, SEARCH: 2000, UNEVEN: 2001}[work], 30)
        return {"seconds": timed(PEERS[peer].train_members if work == MEMBERS else PEERS[peer].search, X)[0]}
    if work not in scorers:
        if work == BAG_ROW:
            make_scorer = PEERS[peer].bag_row_scorer
        else:
            model = PEERS[peer]((64, 32, 8), 256, 1)
            make_scorer = model.table_scorer if work == TABLE else model.row_scorer
        scorers[work] = make_scorer(data(2000, 30))
    if work == TABLE:
        return {"seconds": timed(scorers[work], data(1_000_000, 30))[0]}
    row = data(50, 30)[:1]
    return {"seconds": float(np.median([timed(scorers[work], row)[0] for _ in range(200)]))}


def serve(peer, threads):
    """Measure what is asked for on standard input."""
    import torch

    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    scorers: dict = {}
    for line in sys.stdin:
        print(json.dumps(measure(peer, *json.loads(line), scorers)), flush=True)


def report(work, answers):
    """Print a table."""
    print(f"\n{work}")
    if work in NOTES:
        print(f"  ({NOTES[work]})")
    seconds = {peer: np.array([a["seconds"] for a in answers[peer]]) for peer in answers}
    for peer in seconds:
        note = f"   loss {answers[peer][-1]['loss']:.4f}" if work in WORKS else ""
        if work == SMALL:
            note = f"   AUROC {np.mean([a['auroc'] for a in answers[peer]]):.3f}"
        median = np.median(seconds[peer])
        print(f"  {peer:16s}{1e3 * median:12.3f} ms   {median / np.median(seconds['skae']):6.2f} times skae's{note}")
    if work in WORKS:
        losses = [a[-1]["loss"] for a in answers.values()]
        spread = (max(losses) - min(losses)) / min(losses)
        verdict = "within" if spread <= TOLERANCE else "NOT within"
        print(f"  largest loss over smallest: +{spread:.1%}, {verdict} {TOLERANCE:.0%}")
        shares = np.array([a["share"] for a in answers["skae"]])
        peak = np.median([a["peak"] for a in answers["skae"]])
        print(f"  skae reaches {np.median(shares):.0%} of the machine's matrix-product peak, {peak / 1e9:.0f} GFLOP/s")
        if work in BOUNDS:
            compare(f"share of the peak, at least {LEAST_SHARE:.0%}", shares, LEAST_SHARE)
    if work in BOUNDS:
        peer, least = BOUNDS[work]
        ratios = seconds[peer] / seconds["skae"]
        if least < 1:
            compare(f"skae's seconds over {peer}'s, at most {1 / least:.2g}", 1 / ratios, 1 / least, at_most=True)
        else:
            compare(f"{peer}'s seconds over skae's, at least {least}", ratios, least)
    if work == ROW:
        most = 1e3 * MOST_SECONDS
        compare(f"or at most {most:.2f} ms", 1e3 * seconds["skae"], most, at_most=True)
    sys.stdout.flush()


def compare(what, values, bound, at_most=False):
    """Print the values of all turns, and in how many they keep the bound."""
    n_kept = int((values <= bound).sum() if at_most else (values >= bound).sum())
    listed = ", ".join(f"{value:.2f}" for value in values)
    print(f"  BOUND {what}: {listed}: {'reached' if n_kept == len(values) else f'in {n_kept} of {len(values)} turns'}")


def main(repeats, threads):
    """Print a table a work."""
    print(f"\n{threads} thread{'s' * (threads > 1)}, {repeats} turns")
    command = [sys.executable, __file__, "--threads", str(threads), "--serve"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}  # NumPy's, with which MLPRegressor computes
    workers = {peer: subprocess.Popen([*command, peer], env=environment, **pipes) for peer in PEERS}

    def ask(peer, work, seed):
        workers[peer].stdin.write(json.dumps([work, seed]) + "\n")
        workers[peer].stdin.flush()
        return json.loads(workers[peer].stdout.readline())

    try:
        for work, peers in [*((work, TRAINED) for work in WORKS), *OTHERS.items()]:
            answers: dict = {peer: [] for peer in peers}
            for repeat in range(repeats + 1):
                for peer in peers:
                    answer = ask(peer, work, repeat)
                    if repeat:  # the first warms up
                        answers[peer].append(answer)
            report(work, answers)
    finally:
        for worker in workers.values():
            worker.terminate()


def profile(threads, n_lines=14):
    """Print where skae's time goes in a training of the wide network, in a table of scores and in a search."""
    import torch

    torch.set_num_threads(threads)
    wide = list(WORKS)[2]
    n, d, hidden, batch_size, epochs = WORKS[wide]
    X, model = data(n, d), Skae(hidden, batch_size, epochs)
    table, score = data(1_000_000, 30), Skae((64, 32, 8), 256, 1).table_scorer(data(2000, 30))
    for work, function, argument in (
        (wide, model.fit, X),
        (TABLE, score, table),
        (SEARCH, Skae.search, data(2000, 30)),
    ):
        function(argument)
        profiler = cProfile.Profile()
        profiler.runcall(function, argument)
        stats = pstats.Stats(profiler).stats
        total = sum(own for _, _, own, _, _ in stats.values())
        print(f"\n{work}: {1e3 * total:.0f} ms under the profiler, by function without what it calls")
        ordered = sorted(stats.items(), key=lambda item: -item[1][2])[:n_lines]
        for (path, _, name), (_, n_calls, own, _, _) in ordered:
            where = name if path == "~" else f"{Path(path).name}: {name}"
            print(f"  {own / total:5.1%} {n_calls:8,} calls  {where}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--profile", action="store_true", help="print where skae's time goes, and nothing else")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.threads[0])
    elif arguments.profile:
        profile(arguments.threads[0])
    else:
        for n_threads in arguments.threads:
            main(arguments.repeats, n_threads)
