"""What training and its measures say: losses, gradients, scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from gptlite.plots.style import BLUE, GREY, ORANGE, new_axes, styled


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
def task_scores(
    tasks: Mapping[str, Mapping[str, Any]], last: str, ax: Axes | None = None
) -> Axes:
    """Scores 0 … 1 by task and stage with 95 % intervals, from `evaluate_run`.

    last: the name of the stage that `score` is of. Tasks measured in bits are left out.
    """
    tasks = {name: row for name, row in tasks.items() if row["baseline"] <= 1}
    ax = ax or new_axes(10, 1.5 + len(tasks))
    looks = {"random": "#CCCCCC", "pretrained": ORANGE, last: BLUE}
    height = 0.8 / len(looks)
    for k, (stage, color) in enumerate(looks.items()):
        for i, row in enumerate(tasks.values()):
            score = row["score"] if stage == last else row.get(stage)
            if score is None:
                continue
            low, high = row["interval" if stage == last else f"{stage}_interval"]
            y = i - 0.4 + (k + 0.5) * height
            ax.barh(y, score, height, color=color, label=stage if i == 0 else None)
            ax.plot([low, high], [y, y], color="#444444", linewidth=2)
    for i, row in enumerate(tasks.values()):
        ax.plot([row["baseline"]] * 2, [i - 0.42, i + 0.42], "k--",
                label="guess or copy" if i == 0 else None)  # fmt: skip
    ax.set_yticks(range(len(tasks)), tasks)
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    ax.set(xlabel="score", xlim=(0, 1))
    ax.legend(frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(-0.1, 1))
    return ax


@styled()
def scaling(rows: Sequence[Mapping[str, Any]], ax: Axes | None = None) -> Axes:
    """Bits a byte over tokens of training, both on logarithmic axes, a line a size.

    rows: size, parameters, tokens, bits_per_byte, as `benchmarks/sweeps.py` has them.
    """
    ax = ax or new_axes(9, 5.5)
    looks = zip((GREY, ORANGE, BLUE, "#009E73"), "s^oD", strict=True)
    for size, (color, mark) in zip(dict.fromkeys(r["size"] for r in rows), looks,
                                   strict=False):  # fmt: skip
        mine = [r for r in rows if r["size"] == size]
        label = f"{size}: {mine[0]['parameters'] / 1e6:.1f} M parameters"
        tokens = [r["tokens"] / 1e6 for r in mine]
        ax.loglog(tokens, [r["bits_per_byte"] for r in mine], mark + "-", color=color,
                  label=label, markersize=9)  # fmt: skip
    for axis, values in ((ax.xaxis, [r["tokens"] / 1e6 for r in rows]),
                         (ax.yaxis, [r["bits_per_byte"] for r in rows])):  # fmt: skip
        ticks = sorted({round(v, 2) for v in values})
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_minor_locator(NullLocator())
    ax.set(xlabel="tokens of training (millions)", ylabel="bits a byte, held-out text")
    ax.legend(frameon=False)
    return ax
