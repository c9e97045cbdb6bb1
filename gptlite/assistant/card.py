"""The card of a model: what it was trained on, what it can do and what it cannot."""

from __future__ import annotations

from typing import Any

from gptlite.tasks.registry import load_task
from gptlite.training.run import Run

LICENCES = {
    "books": "public domain", "encyclopedia": "CC BY-SA 4.0 (Wikipedia)",
    "dialogue": "MIT (chitchat-dataset)", "documents": "public domain",
    "rights": "free (United Nations)",
}  # fmt: skip

CANNOT = """\
It is a teaching model of a few million parameters, smaller than a picture from a
telephone. It knows 2,000 facts because it was told them, and invents the rest; it can
refuse a title it does not know and still be wrong about one it does. It calculates
through tools only. It follows the instructions that it was trained on, in English and,
where said, French. It may repeat opinions and mistakes of its texts: plays from around
1600, an encyclopedia's leads and students' small talk. Do not ask it for advice, and do
not put it before people who have not been told what it is."""


def model_card(found: dict[str, Any], corpus: dict[str, Any], run: Run) -> str:
    """Markdown, with figures from an evaluation, a corpus.json and a run."""
    model, _ = run.load()
    c, training = model.config, found["training"]
    return "\n\n".join([
        "# gptlite-mini",
        f"A GPT of {model.n_params:,} parameters: {c.n_layer} layers, {c.n_head} "
        f"heads, {c.n_embd} channels, a context of {c.context_length} tokens, a "
        f"vocabulary of {c.vocab_size:,}. Stored as float16. Made by `gptlite recipe "
        "mini`, which wrote this page too.",
        "## Trained on",
        _table(["texts", "documents", "tokens", "licence"], [
            [s["name"], f"{s['train']['documents']:,}", f"{s['train']['tokens']:,}",
             LICENCES[s["name"]]] for s in corpus["sources"]
        ]),
        _table(["task", "data"],
               [[name, load_task(name).source] for name in found["tasks"]]),
        *(_mixture(name, s["finetune"]) for name, s in training.items()
          if "finetune" in s),
        "Weights learned from texts under CC BY-SA are given under CC BY-SA 4.0; "
        "the encyclopedia's authors are named in its articles' histories.",
        "## Computed",
        _table(["stage", "steps", "minutes", "tokens/s", "held-out nats a token"], [
            [name, f"{s['steps']:,}", f"{s['seconds'] / 60:.0f}",
             f"{s['tokens_per_s']:,.0f}", f"{s['val_loss']:.3f}"]
            for name, s in training.items()
        ]),
        f"The weights are a mean: {found['kept']:.0%} are from before the last stage, "
        "the rest from after it.",
        "## Scores",
        "Held-out conversations, greedy answers, 95 % intervals. Bits a byte: lower is "
        "better.",
        _scores(found),
        _table(["text", *found["bits_per_byte_stages"]], [
            [source, *(f"{bits[source]:.3f}"
                       for bits in found["bits_per_byte_stages"].values())]
            for source in found["bits_per_byte"]
        ]),
        "## What it cannot do",
        CANNOT,
    ]) + "\n"  # fmt: skip


def _mixture(stage: str, what: dict[str, Any]) -> str:
    several = what["several"]
    row = (
        f", after {several:.0%} of them others in the same conversation"
        if several
        else ""
    )
    return (
        f"{stage.capitalize()}: {what['conversations']:,} conversations{row}, tasks by "
        f"the weights `{what['tasks']}`; {what['replay']:.0%} of the rows were text."
    )


def _scores(found: dict[str, Any]) -> str:
    rows = []
    for name, row in found["tasks"].items():
        parts = ", ".join(f"{k} {v:.3f}" for k, v in row["parts"].items())
        rows.append([
            name, row["metric"] + (f" ({parts})" if parts else ""),
            *map(_number, (row["baseline"], row["random"], row["pretrained"])),
            "{:.3f} ({:.3f} … {:.3f})".format(row["score"], *row["interval"]),
        ])  # fmt: skip
    names = ["task", "measure", "guess or copy", "random weights", "pretrained"]
    return _table([*names, "fine-tuned"], rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _table(names: list[str], rows: list[list[str]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
