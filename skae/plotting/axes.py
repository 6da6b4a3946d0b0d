"""Where displays draw."""

from __future__ import annotations

from sklearn.utils._optional_dependencies import check_matplotlib_support


def axes_to_draw_on(display, ax, figsize=None):
    """Return ``ax``, or the axes of a new figure of the given size, in inches, where it is None."""
    check_matplotlib_support(f"{type(display).__name__}.plot")
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=figsize, layout="constrained")[1] if ax is None else ax


def remove_upper_and_right_frame(ax) -> None:
    """Leave only the frame's two sides that carry ticks."""
    ax.spines[["top", "right"]].set_visible(False)
