"""Rows as images."""

from __future__ import annotations

import numpy as np

from skae.networks.initialisation import check_shape


def as_images(rows: np.ndarray, image_shape) -> np.ndarray:
    """Return rows as grey images, (n, height, width), or as colour images, (n, height, width, 3)."""
    has_channels = np.shape(image_shape) == (3,)
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


def value_range(rows: np.ndarray) -> tuple[float, float]:
    """Return the values that are drawn black and white: the lowest and the highest."""
    rows = np.asarray(rows, dtype=np.float64)  # of float16 the range may overflow
    known = rows[np.isfinite(rows)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    return low, high if high > low else low + max(1.0, abs(low))


def scaled(images: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return images between 0, black, and 1, white; what is below or above is black or white, too.

    What is missing is white.
    """
    shares = (np.asarray(images, dtype=np.float64) - low) / (high - low)
    return np.clip(np.nan_to_num(shares, nan=1.0), 0, 1)
