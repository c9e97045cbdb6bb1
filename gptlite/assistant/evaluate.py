"""How good an assistant is: every task's held-out part, with intervals and samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gptlite.models.answer import Answer, RunTool, answers
from gptlite.models.gpt import GPT
from gptlite.text.chat import Conversation, pack, render
from gptlite.text.tokenizer import Tokenizer

BATCH = 64  # conversations that are answered at a time


def asked_part(conversation: Conversation) -> Conversation:
    """What comes before the assistant's first answer or call."""
    for i, message in enumerate(conversation):
        if message.role in ("assistant", "call"):
            return conversation[:i]
    return conversation


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


def bits_per_byte_of_answers(
    model: GPT, tokenizer: Tokenizer, conversations: Sequence[Conversation]
) -> list[float]:
    """Of each conversation's last turn: how many bits the model needs for a byte."""
    T = model.config.context_length
    found = []
    for conversation in conversations:
        rendered = render(conversation, tokenizer)
        batch = pack([rendered], T)
        loss = model.loss(model.activations(*batch.ids.shape), batch)
        learned = rendered.ids[rendered.learned]
        found.append(loss / math.log(2) / max(1, len(tokenizer.decode_bytes(learned))))
    return found
