"""The axes of a display."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skae._compat import check_matplotlib_support


class Display:
    """Base class of all displays, which sets up their axes."""

    ax_: Any
    figure_: Any

    def _set_axes(self, ax, figsize=None, *, frame=True):
        """Return ``ax``, or new axes if it is None. Hide two sides of the frame, or all and the ticks without it."""
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        self.ax_ = plt.subplots(figsize=figsize, layout="constrained")[1] if ax is None else ax
        self.figure_ = self.ax_.figure
        self.ax_.spines[["top", "right"] if frame else slice(None)].set_visible(False)
        if not frame:
            self.ax_.set(xticks=[], yticks=[])
        return self.ax_


def literal(label: Any) -> str:
    """Return a label, which is data, as a text that matplotlib does not read as a formula between dollar signs."""
    return str(label).replace("$", r"\$")


def add_legend(ax, handles: Sequence[Any] | None = None, labels: Sequence[str] | None = None, line: Any = None):
    """Draw a legend within the axes, above all else, and return it; a ``line`` over the whole height ends below it."""
    from skae.plotting.fitting import FittedLegend

    if handles is None or labels is None:
        handles, labels = ax.get_legend_handles_labels()
    FittedLegend(ax, handles, labels, line)
    return ax.get_legend()
