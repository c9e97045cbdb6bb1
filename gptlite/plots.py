"""Pictures, large enough for the last row. The only file that imports matplotlib.

Every function draws on `ax` (a new one if `None`) and returns it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import matplotlib
import numpy as np
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


@styled()
def learning_curve(
    metrics: Sequence[dict[str, Any]], ax: Axes | None = None, smooth: int = 20
) -> Axes:
    """Training and validation loss over the steps, from the rows of metrics.jsonl.

    The training loss is also shown as the mean of `smooth` neighbouring steps.
    """
    ax = ax or new_axes()
    train = [(row["step"], row["loss"]) for row in metrics if "loss" in row]
    measured = [(row["step"], row["val_loss"]) for row in metrics if "val_loss" in row]
    if train:
        steps, losses = np.array(train).T
        window = min(smooth, len(losses))
        ax.plot(steps, losses, color=BLUE, alpha=0.2, linewidth=1)
        mean = np.convolve(losses, np.ones(window) / window, mode="valid")
        middle = steps[(window - 1) // 2 :][: len(mean)]
        ax.plot(middle, mean, color=BLUE, label="training")
    if measured:
        steps, losses = np.array(measured).T
        ax.plot(steps, losses, "o-", color=ORANGE, label="validation (a sample)")
        ax.annotate(
            f"{losses[-1]:.2f}",
            (steps[-1], losses[-1]),
            textcoords="offset points",
            xytext=(-4, 10),
            ha="right",
            color=ORANGE,
        )
    ax.set(xlabel="step", ylabel="loss (nats a token)", title="Learning curve")
    if train or measured:
        ax.legend(frameon=False)
    return ax


@styled()
def attention_map(
    weights: np.ndarray, tokens: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """One head's attention (Tq, Tk): how much each query (row) takes of each key."""
    ax = ax or new_axes(7, 6)
    image = ax.imshow(weights, cmap="Blues", vmin=0, vmax=float(weights.max()))
    ax.grid(False)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8)
    bar.set_label("attention weight")
    if tokens is not None:
        shown = [repr(t)[1:-1] if t.isspace() else t for t in tokens]
        ax.set_xticks(range(weights.shape[1]), shown[: weights.shape[1]])
        ax.set_yticks(range(weights.shape[0]), shown[-weights.shape[0] :])
    ax.set(xlabel="key (looked at)", ylabel="query (looking)")
    return ax


@styled()
def gradient_sizes(
    exponents: np.ndarray, counts: dict[str, np.ndarray], ax: Axes | None = None
) -> Axes:
    """How large gradients are: a line for each of `counts`, over powers of two.

    exponents: (n + 1,), the ends of the classes; counts: (n,) each. Marked: where
    float16 becomes coarse (below 2^-14), where it becomes 0, and where it ends.
    """
    ax = ax or new_axes(9, 5)
    for (label, found), color in zip(counts.items(), (BLUE, ORANGE), strict=False):
        share = found / max(1, found.sum())
        ax.stairs(100 * share, exponents, label=label, color=color, linewidth=2.5)
    ax.axvspan(exponents[0], -25, color=GREY, alpha=0.35)
    ax.axvspan(-25, -14, color=GREY, alpha=0.15)
    ax.axvspan(16, 24, color=GREY, alpha=0.35)
    top = 1.12 * ax.get_ylim()[1]
    ax.set_ylim(0, top)
    for x, text in ((-26, "becomes 0"), (-14.5, "coarse")):
        ax.text(x, 0.97 * top, text, ha="right", va="top", color="#444444")
    ax.text(16.4, 0.97 * top, "infinity", va="top", color="#444444")
    ax.set(xlabel="size, power of two", ylabel="% of the gradients",
           xlim=(-45, 24), title="Gradients of activations in float16")  # fmt: skip
    ax.legend(frameon=False, loc="center left")
    return ax


