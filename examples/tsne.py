"""Reduce images with a denoising autoencoder before t-SNE, and compare the map with that after PCA.

The corruption imitates the variation of handwriting: a slight shear, stretch and rotation of the image. To undo it, the
code must ignore the slant of a digit and keep its class. Additive noise does not have this effect. With tied weights,
distances between codes stay close to those between images. Stronger distortions increase the accuracy further, but
decrease the trustworthiness, because images of one digit get similar codes although their pixels differ.

Run: python examples/tsne.py. The script downloads MNIST (55 MB) from OpenML and caches it. If the environment variable
SKAE_DATA is the path of a folder with mnist.npz, this file is used. The script takes ten minutes on two cores.
"""

import os
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from sklearn.datasets import fetch_openml, load_digits
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.manifold import TSNE, trustworthiness
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from torch.nn import functional as F

from skae import DenoisingAutoEncoder
from skae.networks import DenseNetwork
from skae.plotting import CodeDisplay

PICTURES = Path(__file__).parent / "output"


def distort(x, generator):
    """Shear, stretch and rotate square images, (n, side * side). Each image has its own random distortion."""
    images = x.view(len(x), 1, round(x.shape[1] ** 0.5), -1)
    noise = torch.randn(len(x), 2, 3, generator=generator, device=x.device, dtype=x.dtype)
    strength = torch.tensor([0.07, 0.07, 0.02], device=x.device, dtype=x.dtype)  # the last value is for the shift
    maps = torch.eye(2, 3, device=x.device, dtype=x.dtype) + strength * noise
    grid = F.affine_grid(maps, images.shape, align_corners=False)
    return F.grid_sample(images, grid, align_corners=False).view_as(x)


def autoencoder(**parameters):
    network = DenseNetwork((500,), "silu", tied_weights=True)
    return DenoisingAutoEncoder(32, corruption=distort, network=network, random_state=0, **parameters)


def mnist():
    """Return rows in [0, 1] and labels, the 60,000 training rows first."""
    folder = os.environ.get("SKAE_DATA")
    if folder:
        data = np.load(Path(folder) / "mnist.npz", allow_pickle=False)
        X, y = np.concatenate([data["x_train"], data["x_test"]]), np.concatenate([data["y_train"], data["y_test"]])
    else:
        X, y = fetch_openml("mnist_784", as_frame=False, return_X_y=True)
    return X.reshape(len(X), -1).astype(np.float32) / 255, y.astype(int)


def compare(name, reducers, X_train, X, y):
    """Print how good the t-SNE map after each reducer is, and return the last map."""
    for reducer in reducers:
        frozen = FrozenEstimator(reducer.fit(X_train))  # the pipeline gets other rows than the reducer
        for seed in range(3):
            points = make_pipeline(frozen, TSNE(random_state=seed)).fit_transform(X)
            accuracy = cross_val_score(KNeighborsClassifier(1), points, y).mean()
            trust = trustworthiness(X, points, n_neighbors=12)
            print(f"{name:8s}{type(reducer).__name__:22s}{seed:4d}{accuracy:10.4f}{trust:17.4f}", flush=True)
    return points


def main():
    print(f"{'':30s}seed  accuracy  trustworthiness")
    X, y = load_digits(return_X_y=True)
    compare("digits", [PCA(50), autoencoder(max_iter=25)], X / 16, X / 16, y)
    X, y = mnist()
    X_train, X_test, y_test = X[:60_000], X[60_000:64_000], y[60_000:64_000]
    points = compare("MNIST", [PCA(50, random_state=0), autoencoder(max_iter=6)], X_train, X_test, y_test)
    PICTURES.mkdir(exist_ok=True)
    CodeDisplay.from_codes(points, y_test).figure_.savefig(PICTURES / "tsne_mnist.png", dpi=120, bbox_inches="tight")


if __name__ == "__main__":
    main()
