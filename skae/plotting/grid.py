"""Images in a grid, with labels of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from skae.plotting.shapes import GAP

N_COLUMNS = 10  # images side by side; more are wrapped
INCHES, MOST_INCHES = 5.4, 0.8  # width of ten images, and of one where there are few
INCHES_PER_LETTER, INCHES_FOR_EDGES = 0.075, 0.1
POINTS_BEFORE_IMAGES = 5

Row = tuple[str, np.ndarray]  # its label and images


def wrapped(rows: Sequence[Row]) -> list[list[Row]]:
    """Return blocks of rows with at most ten images side by side; all rows have as many images."""
    n_images = len(rows[0][1])
    return [
        [(label, images[start : start + N_COLUMNS]) for label, images in rows]
        for start in range(0, n_images, N_COLUMNS)
    ]


class ImageGrid:
    """Blocks of rows of images, with a larger gap between blocks."""

    def __init__(self, blocks: Sequence[Sequence[Row]]):
        self.rows = [row for block in blocks for row in block]
        self.height, self.width = self.rows[0][1].shape[1:3]
        gap = self.width * GAP
        self.step = self.width + gap, self.height + gap
        ends = np.cumsum([len(block) for block in blocks])
        n_before = np.searchsorted(ends, np.arange(len(self.rows)), side="right")  # blocks above each row
        self.tops = np.arange(len(self.rows)) * self.step[1] + n_before * 2.5 * gap
        n_columns = max(len(images) for _, images in self.rows)
        self.size = n_columns * self.step[0] - gap, self.tops[-1] + self.height
        self.inches = min(INCHES / n_columns, MOST_INCHES) / self.step[0]  # a pixel

    @property
    def figsize(self) -> tuple[float, float]:
        """Return the size of a figure of its own."""
        width, height = (side * self.inches + INCHES_FOR_EDGES for side in self.size)
        return width + INCHES_PER_LETTER * max(len(label) for label, _ in self.rows), height

    def draw(self, ax, options: dict) -> list[list]:
        """Draw the images, and the labels to their left but within the axes; return the images of each row."""
        from skae.plotting.fitting import Fitter

        drawn = [
            [
                ax.imshow(image, extent=(left, left + self.width, top + self.height, top), **options)
                for image, left in zip(images, np.arange(len(images)) * self.step[0], strict=True)
            ]
            for (_, images), top in zip(self.rows, self.tops, strict=True)
        ]
        style: dict[str, Any] = {
            "textcoords": "offset points",
            "ha": "right",
            "va": "center",
            "annotation_clip": False,
            "in_layout": False,
        }
        labels = [
            ax.annotate(label, (0, top + self.height / 2), (-POINTS_BEFORE_IMAGES, 0), **style)
            for (label, _), top in zip(self.rows, self.tops, strict=True)
            if label
        ]
        ax.set(xlim=(0, self.size[0]), ylim=(self.size[1], 0))
        if labels:
            Fitter(ax, partial(self._fit, ax, labels))
        return drawn

    def _fit(self, ax, labels: list, renderer) -> None:
        """Choose the font size of the labels and make room for them."""
        from skae.plotting.fitting import extent_in_points, font_size, shrink, size_in_points

        width, height = size_in_points(ax)

        def measure() -> tuple[float, float]:  # the room for the labels and the size of a pixel
            room = POINTS_BEFORE_IMAGES + max(extent_in_points(label, renderer)[0] for label in labels)
            # the images are as large as the axes allow
            return room, min(max(width - room, 0.3 * width) / self.size[0], height / self.size[1])

        shrink(labels, font_size(), lambda: 1.2 * labels[0].get_fontsize() <= measure()[1] * self.step[1])
        room, pixel = measure()
        ax.set_xlim(-room / pixel, self.size[0])
        ax.apply_aspect()
