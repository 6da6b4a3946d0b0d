"""The default outlier detector: its ranking, threshold, p-values and parts, beside peers that run in the same process.

Run: OMP_NUM_THREADS=1 python benchmarks/detector.py [--only PART ...] [--quick]. Tables are Markdown. Detectors are at
their defaults unless a table says otherwise. --quick takes fewer data sets, seeds and splits: it shows that everything
works and not what it can reach.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
from scipy.stats import false_discovery_control
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    precision_recall_fscore_support,
    roc_auc_score,
)
from sklearn.model_selection import train_test_split
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import StandardScaler

from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer, DenoisingAutoEncoder
from skae.networks import ConvNetwork, LSTMNetwork
from skae.outliers import bagging
from skae.outliers.default import default_bags

FOLDER = Path(os.environ.get("SKAE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
QUICK_SETS = ("14_glass", "37_Stamps", "39_vertebral", "43_WDBC", "45_wine")

PARTS: dict[str, Callable[[bool], None]] = {}


def part(run):
    """Enter a function of ``quick`` that prints tables."""
    PARTS[run.__name__] = run
    return run


def show(columns, rows, digits=3):
    """Print a Markdown table of rows that begin with a name."""
    cells = [[x if isinstance(x, str) else f"{x:.{digits}f}" for x in row] for row in rows]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    print("\n".join("| " + " | ".join(row) + " |" for row in cells), end="\n\n", flush=True)


def with_mean(rows):
    """Return named rows of figures and a last one of their means."""
    return [*rows, ["mean", *np.mean([row[1:] for row in rows], axis=0)]]


def ours(seed, novelty, **parameters):
    return AutoEncoderOutlierDetector(novelty=novelty, random_state=seed, **parameters)


def forest(seed):
    return IsolationForest(random_state=seed)


def errors(detector, X_train, X_test):
    return -detector.fit(X_train).score_samples(X_test)


# ---- ranking -----------------------------------------------------------------------------------------------


def pca_errors(X_train, X_test):
    pca = PCA(32, random_state=0).fit(X_train)
    return np.square(X_test - pca.inverse_transform(pca.transform(X_test))).sum(1)


def neighbour_distances(X_train, X_test):
    return NearestNeighbors(n_neighbors=1).fit(X_train).kneighbors(X_test)[0][:, 0]


def convolutional():
    """Return a detector whose width and noise were the best of three on the digits 2 and 4, and on 3 but not on 0."""
    autoencoder = DenoisingAutoEncoder(64, network=ConvNetwork(), noise_level=1.0, max_iter=10, random_state=0)
    return AutoEncoderOutlierDetector(autoencoder, novelty=True)


DIGIT_METHODS = {
    "PCA(32)": pca_errors,
    "nearest neighbour": neighbour_distances,
    "IsolationForest": lambda *rows: errors(forest(0), *rows),
    "default": lambda *rows: errors(ours(0, True), *rows),
    "ConvNetwork": lambda *rows: errors(convolutional(), *rows),
}


@part
def digits(quick):
    """One digit of MNIST is normal: all its training images train, all test images are scored."""
    data = np.load(FOLDER / "mnist.npz", allow_pickle=False)
    X, X_test = (data[name].reshape(-1, 784).astype(np.float32) / 255 for name in ("x_train", "x_test"))
    rows, seconds = [], np.zeros(len(DIGIT_METHODS))
    for digit in (2,) if quick else (1, 2, 4, 5, 6, 7, 9):
        X_train, row = X[data["y_train"] == digit], [str(digit)]
        for k, method in enumerate(DIGIT_METHODS.values()):
            start = time.perf_counter()
            row.append(roc_auc_score(data["y_test"] != digit, method(X_train, X_test)))
            seconds[k] += time.perf_counter() - start
        rows.append(row)
    rows = with_mean(rows)
    show(["AUROC, novelty=True", *DIGIT_METHODS], [*rows, ["seconds", *(f"{s:.0f}" for s in seconds)]])


def lstm(seed):
    """Return the autoencoder of tutorials.py and of examples/plot_ecg.py."""
    return AutoEncoderTransformer(16, network=LSTMNetwork((140, 1)), max_iter=10, random_state=seed)


def dense(seed):
    """Return the tutorials' autoencoder."""
    return AutoEncoderTransformer(8, hidden_layer_sizes=(32, 16), loss="absolute_error", random_state=seed)