def _place_labels(ax: Axes, places: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """(n, 2): where each label's lower left corner goes, in pixels from its point.

    One after another takes, of eight places around its point, the one that covers the
    least of the other points and of the labels that are there already.
    """
    size = STYLE["font.size"] * ax.figure.dpi / 72
    points = ax.transData.transform(places)  # (n, 2) pixels
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in points]

    def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
        width = min(a[2], b[2]) - max(a[0], b[0])
        return max(0.0, width) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))

    out = []
    for number, ((x, y), label) in enumerate(zip(points, labels, strict=True)):
        w, h, gap = 0.6 * size * len(label), 1.1 * size, 7
        others = taken[:number] + taken[number + 1 :]
        covered = {}
        for dx in (gap, -gap - w, -w / 2):
            for dy in (-h / 2, gap, -gap - h):
                if (dx, dy) != (-w / 2, -h / 2):  # not on the point itself
                    box = x + dx, y + dy, x + dx + w, y + dy + h
                    covered[box] = sum(overlap(box, other) for other in others)
        best = min(covered, key=lambda box: covered[box])
        taken.append(best)
        out.append((best[0] - x, best[1] - y))
    return np.array(out)


@styled()
def word_map(places: np.ndarray, words: Sequence[str], ax: Axes | None = None) -> Axes:
    """Words at their places (n, 2), such as those of `WordVectors.plane`."""
    ax = ax or new_axes(9, 6.5)
    ax.plot(*places.T, "o", color=BLUE)
    ax.margins(0.15)
    ax.autoscale_view()
    offsets = _place_labels(ax, places, words)
    for place, word, offset in zip(places, words, offsets, strict=True):
        ax.annotate(word, place, offset, textcoords="offset pixels", parse_math=False)
    ax.set(xlabel="first main direction", ylabel="second", title="Word vectors")
    return ax


@styled()
def mean_curves(
    steps: np.ndarray, curves: dict[str, np.ndarray], ax: Axes | None = None
) -> Axes:
    """Losses (seeds, n) at `steps` (n,): their mean, and from least to most as a band.

    At most three curves, the first is the one to compare with. The legend has the last
    mean and half the range.
    """
    ax = ax or new_axes(9, 5.5)
    looks = ((GREY, "--"), (BLUE, "-"), (ORANGE, "-"))[: len(curves)]
    for (label, losses), (color, dash) in zip(curves.items(), looks, strict=True):
        mean = losses.mean(axis=0)
        ax.fill_between(
            steps, losses.min(axis=0), losses.max(axis=0), color=color, alpha=0.25,
            linewidth=0,
        )  # fmt: skip
        last = f"{mean[-1]:.3f} ± {np.ptp(losses[:, -1]) / 2:.3f}"
        ax.plot(steps, mean, dash, color=color, label=f"{label}: {last}")
    ax.set(xlabel="step", ylabel="validation loss (nats a token)")
    ax.legend(frameon=False)
    return ax


@styled()
def corpus_picture(rows: Sequence[dict[str, Any]], ax: Axes | None = None) -> Axes:
    """What became of each source's documents, in percent, from `report.table`."""
    rows = rows[::-1]  # the first one on top
    ax = ax or new_axes(11, 1.8 + len(rows))
    looks = {
        "kept": BLUE, "exact repeats": ORANGE, "near repeats": "#E69F00",
        "other language": "#009E73", "empty": GREY, "broken lines": "#444444",
    }  # fmt: skip
    start = np.zeros(len(rows))
    for name in [name for name in looks if name in rows[0]]:
        documents = np.array([max(1, row["documents"]) for row in rows])
        share = 100 * np.array([row[name] for row in rows]) / documents
        ax.barh(range(len(rows)), share, left=start, color=looks[name], label=name)
        start += share
    labels = [
        f"{row['source']}\n{row['documents']:,} documents\n"
        f"{row['tokens'] / 1e6:.2f} M tokens, {row['tokens a word']:g} a word"
        for row in rows
    ]
    ax.set_yticks(range(len(rows)), labels, parse_math=False)
    ax.set(xlabel="% of the documents", xlim=(0, 100))
    ax.grid(False, axis="y")
    ax.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return ax
