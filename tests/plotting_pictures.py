"""Displays of fixed numbers, and what is drawn of them.

``python tests/plotting_pictures.py`` draws the stored pictures anew: look at them before you commit them.
"""

import functools
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image
from scipy.special import ndtri

from skae.plotting import (
    CodeDisplay,
    ErrorHistogramDisplay,
    ExplanationDisplay,
    LossCurveDisplay,
    ManifoldDisplay,
    ReconstructionDisplay,
    SampleDisplay,
    SignalDisplay,
    ThresholdDisplay,
)

BASELINE = Path(__file__).parent / "baseline"
DRAWN_WITH = "3.11", "2.14.3"  # matplotlib and FreeType
DPI = 50


def blobs(n, side=8):
    """Images of a blob, (n, side * side)."""
    steps = np.arange(side)
    centers = 1 + (np.outer(np.arange(n), [2.7, 4.3]) % (side - 2))
    rows, columns = (np.exp(-((steps - center[:, None]) ** 2) / 4) for center in centers.T)
    return (rows[:, :, None] * columns[:, None]).reshape(n, -1)


def ring(n_classes, n=200):
    """Codes, (n, 2), whose classes follow each other on a ring, and the classes."""
    y = np.arange(n) % n_classes
    angle, radius = 2 * np.pi * (y + 0.6 * np.sin(np.arange(n))) / n_classes, 4 + np.cos(2.1 * np.arange(n))
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]), y


def reconstructions(n, noisy=False, **options):
    X = blobs(n)
    noise = X + 0.4 * np.sin(7 * np.arange(X.size)).reshape(X.shape)
    options |= {"X_noisy": noise} if noisy else {}
    return ReconstructionDisplay.from_predictions(X, 0.8 * X + 0.05, image_shape=(8, 8), n_images=n, **options)


INLIERS, OUTLIERS = (
    np.exp(0.5 * ndtri((np.arange(180) + 0.5) / 180)),
    np.exp(1 + 0.4 * ndtri((np.arange(20) + 0.5) / 20)),
)
ERRORS, Y = np.r_[INLIERS, OUTLIERS], np.repeat([1, -1], [180, 20])
T = np.linspace(0, 6, 60)
SIGNAL = {"x": np.sin(3 * T), "reconstruction": 0.8 * np.sin(3 * T + 0.3), "threshold": 0.1234}
NAMED_CLASSES = np.array([f"class {i}" for i in range(20)])
ROW = {
    "x": np.linspace(-1234.5, 900.123, 13),
    "reconstruction": np.linspace(-234.5, 1900.123, 13),
    "names": [f"column {i}" for i in range(13)],
    "error": 0.95,
    "threshold": 0.5,
}
SHARES = 0.75 ** np.arange(13) / 4
LOSSES = np.exp(-np.arange(30) / 8) + 0.1


def explanation(x, reconstruction, contributions, ax, **shape):
    row = {"x": x, "reconstruction": reconstruction, "names": range(len(x)), "error": 0.3, "threshold": 0.5}
    return ExplanationDisplay(**row, contributions=contributions, **shape).plot(ax)


def manifold(ax):
    steps = np.tile(ndtri((np.arange(7) + 0.5) / 7)[:, None], 2)
    return ManifoldDisplay(steps=steps, images=blobs(49).reshape(7, 7, -1), image_shape=(8, 8)).plot(ax)