def dense_denoising(seed):
    """Return the best of six on the random splits 0 and 21 of these rows."""
    return DenoisingAutoEncoder(
        4, hidden_layer_sizes=(64, 32), activation="silu", noise_level=1.0, max_iter=30, random_state=seed
    )


@part
def ecg(quick):
    """ECG5000, all rows in stratified random fifths, one of which tests; the normal rows of the others train."""
    data = np.load(FOLDER / "ecg5000.npz", allow_pickle=False)
    X = np.r_[data["X_train"], data["X_test"]].astype(np.float32)
    y = 1 - 2 * np.r_[data["y_train"], data["y_test"]].astype(int)
    found = defaultdict(list)  # by method and threshold, a row of figures for each split
    for seed in range(1 if quick else 5):
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=seed)
        methods = {
            "default": ours(seed, True),
            "LSTM": AutoEncoderOutlierDetector(lstm(seed), novelty=True),
            "dense": AutoEncoderOutlierDetector(dense(seed), novelty=True),
            "dense, denoising": AutoEncoderOutlierDetector(dense_denoising(seed), novelty=True),
            "IsolationForest": forest(seed),
            "LOF": LocalOutlierFactor(novelty=True),
        }
        for name, detector in methods.items():
            detector.fit(X_train[y_train == 1])
            for threshold in ("auto", "mean+1*std") if hasattr(detector, "set_threshold") else ("auto",):
                if threshold != "auto":
                    detector.set_threshold(threshold)
                labels, area = detector.predict(X_test), roc_auc_score(y_test, detector.score_samples(X_test))
                precision, recall, f1, _ = precision_recall_fscore_support(y_test, labels, labels=[-1], average="macro")
                found[name, threshold].append([area, np.mean(labels == y_test), precision, recall, f1])
    means, stds = ({key: f(splits, axis=0) for key, splits in found.items()} for f in (np.mean, np.std))
    rows = [
        [*key, *(f"{mean:.3f} ± {std:.3f}" for mean, std in zip(means[key], stds[key], strict=True))] for key in found
    ]
    show(["novelty=True", "threshold", "AUROC", "accuracy", "precision", "recall", "F1"], rows)


