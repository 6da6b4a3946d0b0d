"""What makes texts fit into axes of any size. It imports matplotlib, so it is imported late."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.artist import Artist
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

SCALES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)  # of the font size, until a text fits
LEGEND_SHARE = 0.3  # of the height of the axes that a legend may take before its font shrinks
COMPACT = dict(  # of the options of a legend
    loc="upper left",
    frameon=False,
    borderpad=0,
    borderaxespad=0.2,
    handlelength=1.6,
    handletextpad=0.5,
    columnspacing=1.2,
    labelspacing=0.3,
)


class Fitter(Artist):
    """Calls a function with the renderer now, and whenever the axes are drawn at another size.

    The size is known only when a figure is drawn: its layout may have changed, or the figure been resized.
    """

    def __init__(self, ax, function: Callable[[Any], Any]):
        super().__init__()
        self.set(zorder=-math.inf, in_layout=False)  # drawn first
        self._function, self._fitted_size = function, (0.0, 0.0)
        ax.add_artist(self)
        if (layout := ax.figure.figure.get_layout_engine()) is not None:
            layout.execute(ax.figure.figure)
        ax.apply_aspect()
        self.fit(None)

    def draw(self, renderer):
        """Call the function, where the size has changed."""
        self.fit(renderer)

    def fit(self, renderer):
        """Do the same; without a renderer, matplotlib looks for one."""
        size = size_in_points(self.axes)
        if max(abs(now - before) for now, before in zip(size, self._fitted_size, strict=True)) > 0.1:
            self._fitted_size = size
            self._function(renderer)


def size_in_points(ax) -> tuple[float, float]:
    """Return the width and height that axes have room for."""
    # `get_window_extent` would be that of images, where there are some
    box, dpi = ax.get_position(original=True).transformed(ax.figure.transSubfigure), ax.figure.figure.dpi
    return box.width * 72 / dpi, box.height * 72 / dpi


def extent_in_points(artist, renderer) -> tuple[float, float]:
    """Return the width and height of a text or legend."""
    box, dpi = artist.get_window_extent(renderer), artist.figure.figure.dpi
    return box.width * 72 / dpi, box.height * 72 / dpi


def label_logarithms(axis) -> None:
    """Label a logarithmic axis at 1, 2 and 5 where it covers less than two powers of ten, else at powers of ten."""
    low, high = axis.get_view_interval()
    axis.set_minor_formatter(NullFormatter())  # its labels would collide
    if high < 100 * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))


def shrink(texts: Sequence[Any], size: float, fit: Callable[[], bool]) -> None:
    """Give texts a font size, or a smaller one until they fit, at least half of it."""
    for scale in SCALES:
        for text in texts:
            text.set_fontsize(scale * size)
        if fit():
            return


def are_apart(texts: Sequence[Any], renderer) -> bool:
    """Tell whether each text is apart from the next."""
    boxes = [text.get_window_extent(renderer).padded(1) for text in texts if text.get_text()]
    return not any(box.overlaps(after) for box, after in pairwise(boxes))


def font_size(name: str = "medium") -> float:
    """Return the size of a font in points."""
    return FontProperties(size=name).get_size_in_points()


class FittedLegend:
    """A legend within the axes, at the top, with all else moved down, and a line that ends below it.

    So it covers neither what is drawn nor other axes or a title, whatever the layout of the figure.
    """

    def __init__(self, ax, handles: Sequence[Any], labels: Sequence[str], line: Any = None):
        self.ax, self.handles, self.labels, self.line = ax, handles, labels, line
        self.limits = self.set_limits = ax.get_ylim()
        self.legend = ax.legend(handles, labels)
        self.legend.set_in_layout(False)
        Fitter(ax, self.fit)

    def fit(self, renderer) -> None:
        """Choose the number of columns and the font size, and make room; unless the user has changed either."""
        ax = self.ax
        if ax.get_ylim() != self.set_limits or ax.get_legend() is not self.legend:
            return
        self.legend.set_visible(False)  # it may be about to be drawn
        share = self._add_legend(renderer)
        if renderer is not None:
            self.legend.draw(renderer)  # the axes do so only from the next time on
        to_scale = ax.yaxis.get_transform()
        low, high = to_scale.transform(self.limits)
        ax.set_ylim(top=to_scale.inverted().transform(low + (high - low) / (1 - share)), auto=True)
        self.set_limits = ax.get_ylim()
        if self.line is not None:
            self.line.set_ydata([0, 1 - share])

    def _add_legend(self, renderer) -> float:
        """Set the legend and return its share of the height."""
        width, height = size_in_points(self.ax)
        for scale in SCALES:
            size = scale * font_size()
            options = {**COMPACT, "fontsize": size}
            entry, _ = extent_in_points(self.ax.legend(self.handles, self.labels, **options), renderer)  # the widest
            n_columns = max(1, math.floor((width + size) / (entry + 1.2 * size)))
            n_rows = math.ceil(len(self.labels) / n_columns)
            options["ncols"] = math.ceil(len(self.labels) / n_rows)
            self.legend = self.ax.legend(self.handles, self.labels, **options)
            self.legend.set_in_layout(False)  # it takes no room outside the axes
            share = (extent_in_points(self.legend, renderer)[1] + 0.5 * size) / height
            if entry <= width and share <= LEGEND_SHARE:
                break
        return min(share, 0.8)
