"""Rows as images and as sequences."""

from __future__ import annotations

import numpy as np

from skae.images import as_images, scaled, value_range
from skae.networks.initialisation import check_shape

GAP = 0.08  # between images, relative to the width of one


def as_sequences(rows: np.ndarray, sequence_shape) -> np.ndarray:
    """Return rows as sequences, (n, n_steps, n_channels)."""
    shape = check_shape("sequence_shape", sequence_shape, "(n_steps, n_channels)", "(140, 1)", rows.shape[1])
    return rows.reshape(-1, *shape)


def scaled_images(rows: np.ndarray, image_shape, reference: np.ndarray, image_kw: dict) -> tuple[np.ndarray, dict]:
    """Return rows as images, and the options of ``imshow`` that draw all of them on one scale.

    The lowest value of ``reference`` is black, the highest white.
    """
    images = as_images(rows, image_shape)
    low, high = value_range(reference)
    if images.ndim == 4:  # imshow scales only grey images
        images = scaled(images, low, high)
    return images, imshow_options(image_kw, cmap="gray", vmin=low, vmax=high)


def imshow_options(image_kw: dict, **defaults) -> dict:
    """Return the options of ``imshow``: the defaults, updated by what the user gives."""
    if "norm" in image_kw:  # imshow accepts no limits beside it
        del defaults["vmin"], defaults["vmax"]
    return {**defaults, **image_kw}
