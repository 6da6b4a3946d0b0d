"""Colours and markers that differ in lightness or shape, too: for the colour-blind and on paper."""

from __future__ import annotations

# Okabe and Ito 2008
BLUE, LIGHT_BLUE, ORANGE = "#0072B2", "#56B4E9", "#D55E00"

# of classes: the colours of Petroff 2021 (arXiv 2107.02270), each with a marker of its own
CLASS_COLORS = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
CLASS_MARKERS = "osD^vP<X>p"
MAX_CLASSES = len(CLASS_COLORS) * 2


def class_style(index: int) -> tuple[str, str]:
    """Return the colour and the marker of a class: of each colour there are two, with different markers."""
    n = len(CLASS_COLORS)
    return CLASS_COLORS[index % n], CLASS_MARKERS[(index + index // n * n // 2) % n]
