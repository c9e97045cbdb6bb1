"""Answers to conversations: many in one batch, or one as a stream; tools are run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gptlite.models.generate import Decoder
from gptlite.models.gpt import GPT
from gptlite.models.sampling import Sampling, sample
from gptlite.text.chat import (
    END,
    SPECIAL,
    TOOL,
    Conversation,
    Message,
    render_prompt,
    special_ids,
)
from gptlite.text.tokenizer import Tokenizer

CALLS = 4  # that an answer may make before it has to be one
GREEDY = Sampling(temperature=0)
RunTool = Callable[[str, Conversation], str]


@dataclass(frozen=True, slots=True)
class Answer:
    """The turns that the assistant added: calls with the tools' answers, and a text.

    finished: it ended its last turn; else the tokens ran out.
    """

    turns: Conversation
    finished: bool

    @property
    def text(self) -> str:
        """What it says in the end; empty if it only called tools."""
        last = self.turns[-1]
        return last.content if last.role == "assistant" else ""


def turns_of(
    model: GPT,
    tokenizer: Tokenizer,
    conversations: Sequence[Conversation],
    max_tokens: int,
    sampling: Sampling,
    rng: np.random.Generator,
) -> list[tuple[Message, bool]]:
    """The next turn of the assistant in each conversation, and whether it ended."""
    special = special_ids(tokenizer)
    end = special[END]
    prompts = [render_prompt(c, tokenizer).tolist() for c in conversations]
    decoder = Decoder(model, tokenizer.vocab_size, prompts)
    ended = np.zeros(len(prompts), bool)
    for _ in range(max_tokens):
        ids, _ = sample(decoder.logits, decoder.seen, sampling, rng=rng)
        ended |= ids == end
        if ended.all():
            break
        decoder.append(np.where(ended, end, ids))
    names = {special[name] for name in SPECIAL}
    found = []
    for row, prompt, done in zip(decoder.rows, prompts, ended, strict=True):
        new = row[len(prompt) :]
        new = new[: new.index(end)] if end in new else new
        role = "call" if new[:1] == [special[TOOL]] else "assistant"
        text = tokenizer.decode([i for i in new if i not in names])
        found.append((Message(role, text), bool(done)))
    return found


def answers(
    model: GPT,
    tokenizer: Tokenizer,
    conversations: Sequence[Conversation],
    run_tool: RunTool,
    max_tokens: int = 64,
    sampling: Sampling = GREEDY,
    *,
    rng: np.random.Generator,
) -> list[Answer]:
    """Answer every conversation; what the model calls is run, and it goes on.

    run_tool: (call, conversation so far) → what the tool says. max_tokens: of a turn.
    Of a conversation longer than the context, the newest tokens are read.
    """
    added: list[Conversation] = [() for _ in conversations]
    finished = [False] * len(conversations)
    open_ = list(range(len(conversations)))
    for _ in range(CALLS + 1):
        if not open_:
            break
        asked = [conversations[i] + added[i] for i in open_]
        turns = turns_of(model, tokenizer, asked, max_tokens, sampling, rng)
        calling = []
        for i, so_far, (turn, ended) in zip(open_, asked, turns, strict=True):
            added[i] += (turn,)
            finished[i] = ended
            if turn.role == "call":
                added[i] += (Message("tool", run_tool(turn.content, so_far)),)
                calling.append(i)
        open_ = calling
    return [Answer(turns, end) for turns, end in zip(added, finished, strict=True)]