@part
def unlabelled(quick):
    """Half of the normal rows and 5 % of the outliers train, unlabelled; the others are scored."""
    rows = []
    for name, data, outlier in (
        ("breast cancer, malignant", load_breast_cancer(), 0),
        ("wine, class 2", load_wine(), 2),
        ("digits, 8", load_digits(), 8),
    ):
        found = []
        for seed in range(1 if quick else 5):
            rng = np.random.default_rng(seed)
            is_outlier = data.target == outlier
            normal, other = (rng.permutation(np.flatnonzero(rows)) for rows in (~is_outlier, is_outlier))
            train = np.r_[normal[: len(normal) // 2], other[: round(0.05 * len(other))]]
            test = np.delete(np.arange(len(is_outlier)), train)
            found.append(
                [
                    roc_auc_score(is_outlier[test], errors(detector, data.data[train], data.data[test]))
                    for detector in (ours(seed, False), forest(seed))
                ]
            )
        rows.append([name, *np.mean(found, axis=0), *np.std(found, axis=0)])
    show(["AUROC, novelty=False", "default", "IsolationForest", "default: std", "IsolationForest: std"], rows)


# ---- thresholds and p-values -------------------------------------------------------------------------------


def plane(rng):
    """Return 500 training rows near a plane, 270 more and 30 off it."""
    X = rng.normal(size=(800, 2)) @ np.random.default_rng(0).normal(size=(2, 6)) + 0.3 * rng.normal(size=(800, 6))
    X[770:] += 1.5 * rng.normal(size=(30, 6))
    return X[:500], X[500:]


def breast_cancer(rng):
    """Return 257 benign training rows, 100 more and 30 malignant ones."""
    data = load_breast_cancer()
    benign, malignant = (rng.permutation(np.flatnonzero(data.target == c)) for c in (1, 0))
    return data.data[benign[:257]], data.data[np.r_[benign[257:], malignant[:30]]]


def pendigits(rng):
    """Return 500 training rows, 270 more and 30 of another digit."""
    data = np.load(FOLDER / "adbench" / "28_pendigits.npz", allow_pickle=False)
    normal, other = (rng.permutation(np.flatnonzero(data["y"] == c)) for c in (0, 1))
    return data["X"][normal[:500]], data["X"][np.r_[normal[500:770], other[:30]]]


@part
def false_discoveries(quick):
    """p-values adjusted to a rate of 10 %: mean rate and power over splits, by the rows that they are compared with."""
    rows, n_splits = [], 5 if quick else 200
    for draw in (plane, breast_cancer, pendigits):
        for what, fraction in (("out-of-bag", None), ("0.2 held out", 0.2), ("0.5 held out", 0.5)):
            rates, power, start = [], [], time.perf_counter()
            for seed in range(n_splits):
                X_train, X_test = draw(np.random.default_rng(1000 + seed))
                detector = ours(seed, True, calibration_fraction=fraction).fit(X_train)
                found = false_discovery_control(detector.p_values(X_test)) <= 0.1
                rates.append(found[:-30].sum() / max(1, found.sum()))
                power.append(found[-30:].mean())
            error = np.std(rates) / np.sqrt(n_splits)
            took = (time.perf_counter() - start) / n_splits
            rows.append([f"{draw.__name__}, {what}", np.mean(rates), error, np.mean(power), took])
    show([f"{n_splits} splits", "false discovery rate", "its standard error", "power", "seconds a split"], rows)


@cache
def adbench(quick):
    """Return the files of the sets of ADBench."""
    files = sorted((FOLDER / "adbench").glob("*.npz"), key=lambda path: int(path.stem.split("_")[0]))
    return [path for path in files if not quick or path.stem in QUICK_SETS]


def adbench_splits(regime, quick):
    """Yield (name, seed, X_train, X_test, y_test)."""
    from adbench import split

    for path in adbench(quick):
        for seed in (0,) if quick else (0, 1, 2):
            yield path.stem, seed, *split(path, seed, regime)


THRESHOLD_METHODS = {  # name -> (seed, novelty) -> detector
    "default": ours,
    "IsolationForest": lambda seed, novelty: forest(seed),
    "LocalOutlierFactor": lambda seed, novelty: LocalOutlierFactor(novelty=novelty),
}


def labels(detector, X_train, X_test, regime):
    return detector.fit(X_train).predict(X_test) if regime == "oneclass" else detector.fit_predict(X_train)


@part
def thresholds(quick):
    """Labels by the default thresholds on the sets of ADBench; in "unsup" training rows are labelled."""
    for regime in ("oneclass", "unsup"):
        rows, per_set = [], []
        found = {name: defaultdict(list) for name in THRESHOLD_METHODS}
        for name, seed, X_train, X_test, y_test in adbench_splits(regime, quick):
            for method, make in THRESHOLD_METHODS.items():
                outlier = labels(make(seed, regime == "oneclass"), X_train, X_test, regime) == -1
                found[method][name].append(
                    [f1_score(y_test, outlier), balanced_accuracy_score(y_test, outlier), outlier[y_test == 0].mean()]
                )
        for method, of_sets in found.items():
            figures = np.array(list(of_sets.values()))  # (n_sets, n_seeds, 3)
            alarms, of_seeds = figures[..., 2], figures.mean(0)[:, :2].std(0)
            of_sets_alarms = [np.median(alarms.mean(1)), alarms.mean(1).max(), alarms.max()]
            rows.append([method, *figures.mean((0, 1))[:2], *of_seeds, *of_sets_alarms])
        per_set = [[name, *np.mean(found["default"][name], axis=0)] for name in found["default"]]
        columns = ["F1", "balanced accuracy", "F1: std of seeds", "the other's", "false alarms: median", "worst set"]
        show([regime, *columns, "worst fit"], rows)
        show([f"{regime}, default", "F1", "balanced accuracy", "false alarms"], per_set)


# ---- contaminated rows -------------------------------------------------------------------------------------


def shuffled(X, n, rng):
    """Return rows whose values are each drawn from another row: usual values in unusual company."""
    return np.column_stack([rng.choice(column, n) for column in X.T])


def gross(X, n, rng):
    """Return rows with one value five to ten deviations off."""
    rows, column = X[rng.integers(len(X), size=n)], rng.integers(X.shape[1], size=n)
    deviation = X.std(0)[column]
    rows[np.arange(n), column] += rng.choice([-1, 1], n) * rng.uniform(5, 10, n) * deviation
    return rows


def wide(X, n, rng):
    """Return rows of independent columns, twice as wide."""
    return X.mean(0) + 2 * X.std(0) * rng.normal(size=(n, X.shape[1]))


def cluster(X, n, rng):
    """Return rows that lie close together, two deviations off in each column."""
    return X.mean(0) + X.std(0) * (2 * rng.choice([-1, 1], X.shape[1]) + 0.1 * rng.normal(size=(n, X.shape[1])))


TABLES = ("6_cardio", "28_pendigits", "30_satellite", "41_Waveform", "43_WDBC", "32_shuttle")


@part
def contaminated(quick):
    """Normal rows of six sets with outliers of one kind among them, unlabelled: training rows, and new rows, scored."""
    makers = {
        "novelty=False": lambda seed: ours(seed, False),
        "novelty=True": lambda seed: ours(seed, True),
        "IsolationForest": forest,
    }
    rows = []
    for make_outliers in (shuffled, gross, wide, cluster):
        for share in (0.03,) if quick else (0.01, 0.03, 0.1):
            found = []
            for seed, name in enumerate(TABLES[:2] if quick else TABLES):
                data, rng = np.load(FOLDER / "adbench" / f"{name}.npz", allow_pickle=False), np.random.default_rng(seed)
                normal = rng.permutation(data["X"][data["y"] == 0].astype(np.float64))[:3000]
                n_outliers = 2 * round(0.5 * share / (1 - share) * len(normal))
                X = np.r_[normal[::2], normal[1::2], make_outliers(normal, n_outliers, rng)]
                y = np.r_[np.zeros(len(normal)), np.ones(n_outliers)]
                train = np.zeros(len(X), dtype=bool)
                train[: len(normal[::2])] = train[len(X) - n_outliers // 2 :] = True
                row = []
                for make in makers.values():
                    detector = make(seed).fit(X[train])
                    row += [roc_auc_score(y[part], -detector.score_samples(X[part])) for part in (train, ~train)]
                found.append(row)
            rows.append([f"{make_outliers.__name__}, {share:.0%}", *np.mean(found, axis=0)])
    columns = [f"{name}: {which}" for name in makers for which in ("training rows", "new rows")]
    show(["AUROC", *columns], rows)


# ---- time --------------------------------------------------------------------------------------------------


@part
def seconds(quick):
    """Seconds to fit and to score the same rows."""
    rows = []
    for shape in ((300, 10), (2000, 30), (2000, 1500), (20_000, 30)):
        X, row = np.random.default_rng(0).normal(size=shape).astype(np.float32), ["{:,} x {:,}".format(*shape)]
        for detector in (ours(0, True), ours(0, False), forest(0)):
            start = time.perf_counter()
            errors(detector, X, X)
            row.append(time.perf_counter() - start)
        rows.append(row)
    show(["fit and score", "novelty=True", "novelty=False", "IsolationForest"], rows, 2)


# ---- parts of the default ----------------------------------------------------------------------------------


class Standardised:
    """`StandardScaler` in the place of `ColumnScaler`."""

    def __init__(self, X):
        self._scaler = StandardScaler().fit(X)

    def transform(self, X):
        return self._scaler.transform(X).astype(np.float32)


UNTRAINED = {"max_iter": 1, "learning_rate_init": 1e-12}
CHANGES = {  # regime -> what -> parameters of the members
    "oneclass": {
        "whole": {},
        "not trained": UNTRAINED,
        "dense network, 128-64-128": {"n_components": 64, "network": None, "learning_rate_init": 4e-3},
        "at most 256 prototypes": {"n_components": 256},
        "noise of 0.05 to 0.5": {"noise_level": (0.05, 0.5)},
        "noise of 1": {"noise_level": 1.0},
        "no noise": {"noise_level": 0.0},
        "absolute error": {"loss": "absolute_error"},
        "columns standardised": {},
    },
    "unsup": {
        "whole": {},
        "not trained": UNTRAINED,
        "dense network, 64-8-64": {
            "n_components": 8,
            "hidden_layer_sizes": (64,),
            "activation": "silu",
            "network": None,
            "learning_rate_init": 4e-3,
        },
        "noise of 0.05 to 0.5": {"noise_level": (0.05, 0.5)},
        "noise of 1": {"noise_level": 1.0},
        "no noise": {"noise_level": 0.0},
        "temperature of 1": {"network__temperature": 1.0},
        "squared error": {"loss": "squared_error"},
        "columns standardised": {},
    },
}


def changed_bag(what, regime, seed, X):
    """Return the fitted default with a change."""
    model = default_bags(*X.shape, regime == "oneclass", "auto", "auto").set_params(random_state=seed)
    for autoencoder, _, _ in model.bags:
        change = dict(CHANGES[regime][what])
        if change.get("network", "") is not None and "n_components" in change:  # as many as there are, at most
            change["n_components"] = min(change["n_components"], autoencoder.n_components)
        autoencoder.set_params(**change)
    scaler = Standardised if what == "columns standardised" else bagging.ColumnScaler
    with patch.object(bagging, "ColumnScaler", scaler):
        return model.fit(X)


def views(model, X, regime):
    """Yield (what, errors) of a fitted default whose members' errors are put together otherwise."""
    Z = model.scale(X)
    of_members = np.stack([-member.score_samples(Z) for member in model.autoencoders_])
    relative, bag = of_members / model._typical[:, None], np.array([member.bag for member in model._members])
    bags = [np.flatnonzero(bag == k) for k in np.unique(bag)]

    def combined(errors, n_members=None, join=np.max):
        return join([errors[rows[:n_members]].mean(0) for rows in bags], axis=0)

    yield "errors not relative", combined(of_members)
    for n_members in (1, 2, 5, 10, 25):
        if n_members < len(bags[0]):
            yield f"{n_members} of {len(bags[0])} members a bag", combined(relative, n_members)
    if regime == "unsup":  # with one bag, where rows are few, all are the same
        yield "few rows a member alone", relative[bags[0]].mean(0)
        yield "more rows a member alone", relative[bags[-1]].mean(0)
        yield "mean of the two bags", combined(relative, join=np.mean)


@part
def ablation(quick):
    """The sets of ADBench, parts of the default changed one at a time; "worse" and "better" count fits by AUROC."""
    for regime in ("oneclass", "unsup"):
        found = defaultdict(lambda: defaultdict(list))  # what -> seed -> figures of sets
        for _, seed, X_train, X_test, y in adbench_splits(regime, quick):
            for what in CHANGES[regime]:
                model = changed_bag(what, regime, seed, X_train)
                results = [
                    (what, -model.score_samples(X_test)),
                    *(views(model, X_test, regime) if what == "whole" else []),
                ]
                for name, values in results:
                    found[name][seed].append([roc_auc_score(y, values), average_precision_score(y, values)])
        figures = {what: np.array(list(of_seeds.values())) for what, of_seeds in found.items()}  # (seeds, sets, 2)
        rows = []
        for what, values in figures.items():
            difference = values - figures["whole"]
            worse, better = ((sign * np.round(difference[..., 0], 3) > 0).sum() for sign in (-1, 1))
            mean, of_seeds = difference.mean((0, 1)), difference.mean(1).std(0)
            rows.append([what, *values.mean((0, 1)), *values.mean(1).std(0), *mean, *of_seeds, f"{worse}", f"{better}"])
        columns = ["AUROC", "AP", "AUROC: std of seeds", "AP: std", "AUROC - whole", "AP - whole", "std", "std"]
        show([regime, *columns, "worse", "better"], rows, 4)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    for name in arguments.only:
        print(f"### {name}\n\n{PARTS[name].__doc__}\n", flush=True)
        PARTS[name](arguments.quick)