# each takes axes or None
PICTURES = {
    "images": lambda ax: reconstructions(10, ax=ax),
    "few_images": lambda ax: reconstructions(2, ax=ax),
    "wrapped_images": lambda ax: reconstructions(20, noisy=True, ax=ax),
    "samples": lambda ax: SampleDisplay.from_samples(blobs(25), image_shape=(8, 8), n_samples=25, ax=ax),
    "samples_of_classes": lambda ax: SampleDisplay.from_samples(blobs(60), ring(6, 60)[1], image_shape=(8, 8), ax=ax),
    "wrapped_samples": lambda ax: SampleDisplay.from_samples(
        blobs(40), np.array(["cats", "dogs"])[ring(2, 40)[1]], image_shape=(8, 8), n_samples=15, ax=ax
    ),
    "classes": lambda ax: CodeDisplay.from_codes(*ring(10), ax=ax),
    "many_classes": lambda ax: CodeDisplay.from_codes(ring(20)[0], NAMED_CLASSES[ring(20)[1]], ax=ax),
    "numbers": lambda ax: CodeDisplay.from_codes(ring(4)[0], ring(4)[0][:, 0], ax=ax),
    "errors": lambda ax: ErrorHistogramDisplay.from_predictions(Y, ERRORS, threshold=2, ax=ax),
    "errors_on_log": lambda ax: ErrorHistogramDisplay.from_predictions(
        Y, ERRORS, threshold=2, log=True, hist_kw={"log": True}, ax=ax
    ),
    "full_bars": lambda ax: ErrorHistogramDisplay.from_predictions(
        Y, np.linspace(0.1, 3, 200), threshold=1.6, bins=4, ax=ax
    ),
    "unlabelled_errors": lambda ax: ErrorHistogramDisplay.from_predictions(None, ERRORS, threshold=2, ax=ax),
    "thresholds": lambda ax: ThresholdDisplay.from_predictions(Y, ERRORS, threshold=2, ax=ax),
    "thresholds_on_log": lambda ax: ThresholdDisplay.from_predictions(Y, ERRORS**3, threshold=8, log=True, ax=ax),
    "signal": lambda ax: SignalDisplay(**SIGNAL, error=0.0523).plot(ax),
    "bars": lambda ax: ExplanationDisplay(**ROW, contributions=SHARES).plot(ax),
    "image_explained": lambda ax: explanation(
        blobs(1)[0], 0.8 * blobs(1)[0], 0.04 * blobs(1)[0] ** 2, ax, image_shape=(8, 8)
    ),
    "signed_image_explained": lambda ax: explanation(
        blobs(2)[0], 0.8 * blobs(2)[0], 0.001234 * np.subtract(*blobs(2)), ax, image_shape=(8, 8)
    ),
    "sequence_explained": lambda ax: explanation(
        SIGNAL["x"], SIGNAL["reconstruction"], (SIGNAL["x"] - SIGNAL["reconstruction"]) ** 2, ax, sequence_shape=(60, 1)
    ),
    "channels_explained": lambda ax: explanation(
        SIGNAL["x"], SIGNAL["reconstruction"], (SIGNAL["x"] - SIGNAL["reconstruction"]) ** 2, ax, sequence_shape=(20, 3)
    ),
    "manifold": manifold,
    "losses": lambda ax: LossCurveDisplay(
        loss_curve=LOSSES, validation_loss_curve=LOSSES + 0.02 + 0.002 * np.arange(30), best_epoch=22
    ).plot(ax),
}


@contextmanager
def plain_style(**settings):
    """Draw with matplotlib's own settings, without windows."""
    import matplotlib.pyplot as plt

    with plt.style.context("default", after_reset=True), plt.rc_context({"figure.dpi": DPI, **settings}):
        yield plt
    plt.close("all")


def pixels(figure):
    """Draw a figure and return its lightness, (height, width), from 0 to 255."""
    return drawn(figure)[0]


def lightness(picture):
    return np.asarray(picture.convert("L"), dtype=float)


def drawn(figure):
    """Draw a figure and return its lightness, and each text that was drawn with its box."""
    texts, draw = [], Text.draw

    @functools.wraps(draw)
    def record(text, renderer):
        if text.get_visible() and text.get_text().strip():
            texts.append(text)
        draw(text, renderer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", record)
        figure.canvas.draw()
    picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba()))
    return lightness(picture), {text: text.get_window_extent() for text in texts}


if __name__ == "__main__":
    BASELINE.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        with plain_style():
            Image.fromarray(pixels(draw(None).figure_).astype(np.uint8)).save(BASELINE / f"{name}.png", optimize=True)
