"""The data of the examples: small by default, the data of the classic tutorials by a flag.

``python examples/plot_simple.py`` runs on the digits of scikit-learn, the same with ``--data mnist`` on MNIST. What is
not in the folder that the environment variable ``SKAE_DATA`` names is fetched from https://openml.org. ``--rows 10000``
uses only so many rows.
"""

import argparse
import os
from pathlib import Path

import numpy as np
from sklearn.datasets import fetch_openml, load_digits


def load_images():
    """Return images, one a row, their classes and the shape of an image.

    ``--data digits`` (default) are the 1,797 digits of scikit-learn, 8x8; ``--data mnist`` and ``--data fashion-mnist``
    are 70,000 digits and pieces of clothing, 28x28.

    Returns
    -------
    X : ndarray of shape (n_images, height * width), float32
        Pixels between 0 (black) and 1 (white).
    y : ndarray of shape (n_images,), int
        Classes, 0 to 9.
    image_shape : tuple of int
        (height, width).
    """
    flags = _flags(["digits", "mnist", "fashion-mnist"])
    if (name := flags.data) == "digits":
        X, y = load_digits(return_X_y=True)
    else:
        X, y = _load(
            f"{name}.npz",
            {"mnist": "mnist_784", "fashion-mnist": "Fashion-MNIST"}[name],
        )
    side = int(np.sqrt(X.shape[1]))
    X, y = X[: flags.rows], y[: flags.rows]
    return X.astype(np.float32) / np.float32(X.max()), y.astype(int), (side, side)


def load_sequences():
    """Return heartbeats, one a row, and which of them are normal.

    ``--data heartbeats`` (default) are simulated, as `simulate_heartbeats` says; ``--data ecg5000`` are 5,000 real ones
    of a patient with heart failure, from a Holter recording.

    Returns
    -------
    X : ndarray of shape (n_beats, n_steps), float32
        The electrocardiogram of a beat.
    y : ndarray of shape (n_beats,), int
        1 for normal beats, -1 for abnormal ones.
    """
    flags = _flags(["heartbeats", "ecg5000"])
    if flags.data == "heartbeats":
        X, y = simulate_heartbeats()
    else:
        X, y = _load("ecg5000.npz", "ECG5000")
        y = np.where(
            y == y.min(), 1, -1
        )  # normal is class 1 of the original labels, 0 of the file's
    return X[: flags.rows].astype(np.float32), y[: flags.rows]


def simulate_heartbeats(n_normal=1600, n_abnormal=400, n_steps=140, random_state=0):
    """Return made-up heartbeats: good for learning how a detector works, not for learning about hearts.

    A beat is a sum of five bell curves, its waves P, Q, R, S and T, as in McSharry et al., "A dynamical model for
    generating synthetic electrocardiogram signals", 2003. Places, widths and heights vary from beat to beat, and there
    is some noise. An abnormal beat has one of three faults: no P wave, a raised ST segment, or a wide QRS complex.
    """
    rng = np.random.default_rng(random_state)
    n = n_normal + n_abnormal
    y = rng.permutation(np.repeat([1, -1], [n_normal, n_abnormal]))
    fault = np.where(y == -1, rng.integers(1, 4, n), 0)

    #                      P      Q      R      S      T
    place = np.array([0.22, 0.370, 0.400, 0.430, 0.66]) + rng.normal(
        0, [0.01, 0.002, 0.002, 0.002, 0.015], (n, 5)
    )
    width = np.array([0.03, 0.010, 0.012, 0.012, 0.05]) * rng.lognormal(0, 0.1, (n, 5))
    height = np.array([0.15, -0.12, 1.00, -0.25, 0.30]) * rng.lognormal(0, 0.15, (n, 5))
    height[fault == 1, 0] = 0
    width[fault == 3, 1:4] *= 1.8
    place[fault == 3, 1:4] += [-0.02, 0, 0.02]

    time = np.linspace(0, 1, n_steps)
    waves = height[..., None] * np.exp(
        -(((time - place[..., None]) / width[..., None]) ** 2) / 2
    )  # (n, 5, n_steps)
    X = waves.sum(1) + rng.normal(0, 0.02, (n, n_steps))
    raised = np.exp(-(((time - 0.54) / 0.06) ** 4))  # flat between S and T
    X[fault == 2] += rng.uniform(0.1, 0.2, (np.sum(fault == 2), 1)) * raised
    return X.astype(np.float32), y


def _flags(names):
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", choices=names, default=names[0], help="the data set")
    parser.add_argument("--rows", type=int, help="use only so many rows, to save time")
    # A notebook has flags of its own, which are left alone.
    return parser.parse_known_args()[0]


def _load(file, openml_name):
    path = Path(os.environ.get("SKAE_DATA", "")) / file
    if "SKAE_DATA" in os.environ and path.exists():
        with np.load(path) as arrays:
            parts = {name.lower(): array for name, array in arrays.items()}
        X, y = (
            np.concatenate([parts[f"{name}_train"], parts[f"{name}_test"]])
            for name in "xy"
        )
        return X.reshape(len(X), -1), y
    X, y = fetch_openml(openml_name, version=1, as_frame=False, return_X_y=True)
    return X, y.astype(int)
