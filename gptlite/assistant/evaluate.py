"""How good an assistant is: every task's held-out part, with intervals and samples."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gptlite.errors import DataError
from gptlite.models.answer import Answer, RunTool, answers
from gptlite.models.gpt import GPT
from gptlite.tasks.metrics import ratio_interval, score_interval
from gptlite.tasks.task import Task
from gptlite.text.chat import Conversation, pack, render
from gptlite.text.tokenizer import Tokenizer
from gptlite.tools import PICTURE, run

BATCH = 64  # conversations that are answered at a time
LONGEST = 64  # tokens of an answer


def asked_part(conversation: Conversation) -> Conversation:
    """All up to the last thing that the user says, which is to be answered."""
    asks = [i for i, message in enumerate(conversation) if message.role == "user"]
    return conversation[: asks[-1] + 1] if asks else conversation


def answer_all(
    model: GPT,
    tokenizer: Tokenizer,
    conversations: Sequence[Conversation],
    run_tool: RunTool,
    max_tokens: int,
    seed: int = 0,
) -> list[Answer]:
    """Greedy answers, in batches of conversations of like length."""
    asked = [asked_part(c) for c in conversations]
    lengths = [sum(len(message.content) for message in c) for c in asked]
    order = np.argsort(lengths, kind="stable").tolist()
    found: dict[int, Answer] = {}
    rng = np.random.default_rng(seed)  # unused by greedy sampling, asked for by it
    for start in range(0, len(order), BATCH):
        some = order[start : start + BATCH]
        done = answers(
            model, tokenizer, [asked[i] for i in some], run_tool, max_tokens, rng=rng
        )
        found.update(zip(some, done, strict=True))
    return [found[i] for i in range(len(asked))]


def answer_bits(
    model: GPT, tokenizer: Tokenizer, conversations: Sequence[Conversation]
) -> tuple[list[float], list[float]]:
    """Of each conversation: the bits that the model needs for what is learned of it,
    and how many bytes that is. Those that do not fit into the context are left out."""
    T = model.config.context_length
    bits, sizes = [], []
    for conversation in conversations:
        rendered = render(conversation, tokenizer)
        if len(rendered) > T + 1:
            continue
        batch = pack([rendered], T)
        loss = model.loss(model.activations(*batch.ids.shape), batch)
        learned = rendered.ids[rendered.learned]
        bits.append(loss / math.log(2))
        sizes.append(float(len(tokenizer.decode_bytes(learned))))
    return bits, sizes


def tools(call: str, messages: Conversation) -> str:
    """What a tool says; its pictures are dropped."""
    with tempfile.TemporaryDirectory() as folder:
        return run(call, messages, picture=Path(folder) / PICTURE)


def later_score(
    task: Task, model: GPT, tokenizer: Tokenizer, conversations: Sequence[Conversation]
) -> float:
    """The score of the same questions, each after another one and its answer."""
    rng = np.random.default_rng(1)
    earlier = [task.draw(rng) for _ in conversations]
    both = [before + c for before, c in zip(earlier, conversations, strict=True)]
    given = answer_all(model, tokenizer, both, tools, LONGEST)
    scores = [task.score(c, a.text) for c, a in zip(conversations, given, strict=True)]
    return float(np.mean(scores))


def evaluate_task(
    task: Task, model: GPT, tokenizer: Tokenizer, n: int, shown: int = 5, later: int = 0
) -> dict[str, Any]:
    """The score of a model in one task, its interval, the baseline's, and samples.

    parts.later: of the first `later`, asked after another question and its answer.
    A task that is measured by likelihood has bits a byte as its score: lower is better,
    and its baseline is a model that knows nothing (8 bits a byte). parts: what a task
    says of its scores besides their mean.
    """
    conversations = task.test(n)
    if getattr(task, "measured_by", "answers") == "likelihood":
        bits, sizes = answer_bits(model, tokenizer, conversations)
        if not bits:
            T = model.config.context_length
            raise DataError(
                f"wanted a conversation of {task.name} that fits into {T} tokens, got "
                "none; leave the task out with --tasks, or train with a longer context"
            )
        found = ratio_interval(bits, sizes)
        baseline, some = 8.0, conversations[:shown]
    else:
        some = conversations
        rng = np.random.default_rng(0)
        guesses = [task.score(c, task.baseline(c, rng)) for c in conversations]
        baseline = float(np.mean(guesses))
    given = answer_all(model, tokenizer, some, tools, LONGEST)
    parts: dict[str, float] = {}
    if some is conversations:
        scores = [task.score(c, a.text) for c, a in zip(some, given, strict=True)]
        found = score_interval(scores)
        if hasattr(task, "parts"):
            parts = task.parts(some, scores)
        if later:
            parts["later"] = later_score(task, model, tokenizer, some[:later])
    samples = [
        {"asked": "\n".join(m.content for m in asked_part(c)), "answer": a.text,
         "right": c[-1].content}
        for c, a in zip(some[:shown], given, strict=False)
    ]  # fmt: skip
    return {"score": found.mean, "interval": [found.low, found.high],
            "baseline": baseline, "metric": task.metric, "n": len(conversations),
            "parts": parts, "samples": samples}  # fmt: skip
