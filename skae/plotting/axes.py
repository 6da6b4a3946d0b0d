"""The axes of a display."""

from __future__ import annotations

from typing import Any

from skae._compat import check_matplotlib_support


class Display:
    """Base class of all displays, which sets up their axes."""

    ax_: Any
    figure_: Any

    def _set_axes(self, ax, figsize=None, *, frame=True):
        """Return ``ax``, or new axes if it is None. Hide two sides of the frame, or all without ``frame``."""
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        self.ax_ = plt.subplots(figsize=figsize, layout="constrained")[1] if ax is None else ax
        self.figure_ = self.ax_.figure
        self.ax_.spines[["top", "right"] if frame else slice(None)].set_visible(False)
        return self.ax_
