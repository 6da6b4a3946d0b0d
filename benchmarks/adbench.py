"""The outlier detector and PyOD's, all at their defaults, on the tabular sets of ADBench.

Run: OMP_NUM_THREADS=1 python benchmarks/adbench.py [--quick] [--seeds 0] [oneclass] [unsup].
In "oneclass" half of the normal rows train, the other half and all anomalies test; in "unsup" all rows train and the
same are scored. Sets are cut to 10,000 rows, columns standardised by the training rows. All methods run in turn on
each set, in one process; seconds are those of fitting and scoring. Training rows have PyOD's own scores of them, which
leave a row out of its neighbours. "novelty" is our detector with novelty=True. --quick takes five small sets.
benchmarks/detector.py measures its parts.
"""

from __future__ import annotations

import argparse
import os
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
from pyod.models.auto_encoder import AutoEncoder
from pyod.models.deep_svdd import DeepSVDD
from pyod.models.ecod import ECOD
from pyod.models.iforest import IForest
from pyod.models.knn import KNN
from pyod.models.lof import LOF
from pyod.models.ocsvm import OCSVM
from pyod.models.pca import PCA
from pyod.models.vae import VAE
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import train_test_split

from skae import AutoEncoderOutlierDetector

FOLDER = Path(os.environ.get("SKAE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "adbench"
CAP = 10_000  # rows of a set
QUICK = ("14_glass", "37_Stamps", "39_vertebral", "43_WDBC", "45_wine")
REGIMES = ("oneclass", "unsup")

OURS = {  # name -> seed -> detector
    "skae": lambda seed: AutoEncoderOutlierDetector(random_state=seed),
    "novelty": lambda seed: AutoEncoderOutlierDetector(novelty=True, random_state=seed),
}
PEERS = {  # name -> (seed, number of features) -> detector
    "AE": lambda seed, d: AutoEncoder(verbose=0, random_state=seed),
    "VAE": lambda seed, d: VAE(verbose=0, random_state=seed),
    "DeepSVDD": lambda seed, d: DeepSVDD(d, verbose=0, random_state=seed),
    "KNN": lambda seed, d: KNN(),
    "LOF": lambda seed, d: LOF(),
    "IForest": lambda seed, d: IForest(random_state=seed),
    "ECOD": lambda seed, d: ECOD(),
    "PCA": lambda seed, d: PCA(random_state=seed),
    "OCSVM": lambda seed, d: OCSVM(),
}


def split(path, seed, regime):
    """Return X_train, X_test (float32, standardised) and y_test (1 = anomaly)."""
    data = np.load(path, allow_pickle=False)
    X, y = data["X"].astype(np.float64), data["y"].astype(int)
    if len(X) > CAP:
        rows, _ = train_test_split(np.arange(len(X)), train_size=CAP, stratify=y, random_state=seed)
        if y[rows].sum() < 10:  # too few to measure with: take them all
            rows = np.union1d(rows, np.flatnonzero(y))
        X, y = X[rows], y[rows]
    if regime == "unsup":
        train = test = np.arange(len(X))
    else:
        normal = np.random.default_rng(1000 + seed).permutation(np.flatnonzero(y == 0))
        half = len(normal) // 2
        train, test = normal[:half], np.r_[normal[half:], np.flatnonzero(y == 1)]
    mean, deviation = X[train].mean(0), X[train].std(0)
    X = (X - mean) / np.where(deviation == 0, 1.0, deviation)
    return X[train].astype(np.float32), X[test].astype(np.float32), y[test]


def scores(method, X_train, X_test, regime, seed):
    """Fit a method and return its scores of the test rows; high for outliers."""
    if method in OURS:
        return -OURS[method](seed).fit(X_train).score_samples(X_test)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = PEERS[method](seed, X_train.shape[1]).fit(X_train)
        return peer.decision_scores_ if regime == "unsup" else peer.decision_function(X_test)


def figures(y, values):
    return roc_auc_score(y, values), average_precision_score(y, values)


def line(name, values, digits=3, best=max):
    """Return a row of a table, its best values marked."""
    rounded = np.round(values, digits)
    mark = best(rounded[np.isfinite(rounded)]) if best else np.inf
    return f"{name:15s}" + "".join(f"{x:8.{digits}f}{'*' if x == mark else ' '}" for x in rounded)


def compare(paths, seeds, regime):
    """Print tables of AUROC and average precision, and how far ours are behind the best peer of a set."""
    methods = [*OURS, *PEERS] if regime == "oneclass" else ["skae", *PEERS]
    header = f"{'':15s}" + "".join(f"{method:>8s} " for method in methods)
    found = np.full((len(paths), len(seeds), len(methods), 3), np.nan)  # AUROC, average precision, seconds
    failures = []
    print(f"\n{regime}, AUROC\n{header}")
    for i, path in enumerate(paths):
        for j, seed in enumerate(seeds):
            X_train, X_test, y = split(path, seed, regime)
            for k, method in enumerate(methods):
                start = time.perf_counter()
                try:
                    values = scores(method, X_train, X_test, regime, seed)
                    found[i, j, k] = *figures(y, values), time.perf_counter() - start
                except Exception as error:
                    failures.append(f"{method} failed on {path.stem}, seed {seed}: {error!r}")
        print(line(path.stem, found[i, ..., 0].mean(0)), flush=True)
    seconds, found = np.nansum(found[..., 2], axis=(0, 1)), found[..., :2].mean(1)
    auroc, precision = found[..., 0], found[..., 1]
    print(f"\n{regime}, average precision\n{header}")
    for path, row in zip(paths, precision, strict=True):
        print(line(path.stem, row))
    print(f"\n{regime}, {len(paths)} sets\n{header}")
    print(line("mean AUROC", auroc.mean(0)))
    print(line("mean precision", precision.mean(0)))
    ran = np.isfinite(auroc).all(1)
    if not ran.all():
        print(line(f"AUROC, {ran.sum()} sets", auroc[ran].mean(0)))  # those on which every method ran
        print(line(f"prec., {ran.sum()} sets", precision[ran].mean(0)))
    ranks = rankdata(-np.nan_to_num(auroc, nan=-1), axis=1)  # failures last
    print(line("mean rank", ranks.mean(0), 2, min))
    print(line("seconds", seconds, 1, None), end="\n\n")
    print_losses(methods, [path.stem for path in paths], auroc)
    print("\n".join(failures or ["No method failed."]), flush=True)


def print_losses(methods, names, auroc):
    """Print on which sets the best peer has a larger AUROC than ours."""
    n_ours = len(methods) - len(PEERS)
    best = n_ours + np.nanargmax(auroc[:, n_ours:], 1)
    for k in range(n_ours):
        lost = np.take_along_axis(auroc, best[:, None], 1)[:, 0] - auroc[:, k]
        order = [i for i in np.argsort(-lost) if lost[i] >= 0.0005]
        rows = ", ".join(f"{names[i]} {lost[i]:.3f} ({methods[best[i]]})" for i in order)
        text = f"{methods[k]}: behind the best peer on {len(order)} of {len(names)} sets: {rows}"
        print(textwrap.fill(text, 118, subsequent_indent="  ", break_on_hyphens=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("regimes", nargs="*", choices=[*REGIMES, []])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    files = sorted(FOLDER.glob("*.npz"), key=lambda path: int(path.stem.split("_")[0]))
    if arguments.quick:
        files = [path for path in files if path.stem in QUICK]
    for regime in arguments.regimes or REGIMES:
        compare(files, arguments.seeds, regime)
