"""report.html of a reward model or a policy: is it to be trusted, what became of it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gptlite import plots
from gptlite.files import write_text
from gptlite.page import facts, heading, page, paragraph, picture


def share(mean: float, interval: Sequence[float]) -> str:
    """A share with its interval.

    >>> share(0.825, (0.79, 0.86))
    '82.5 % (79.0 … 86.0 %)'
    """
    low, high = interval
    return f"{100 * mean:.1f} % ({100 * low:.1f} … {100 * high:.1f} %)"


def write_report(
    path: str | Path, title: str, health: Mapping[str, Any],
    curve: Sequence[Mapping[str, Any]] = (),
) -> None:  # fmt: skip
    """Write a page with the figures of `alignment.health.health`.

    curve: rows of `study.learning_curve`, if there are any. What a figure means is in
    docs/alignment/reward.md.
    """
    classes = health["calibration"]
    parts = [
        facts(_figures(health)),
        heading("How sure, how often right"),
        paragraph("Above the line it is too modest, below the line too sure."),
        picture(plots.png(plots.calibration_curve(classes)),
                "How often it is right over how sure it is"),
        *_curve(curve),
        heading("The pairs it gets most wrong"),
        *_wrong(health["worst"]),
    ]  # fmt: skip
    write_text(Path(path), page(title, parts))


def _figures(health: Mapping[str, Any]) -> dict[str, str]:
    found = {
        "held-out pairs": f"{health['pairs']:,}",
        "in the right order": share(health["accuracy"], health["interval"]),
    }
    if "truth" in health:
        found["ordered as the truth does"] = share(
            health["truth"], health["truth_interval"]
        )
    return found | {
        "calibration error": f"{health['calibration_error']:.3f}",
        "correlation of reward and length": f"{health['length_correlation']:+.2f}",
        "the longer answer was preferred":
            f"in {100 * health['longer_preferred']:.1f} %",
        "rewards, mean and spread": f"{health['reward_mean']:.2f}, "
        f"{health['reward_spread']:.2f}",
    }  # fmt: skip


def _curve(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The learning curve as a picture and in figures; nothing if it is not known."""
    if not rows:
        return []
    points = [(row["accuracy"], *row["interval"]) for row in rows]
    drawn = plots.learning_from_ratings([row["n"] for row in rows], points)
    return [
        heading("How many ratings are enough"),
        picture(plots.png(drawn), "Held-out accuracy over the number of ratings"),
        facts({f"{row['n']:,} ratings": share(row["accuracy"], row["interval"])
               for row in rows}),
    ]  # fmt: skip


def _wrong(worst: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table for each pair that is in the wrong order."""
    tables = [
        facts({
            "prompt": row["prompt"], "better": row["better"], "worse": row["worse"],
            "reward of the better one, minus the other's": f"{row['margin']:+.2f}",
        })
        for row in worst if row["margin"] <= 0
    ]  # fmt: skip
    return tables or [paragraph("None is in the wrong order.")]


def write_policy_report(
    run: str | Path, title: str, found: Mapping[str, Any],
    rounds: Sequence[Mapping[str, Any]],
) -> Path:  # fmt: skip
    """Write RUN/report.html: found as `align` returns it, its rounds, their samples."""
    shown = [row["samples"] for row in rounds if "samples" in row]
    numbers = {k.replace("_", " "): f"{v:,.2f}" for k, v in found.items()
               if isinstance(v, float)}  # fmt: skip
    parts = [facts(numbers)]
    if any("reward" in row for row in rounds):  # DPO has none, and no rounds
        parts += [
            heading("Round by round"),
            picture(plots.png(plots.rounds(rounds)), "What happened in each round"),
        ]
    if shown:
        parts.append(heading("The same prompts, before and after"))
        for first, last in zip(shown[0], shown[-1], strict=True):
            parts.append(facts({"prompt": first["prompt"], "before": first["answer"],
                                "after": last["answer"]}))  # fmt: skip
    path = Path(run) / "report.html"
    write_text(path, page(title, parts))
    return path
