"""Mixed tables: the detector on the frame against the same, IsolationForest and kNN behind encoders; imputation.

Run: OMP_NUM_THREADS=1 python benchmarks/tables.py {oneclass,unsup,imputation}. Each set of ADBench becomes a mixed
table: half of its columns are cut into eight quantile levels, named by strings, and 10 % of all cells are emptied at
random, both with seed 0. The protocols are those of benchmarks/adbench.py. "imputation" empties 10 % of the cells of
standardised sets and compares what is filled in with what was there, with seeds 0 to 2; half of the columns as levels
give the share of right ones.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import IsolationForest
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skae import AutoEncoderOutlierDetector, DenoisingAutoEncoder

ROOT = Path(__file__).parents[1]
CAP = 10_000


def mixed_table(X, seed=0, share_of_categories=0.5, share_of_holes=0.1):
    """Cut some columns into eight quantile levels and empty some cells."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(X.astype(float), columns=[f"x{j}" for j in range(X.shape[1])])
    for j in rng.permutation(X.shape[1])[: round(share_of_categories * X.shape[1])]:
        edges = np.unique(np.quantile(X[:, j], np.arange(1, 8) / 8))
        table[f"x{j}"] = [f"level {i}" for i in np.searchsorted(edges, X[:, j])]
    return table.mask(rng.random(X.shape) < share_of_holes)


def split(path, seed, protocol):
    """Return training rows, test rows and the labels of these, 1 for anomalies."""
    data = np.load(path, allow_pickle=False)
    X, y = data["X"], data["y"].astype(int)
    rng = np.random.default_rng(1000 + seed)
    if len(X) > CAP:
        index, _ = train_test_split(np.arange(len(X)), train_size=CAP, stratify=y, random_state=seed)
        if y[index].sum() < 10:
            index = np.unique(np.r_[index, np.flatnonzero(y)])
        X, y = X[index], y[index]
    table = mixed_table(X)
    if protocol == "unsup":
        return table, table, y
    normal = rng.permutation(np.flatnonzero(y == 0))
    train, test = np.split(normal, [len(normal) // 2])
    test = np.r_[test, np.flatnonzero(y == 1)]
    # a level or a number may be missing in training
    return table.iloc[train], table.iloc[test], y[test]


def encoded(estimator, indicators=False, scaled=False):
    """Return a pipeline of encoders and an estimator."""
    numbers = [SimpleImputer(add_indicator=indicators, keep_empty_features=True)] + [StandardScaler()] * scaled
    categories = SimpleImputer(strategy="most_frequent", add_indicator=indicators, keep_empty_features=True)
    encoder = make_column_transformer(
        (make_pipeline(*numbers), make_column_selector(dtype_include="number")),
        (
            make_pipeline(categories, OneHotEncoder(handle_unknown="ignore", sparse_output=False)),
            make_column_selector(dtype_exclude="number"),
        ),
    )
    return make_pipeline(encoder, estimator)


class KNN(NearestNeighbors):
    """Score by the distance to the fifth neighbour, as PyOD's KNN does."""

    def score_samples(self, X):
        """Return minus the distance; a row is no neighbour of its own."""
        own = len(X) == self.n_samples_fit_ and np.array_equal(X, self._fit_X)
        return -self.kneighbors(None if own else X)[0][:, -1]


def detectors(protocol, seed):
    """Return unfitted detectors by name."""

    def make():
        return AutoEncoderOutlierDetector(novelty=protocol == "oneclass", random_state=seed)

    return {
        "frame": make(),
        "encoded": encoded(make()),
        "encoded, indicators": encoded(make(), indicators=True),
        "IsolationForest": encoded(IsolationForest(random_state=seed)),
        "kNN": encoded(KNN(n_neighbors=5), scaled=True),
    }


def numeric_sets(folder):
    """Yield names and rows, at most 2,000, of sets of scikit-learn and ADBench."""
    for load in (load_wine, load_breast_cancer, load_diabetes):
        yield load.__name__[5:], load().data
    for name in ("28_pendigits", "30_satellite"):
        X = np.load(folder / f"{name}.npz", allow_pickle=False)["X"].astype(float)
        yield name, X[np.random.default_rng(0).permutation(len(X))[:2000]]


def impute(folder, seeds):
    """Print the root mean squared error of imputed numbers and the share of right levels."""
    imputers = {
        "SimpleImputer": lambda seed: SimpleImputer(),
        "KNNImputer": lambda seed: KNNImputer(),
        "IterativeImputer": lambda seed: IterativeImputer(random_state=seed),
    }
    names = [*imputers, "reconstruct", "levels: most frequent", "levels: reconstruct"]
    print("| set |", " | ".join(names), "|")
    print("|---" * (1 + len(names)) + "|")
    results = []
    for name, X in numeric_sets(folder):
        X, of_set = StandardScaler().fit_transform(X), []
        for seed in seeds:
            empty = np.random.default_rng(seed).random(X.shape) < 0.1
            with_holes = np.where(empty, np.nan, X)
            filled = [make(seed).fit_transform(with_holes) for make in imputers.values()]
            filled.append(denoiser(seed).fit(with_holes).reconstruct(with_holes))
            errors = [np.sqrt(np.mean(np.square(F - X)[empty])) for F in filled]

            table = mixed_table(X, seed, share_of_holes=0)
            levels = table.select_dtypes(exclude="number").columns
            table, holes = table.mask(empty), empty[:, table.columns.isin(levels)]
            truth = mixed_table(X, seed, share_of_holes=0)[levels].to_numpy()[holes]
            frequent = SimpleImputer(strategy="most_frequent").fit_transform(table[levels])[holes]
            found = denoiser(seed).fit(table).reconstruct(table)[levels].to_numpy()[holes]
            of_set.append([*errors, np.mean(frequent == truth), np.mean(found == truth)])
        results.append(np.mean(of_set, axis=0))
        print(f"| {name} |", " | ".join(f"{value:.3f}" for value in results[-1]), "|", flush=True)
    print("| mean |", " | ".join(f"{value:.3f}" for value in np.mean(results, axis=0)), "|")


def denoiser(seed):
    """Return the imputer of the user guide."""
    return DenoisingAutoEncoder(corruption="masking", noise_level=0.2, random_state=seed)


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocol", choices=["oneclass", "unsup", "imputation"])
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "adbench")
    args = parser.parse_args()
    if args.protocol == "imputation":
        return impute(args.data, args.seeds or [0, 1, 2])
    names = args.only or list(detectors(args.protocol, 0))
    print("| set |", " | ".join(names), "|")
    print("|---" * (1 + len(names)) + "|")
    results, seconds = [], np.zeros(len(names))
    for path in sorted(args.data.glob("*.npz")):
        of_set = []
        for seed in args.seeds or [0]:
            train, test, y = split(path, seed, args.protocol)
            of_seed = []
            for i, name in enumerate(names):
                start = time.perf_counter()
                scores = -detectors(args.protocol, seed)[name].fit(train).score_samples(test)
                seconds[i] += time.perf_counter() - start
                of_seed.append((roc_auc_score(y, scores), average_precision_score(y, scores)))
            of_set.append(of_seed)
        results.append(np.mean(of_set, axis=0))
        print(f"| {path.stem} |", " | ".join(f"{auc:.3f} / {ap:.3f}" for auc, ap in results[-1]), "|", flush=True)
    print("| mean |", " | ".join(f"{auc:.4f} / {ap:.4f}" for auc, ap in np.mean(results, axis=0)), "|")
    print("| seconds |", " | ".join(f"{s:.0f}" for s in seconds), "|")


if __name__ == "__main__":
    main()
