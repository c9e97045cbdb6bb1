"""Learning from ratings, in pictures: how sure a reward model is, what PPO does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gptlite.plots.style import BLUE, GREY, ORANGE, new_axes, styled

# what is shown of a round, with its unit
PANELS = {
    "reward": "reward", "kl": "KL to the reference\n(nats an answer)",
    "entropy": "entropy\n(nats a token)", "value": "value loss",
    "clipped": "clipped\n(share of tokens)", "length": "answer\n(tokens)",
    "distinct_2": "different pairs\nof words (share)", "kl_weight": "weight of the KL",
}  # fmt: skip


@styled()
def calibration_curve(
    classes: Sequence[Mapping[str, float]], ax: Axes | None = None
) -> Axes:
    """How often a reward model is right where it is so sure, from `calibration`.

    classes: sure, right and n each. The bars are 95 % of what chance alone would do.
    """
    ax = ax or new_axes(6.5, 6)
    sure, right, n = (np.array([c[k] for c in classes]) for k in ("sure", "right", "n"))
    ax.plot([0.5, 1], [0.5, 1], "--", color=GREY, label="as sure as right")
    spread = 1.96 * np.sqrt(np.clip(right * (1 - right), 1e-9, None) / n)
    ax.errorbar(sure, right, spread, fmt="o-", color=BLUE, capsize=4, markersize=8,
                label="the reward model")  # fmt: skip
    ax.set(xlabel="how sure it is", ylabel="how often it is right", xlim=(0.5, 1.01),
           ylim=(0, 1.02))  # fmt: skip
    ax.legend(frameon=False, loc="lower right")
    return ax


@styled()
def learning_from_ratings(
    numbers: Sequence[int], accuracies: Sequence[tuple[float, float, float]],
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Held-out accuracy over how many ratings were learned from.

    accuracies: (mean, low, high) for each of `numbers`.
    """
    ax = ax or new_axes(8, 5)
    mean, low, high = np.array(accuracies).T
    ax.fill_between(numbers, low, high, color=BLUE, alpha=0.25, linewidth=0)
    ax.semilogx(numbers, mean, "o-", color=BLUE, markersize=8)
    ax.axhline(0.5, color=GREY, linestyle="--")
    ax.set_xticks(list(numbers), [f"{n:,}" for n in numbers])
    ax.minorticks_off()
    ax.set(
        xlabel="ratings", ylabel="held-out pairs in the right order", ylim=(0.4, 1.02)
    )
    return ax


@styled()
def rounds(rows: Sequence[Mapping[str, Any]]) -> Axes:
    """What happened in each round of PPO, a panel a number; returns the first one.

    Dots: of the policy that would be handed over, whose weights are a mean.
    """
    shown = [name for name in PANELS if name in rows[0]]
    figure = Figure(figsize=(13, 6.5), layout="constrained")
    axes = figure.subplots(2, -(-len(shown) // 2), sharex=True, squeeze=False)
    for ax, name in zip(axes.flat, shown, strict=False):
        ax.plot([row[name] for row in rows], color=BLUE)
        looks = {i: row["look"][name] for i, row in enumerate(rows)
                 if name in row.get("look", {})}  # fmt: skip
        ax.plot(list(looks), list(looks.values()), "o", color=ORANGE)
        ax.set_title(PANELS[name], fontsize=14)
    for ax in axes.flat[len(shown) :]:
        ax.axis("off")
    whole = MaxNLocator(integer=True, min_n_ticks=1)  # else one round gets fractions
    axes[0, 0].xaxis.set_major_locator(whole)  # which all share
    for ax in axes[-1]:
        ax.set_xlabel("round")
    return axes[0, 0]


@styled()
def over_optimisation(
    curves: Mapping[str, Sequence[Mapping[str, float]]], ax: Axes | None = None
) -> Axes:
    """Learned and true reward over √KL, as Gao et al. 2022 (arXiv:2210.10760) draw it.

    curves: runs by name (at most two), each of rows with kl, reward and truth.
    """
    ax = ax or new_axes(9, 5.5)
    for (name, rows), color in zip(curves.items(), (ORANGE, BLUE), strict=False):
        far = np.sqrt(np.maximum([row["kl"] for row in rows], 0))
        for key, dash in (("reward", "--"), ("truth", "-")):
            what = "learned reward" if key == "reward" else "true reward"
            ax.plot(far, [row[key] for row in rows], dash, color=color,
                    label=f"{name}: {what}")  # fmt: skip
    ax.set(xlabel="distance from the reference, √KL (√nats)", ylabel="reward")
    ax.legend(frameon=False)
    return ax
