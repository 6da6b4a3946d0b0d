"""Rows as images and as sequences."""

from __future__ import annotations

import numpy as np

from skae.networks.initialisation import check_shape

GAP = 0.08  # between images, relative to the width of one


def as_images(rows: np.ndarray, image_shape) -> np.ndarray:
    """Return rows as grey images, (n, height, width), or as colour images, (n, height, width, 3)."""
    has_channels = len(image_shape) == 3
    axes, example = ("(channels, height, width)", "(3, 32, 32)") if has_channels else ("(height, width)", "(28, 28)")
    shape = check_shape("image_shape", image_shape, axes, example, rows.shape[1])
    images = rows.reshape(-1, *shape)
    if not has_channels:
        return images
    if shape[0] not in (1, 3):
        raise ValueError(
            f"image_shape={image_shape!r} has {shape[0]} channels, but an image must have 1 (grey) or 3 (red, green, "
            "blue). The channels come first: (channels, height, width)."
        )
    return images[:, 0] if shape[0] == 1 else np.moveaxis(images, 1, -1)


def as_sequences(rows: np.ndarray, sequence_shape) -> np.ndarray:
    """Return rows as sequences, (n, n_steps, n_channels)."""
    shape = check_shape("sequence_shape", sequence_shape, "(n_steps, n_channels)", "(140, 1)", rows.shape[1])
    return rows.reshape(-1, *shape)


def scaled_images(rows: np.ndarray, image_shape, reference: np.ndarray, image_kw: dict) -> tuple[np.ndarray, dict]:
    """Return rows as images, and the options of ``imshow`` that draw all of them on one scale.

    The lowest value of ``reference`` is black, the highest white.
    """
    images = as_images(rows, image_shape)
    low, high = reference.min(), reference.max()
    high = high if high > low else low + 1
    if images.ndim == 4:  # imshow scales only grey images
        images = np.clip((images - low) / (high - low), 0, 1)
    return images, imshow_options(image_kw, cmap="gray", vmin=low, vmax=high)


def imshow_options(image_kw: dict, **defaults) -> dict:
    """Return the options of ``imshow``: the defaults, updated by what the user gives."""
    if "norm" in image_kw:  # imshow accepts no limits beside it
        del defaults["vmin"], defaults["vmax"]
    return {**defaults, **image_kw}
