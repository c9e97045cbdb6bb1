"""Conversations of the tasks as batches: drawn, packed, a part held back."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

import numpy as np

from gptlite.batch import Batch
from gptlite.config import TrainConfig
from gptlite.errors import ConfigError, DataError
from gptlite.tasks.held_out import sealed
from gptlite.tasks.registry import TASKS
from gptlite.tasks.task import Task as AssistantTask
from gptlite.text.chat import Rendered, pack, render
from gptlite.text.dataset import Dataset
from gptlite.text.tokenizer import Tokenizer
from gptlite.training.loop import Task

MOST = 4  # that follow one another in one conversation
HELD_BACK = 0.05  # share of the conversations that the held-out loss is measured on


def mixture(text: str) -> dict[str, float]:
    """Tasks with their weights; all alike if none is named.

    >>> mixture("facts=2,rewrite")
    {'facts': 2.0, 'rewrite': 1.0}
    """
    found: dict[str, float] = {}
    for part in filter(None, text.replace(" ", "").split(",")):
        name, _, weight = part.partition("=")
        if name not in TASKS:
            close = difflib.get_close_matches(name, TASKS, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ConfigError(
                f"wanted tasks among {', '.join(TASKS)}, got {name!r}{hint}"
            )
        try:
            found[name] = float(weight or 1)
        except ValueError as error:
            raise ConfigError(
                f"wanted a weight such as {name}=2, got {part!r}"
            ) from error
        if not 0 < found[name] < float("inf"):
            raise ConfigError(f"wanted a weight > 0 for {name}, got {weight}")
    return found or dict.fromkeys(TASKS, 1.0)


def draw_conversations(
    tasks: Mapping[str, AssistantTask],
    weights: Mapping[str, float],
    n: int,
    tokenizer: Tokenizer,
    longest: int,
    several: float = 0.0,
    *,
    rng: np.random.Generator,
) -> list[Rendered]:
    """n conversations of the tasks by their weights, as tokens; some in a row.

    Those longer than `longest` are left out. Nothing that is held out can be read.
    """
    names = list(weights)
    shares = np.array([weights[name] for name in names])
    chosen = rng.choice(len(names), n, p=shares / shares.sum())
    with sealed():
        drawn = (tasks[names[i]].draw(rng) for i in chosen.tolist())
        rendered = (render(conversation, tokenizer) for conversation in drawn)
        short = [one for one in rendered if len(one) <= longest]
    return chained(short, several, longest, rng=rng)


def chained(
    rendered: list[Rendered], several: float, longest: int,
    *, rng: np.random.Generator,
) -> list[Rendered]:  # fmt: skip
    """The same conversations, some of them as parts of a longer one.

    several: the probability that up to MOST of them follow one another, as far as they
    fit into `longest` tokens. A later question sees the earlier ones and their answers.
    """
    found, at = list[Rendered](), 0
    while at < len(rendered):
        n = int(rng.integers(2, MOST + 1)) if rng.random() < several else 1
        sizes = np.cumsum([len(one) for one in rendered[at : at + n]])
        fit = max(1, int((sizes <= longest).sum()))
        row = rendered[at : at + fit]
        ids, learned = ([getattr(one, name) for one in row]
                        for name in ("ids", "learned"))  # fmt: skip
        found.append(Rendered(np.concatenate(ids), np.concatenate(learned)))
        at += fit
    return found


def rows_of(batch: Batch, at: np.ndarray) -> Batch:
    """These rows of a batch."""
    segments = None if batch.segments is None else batch.segments[at]
    return Batch(batch.ids[at], batch.targets[at], batch.mask[at], segments)


def joined(a: Batch, b: Batch) -> Batch:
    """The rows of both; a batch without segments has one segment a row."""

    def segments(batch: Batch) -> np.ndarray:
        return np.zeros_like(batch.ids) if batch.segments is None else batch.segments

    parts = [(x.ids, x.targets, x.mask, segments(x)) for x in (a, b)]
    return Batch(*(np.concatenate(pair) for pair in zip(*parts, strict=True)))


def assistant_task(
    rendered: list[Rendered],
    tokenizer: Tokenizer,
    config: TrainConfig,
    T: int,
    replay: float = 0.0,
    text: Dataset | None = None,
) -> Task:
    """Packed conversations as the loop wants them; a part is held back to measure on.

    replay: share of a batch's rows that come from `text`, all of whose tokens count.
    """
    cut = max(1, int(HELD_BACK * len(rendered)))
    if len(rendered) <= cut:
        raise DataError(
            f"wanted at least 2 conversations that fit into {T + 1} tokens, got "
            f"{len(rendered)}; draw more, or take a longer context"
        )
    if not any(one.learned.any() for one in rendered):
        raise DataError(
            "wanted conversations in which the assistant says something, got none; "
            "end each with its answer"
        )
    held_back, rows = pack(rendered[:cut], T), pack(rendered[cut:], T)
    # the longest conversations are packed first: shuffled, a part stands for all
    shuffled = np.random.default_rng(config.seed).permutation(len(held_back))
    held_back = rows_of(held_back, shuffled)
    n_text = round(replay * config.batch_size) if text is not None else 0
    learned = np.concatenate([one.ids[one.learned] for one in rendered[:cut]])

    def next_batch(rng: np.random.Generator) -> Batch:
        n = config.batch_size - n_text
        batch = rows_of(rows, rng.integers(0, len(rows), n))
        if text is None or not n_text:
            return batch
        return joined(batch, text.random_batch(n_text, T, rng=rng))

    def validation(n: int) -> Iterator[Batch]:
        end = min(n or len(held_back), len(held_back))
        for start in range(0, end, config.batch_size):
            yield held_back.rows(start, min(end, start + config.batch_size))

    return Task(
        next_batch, validation,
        bytes_per_token=len(tokenizer.decode_bytes(learned)) / max(1, len(learned)),
        sample=lambda rng: "",
    )  # fmt: skip
