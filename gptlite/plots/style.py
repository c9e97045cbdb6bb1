"""How all pictures look, and where they go."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLE = {
    "font.size": 14,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "lines.linewidth": 2,
    "figure.dpi": 100,
}
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"  # told apart by colour-blind eyes


@contextmanager
def styled() -> Iterator[None]:
    """STYLE for a while. (`rc_context` would also put back what a notebook's backend
    sets when it is loaded by the first figure, and later figures would not be shown.)
    """
    before = {name: matplotlib.rcParams[name] for name in STYLE}
    matplotlib.rcParams.update(STYLE)
    try:
        yield
    finally:
        matplotlib.rcParams.update(before)


@styled()
def new_axes(width: float = 8.0, height: float = 5.0) -> Axes:
    """Axes on a new figure (shown by a notebook when it is the last value)."""
    if matplotlib.get_backend().lower() == "agg":
        return Figure(figsize=(width, height), layout="constrained").subplots()
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def save(ax: Axes, path: str | Path | IO[bytes], close: bool = False) -> None:
    """Write the figure that `ax` is on to a PNG file.

    close: a notebook does not show it as well.
    """
    figure: Any = ax.figure
    figure.savefig(path)
    if close and figure.canvas.manager is not None:
        from matplotlib import pyplot

        pyplot.close(figure)


def png(ax: Axes, close: bool = True) -> bytes:
    """The figure that `ax` is on as a PNG file, in memory."""
    picture = io.BytesIO()
    save(ax, picture, close)
    return picture.getvalue()
