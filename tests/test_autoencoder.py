"""The plain autoencoder against what is known of it."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from skae import AutoEncoderTransformer


@pytest.mark.parametrize("n_components", [2, 10, 16])
def test_linear_autoencoder_spans_pcas_subspace(n_components):
    X = load_digits().data
    autoencoder = AutoEncoderTransformer(
        n_components, hidden_layer_sizes=(), activation="identity", max_iter=150, random_state=0
    ).fit(X)
    pca = PCA(n_components).fit(X)
    pca_error = np.mean((pca.inverse_transform(pca.transform(X)) - X) ** 2)
    assert -autoencoder.score(X) < 1.005 * pca_error
    decoder = autoencoder.decoder_.layers[0].weight[0].detach().numpy()  # (n_components, 64)
    assert subspace_angles(decoder.T, pca.components_.T).max() < 0.05


def test_hidden_layers_follow_a_curve_that_no_line_can():
    t = np.random.default_rng(0).uniform(-1, 1, size=500)
    X = np.c_[t, t**2, np.sin(3 * t)]
    autoencoder = AutoEncoderTransformer(1, hidden_layer_sizes=(64, 32), random_state=0).fit(X)
    pca = PCA(1).fit(X)
    assert -autoencoder.score(X) < 0.1 * np.mean((pca.inverse_transform(pca.transform(X)) - X) ** 2)


def test_mnist_at_32_features(shared_data):
    mnist = shared_data("mnist")
    X_train, X_test = (mnist[name].reshape(-1, 784).astype(np.float32) / 255 for name in ("x_train", "x_test"))
    autoencoder = AutoEncoderTransformer(32, hidden_layer_sizes=(512, 256), max_iter=10, random_state=0)
    assert -autoencoder.fit(X_train).score(X_test) <= 0.0085  # PCA: 0.0168
