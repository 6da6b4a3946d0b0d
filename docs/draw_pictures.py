"""Draw the pictures of the pages: ``SKAE_DATA=... python docs/draw_pictures.py``, ten minutes.

SKAE_DATA is a folder with mnist.npz.
"""

import contextlib
import os
import re
import tempfile
from pathlib import Path
from unittest import mock

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer

from skae import (
    AutoEncoderOutlierDetector,
    DenoisingAutoEncoder,
    VariationalAutoEncoder,
)
from skae.networks import ConvNetwork
from skae.plotting import (
    ErrorHistogramDisplay,
    ExplanationDisplay,
    ManifoldDisplay,
    ReconstructionDisplay,
)

PICTURES = Path(__file__).parent / "images"


def save(display, name, size):
    """Write a display of the landing page, where all have one height."""
    display.figure_.set_size_inches(*size)
    display.figure_.savefig(PICTURES / name, dpi=110)


def mnist():
    data = np.load(Path(os.environ["SKAE_DATA"]) / "mnist.npz", allow_pickle=False)
    return [
        data[name].reshape(-1, 784).astype(np.float32) / 255
        for name in ("x_train", "x_test")
    ]


def clean_digits(X_train, X_test):
    network = ConvNetwork(image_shape=(1, 28, 28))
    denoiser = DenoisingAutoEncoder(
        64, noise_level=0.5, network=network, max_iter=5, random_state=0
    ).fit(X_train)
    noisy = X_test[:6] + 0.5 * np.random.default_rng(0).normal(size=(6, 784))
    display = ReconstructionDisplay.from_estimator(
        denoiser, X_test[:6], X_noisy=noisy, image_shape=(28, 28)
    )
    save(display, "denoised.png", (6, 3))


def draw_manifold(X_train):
    vae = VariationalAutoEncoder(
        2,
        hidden_layer_sizes=(512, 256),
        activation="silu",
        loss="binary_cross_entropy",
        batch_size=128,
        learning_rate_init=2e-3,
        max_iter=40,
        random_state=0,
    ).fit(X_train)
    save(
        ManifoldDisplay.from_estimator(vae, image_shape=(28, 28)),
        "manifold.png",
        (5, 5),
    )


def explain_a_tumour():
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    labels = np.where(y == 1, 1, -1)
    detector = AutoEncoderOutlierDetector(random_state=0).fit(X)
    parts = detector.explain(X)[detector.predict(X) == -1]
    clear = X.loc[
        (parts.max(axis=1) / parts.sum(axis=1)).idxmax()
    ]  # has one main cause
    save(
        ExplanationDisplay.from_estimator(detector, clear, max_features=6),
        "explanation.png",
        (6, 3),
    )
    detector = AutoEncoderOutlierDetector(novelty=True, random_state=0).fit(
        X[::2], labels[::2]
    )
    display = ErrorHistogramDisplay.from_estimator(
        detector, X[1::2], labels[1::2], log=True
    )
    save(display, "error_histogram.png", (6, 3))


def run_getting_started():
    """Run the page, whose blocks show three pictures."""
    page = (PICTURES.parent / "getting_started.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    names = iter(["digits", "explanation", "errors"])

    def save_figure():
        plt.gcf().savefig(
            PICTURES / f"getting_started_{next(names)}.png",
            dpi=110,
            bbox_inches="tight",
        )
        plt.close()

    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        mock.patch.object(plt, "show", save_figure),
    ):
        exec(code, {})


if __name__ == "__main__":
    explain_a_tumour()
    run_getting_started()
    X_train, X_test = mnist()
    clean_digits(X_train, X_test)
    draw_manifold(X_train)
