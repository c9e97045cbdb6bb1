"""What workers send one another, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from gptlite.errors import DataError
from gptlite.plots.style import BLUE, GREY, ORANGE, new_axes, styled

CELL, GAP, HEAD = 1.8, 1.0, 2.4  # a chunk's width; between panels; above a row of them
INCH = 0.5  # of one unit
LIGHTEST, DARKEST = 0.15, 0.6  # how much orange is in a sum that is not complete


def _cell(ax: Axes, x: float, y: float, mask: int, size: int, came: bool) -> None:
    """One chunk of one worker: whose numbers are in it; with an arrow if it just came.

    mask: bit r says that worker r's are.
    """
    ranks = [rank for rank in range(size) if mask >> rank & 1]
    full = len(ranks) == size
    strength = LIGHTEST + (DARKEST - LIGHTEST) * (len(ranks) - 1) / (size - 1)
    face = BLUE if full else (ORANGE, strength)
    box: dict[str, Any] = {"facecolor": face, "edgecolor": "white", "lw": 2}
    ax.add_patch(Rectangle((x, y), CELL, 1, **box))
    text = "sum" if full else "".join(map(str, ranks))
    weight = "bold" if came else "normal"
    ax.text(
        x + CELL / 2, y + 0.5, text, ha="center", va="center",
        color="white" if full else "black", fontsize=15, weight=weight,
    )  # fmt: skip
    if came:
        ax.add_patch(
            Rectangle((x, y), CELL, 1, fill=False, edgecolor="black", lw=2.5, zorder=3)
        )
        ax.annotate(
            "", (x + 0.15, y + 0.5), (x - 0.3, y + 0.5), zorder=4,
            arrowprops={"arrowstyle": "-|>", "lw": 2.5, "mutation_scale": 16,
                        "shrinkA": 0, "shrinkB": 0, "color": "black"},
        )  # fmt: skip


@styled()
def ring_steps(history: np.ndarray, ax: Axes | None = None) -> Axes:
    """A ring all-reduce, a panel for each step: reduce-scatter above, all-gather below.

    history: (2N − 1, N, N), 2 … 6 workers, from `parallel.history.ring_history`: whose
    numbers are in [step][worker][chunk], as a mask of bits. A column is a worker, a row
    a chunk; 02 is the sum of workers 0's and 2's numbers, blue the sum of all. A frame
    and an arrow: it has just come, from the left neighbour (worker 0's is the last).
    """
    size = history.shape[-1]
    if history.shape != (2 * size - 1, size, size) or not 2 <= size <= 6:
        raise DataError(
            f"wanted a history (2N − 1, N, N) of 2 … 6 workers, got {history.shape}; "
            "pass ring_history(N)"
        )
    wide, high = size * CELL + GAP, size + HEAD
    ax = ax or new_axes((size * wide + 2) * INCH, (2 * high + 0.6) * INCH)
    for step, held in enumerate(history):
        row, column = (0, step) if step < size else (1, step - size + 1)
        left, bottom = column * wide, -row * high
        title = "start" if step == 0 else f"step {step}"
        ax.text(left, bottom + size + 0.2, title, fontsize=17)
        for worker in range(size):
            middle = left + (worker + 0.5) * CELL
            ax.text(middle, bottom - 0.15, str(worker), ha="center", va="top")
            for chunk in range(size):
                came = step > 0 and bool(
                    held[worker, chunk] != history[step - 1, worker, chunk]
                )
                mask = int(held[worker, chunk])
                x, y = left + worker * CELL, bottom + size - 1 - chunk
                _cell(ax, x, y, mask, size, came)
    for chunk in range(size):
        ax.text(-0.3, size - 0.5 - chunk, f"chunk {chunk}", ha="right", va="center")
    ax.text(-0.3, -0.15, "worker", ha="right", va="top")
    heading: dict[str, Any] = {"fontsize": 17, "weight": "bold"}
    ax.text(0, size + 1.1, "reduce-scatter: pass on, and add", **heading)
    ax.text(0, -high + size / 2, "all-gather:\npass on", va="center", **heading)
    ax.set(xlim=(-2.6, size * wide - GAP + 0.2), ylim=(-high - 0.8, size + 1.9))
    ax.set_axis_off()
    return ax


COLOURS = {"forward": "#56B4E9", "backward": BLUE, "all-reduce": ORANGE, "update": GREY}


@styled()
def gantt(
    spans: Sequence[tuple[int, str, float, float]], ax: Axes | None = None
) -> Axes:
    """A step of some workers: what each computes, and below it what its links carry.

    spans: (worker, what, start, stop), as of a `cluster.clock.Step` that was simulated
    with these workers `shown`.
    """
    workers = list(dict.fromkeys(worker for worker, *_ in spans))
    if not workers:
        raise DataError("wanted spans to draw, got none; simulate with shown=[0, …]")
    ax = ax or new_axes(11, 1.5 + 1.3 * len(workers))
    known: set[str] = set()
    for worker, what, start, stop in spans:
        links = what == "all-reduce"
        ax.barh(
            workers.index(worker) + (0.32 if links else -0.05), stop - start,
            left=start, height=0.26 if links else 0.44, color=COLOURS[what],
            edgecolor="white", linewidth=0.6, label=None if what in known else what,
        )  # fmt: skip
        known.add(what)
    ax.set_yticks(range(len(workers)), [f"worker {w}" for w in workers])
    ax.invert_yaxis()
    ax.set(xlabel="seconds since the step began", xlim=(0, None))
    ax.grid(axis="y", visible=False)
    ax.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return ax
