"""Rows, estimators and helpers for the tests of the displays."""

import numpy as np

from skae import AutoEncoderTransformer

N_ROWS, N_FEATURES = 60, 12
X = np.random.default_rng(0).uniform(size=(N_ROWS, N_FEATURES))
X.flags.writeable = False


def pyplot_without_windows():
    """Yield pyplot, then close its figures."""
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    plt.close("all")  # examples of docstrings may leave some
    yield plt
    plt.close("all")


def make_autoencoder(n_components=3, kind=AutoEncoderTransformer, **parameters):
    return kind(n_components, hidden_layer_sizes=(8,), max_iter=4, random_state=0, **parameters)


def drawn(display):
    return [np.stack([image.get_array() for image in row]) for row in display.images_]


def row_labels(display):
    labels = display.ax_.get_yticklabels() or display.ax_.texts
    return [label.get_text() for label in labels]


def legend(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]
