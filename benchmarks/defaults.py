"""Measure the defaults of training: held-out error for several learning rates and batch sizes.

Run: python benchmarks/defaults.py [--seeds 2]. Each number is the squared error on held-out rows divided by the best of
its row, so 1.00 is best; the last line is the mean over the sets.
"""

import argparse
import os
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skae import AutoEncoderTransformer

SETTINGS = {
    "lr 1e-3": {"learning_rate_init": 1e-3},
    "lr 2e-3": {"learning_rate_init": 2e-3},
    "default": {},
    "lr 1e-2": {"learning_rate_init": 1e-2},
    "constant": {"learning_rate": "constant"},
    "batch 32": {"batch_size": 32},
    "batch 128": {"batch_size": 128},
    "batch 512": {"batch_size": 512},
    "silu": {"activation": "silu"},
    "alpha 1e-2": {"alpha": 1e-2},
}


def data_sets():
    """Yield (name, X, n_components) of the sets at hand."""
    yield "digits", load_digits().data, 8
    yield "breast_cancer", StandardScaler().fit_transform(load_breast_cancer().data), 4
    root = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SKAE_DATA", root))
    if not folder.exists():
        return
    ecg = np.load(folder / "ecg5000.npz", allow_pickle=False)
    yield "ecg5000", np.r_[ecg["X_train"], ecg["X_test"]][:2000], 8
    yield "mnist 5000", np.load(folder / "mnist.npz")["x_train"][:5000].reshape(-1, 784) / 255, 32
    for name in ("6_cardio", "20_letter", "22_magic.gamma", "30_satellite", "39_vertebral"):
        X = np.load(folder / "adbench" / f"{name}.npz", allow_pickle=False)["X"][:5000]
        yield name, StandardScaler().fit_transform(X), min(4, X.shape[1] - 1)


def main(n_seeds):
    """Print the table."""
    print(f"{'':16s}" + "".join(f"{name:>12s}" for name in SETTINGS))
    ratios = []
    for name, X, k in data_sets():
        errors = np.zeros(len(SETTINGS))
        for seed in range(n_seeds):
            train, test = train_test_split(X.astype(np.float32), test_size=0.3, random_state=seed)
            for i, setting in enumerate(SETTINGS.values()):
                errors[i] -= AutoEncoderTransformer(k, **setting, random_state=seed).fit(train).score(test) / n_seeds
        ratios.append(errors / errors.min())
        print(f"{name:16s}" + "".join(f"{ratio:12.2f}" for ratio in ratios[-1]), flush=True)
    print(f"{'mean':16s}" + "".join(f"{ratio:12.2f}" for ratio in np.mean(ratios, axis=0)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=2)
    main(parser.parse_args().seeds)
