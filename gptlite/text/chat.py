"""Conversations as tokens, and which of them the assistant has to learn.

A turn is the token of its role, its text, and the token `<|end|>`:

    <|user|>What is an owl?<|end|><|assistant|>A bird.<|end|>

These tokens have ids of their own, which no text that is encoded can produce, so that
nobody can put words into another one's mouth.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gptlite.batch import Batch
from gptlite.errors import DataError
from gptlite.text.bpe import BPETokenizer
from gptlite.text.tokenizer import Tokenizer
from gptlite.text.vocabularies import END as END_OF_TEXT

SYSTEM, USER, ASSISTANT = "<|system|>", "<|user|>", "<|assistant|>"
TOOL, DOCUMENT, PICTURE = "<|tool|>", "<|document|>", "<|picture|>"
END = "<|end|>"
SPECIAL = (END_OF_TEXT, SYSTEM, USER, ASSISTANT, TOOL, DOCUMENT, PICTURE, END)

# what a turn begins with, and after which roles it may come ("": at the beginning)
BEGINNINGS = {
    "system": (SYSTEM,), "document": (DOCUMENT,), "user": (USER,),
    "assistant": (ASSISTANT,), "call": (ASSISTANT, TOOL), "tool": (TOOL,),
}  # fmt: skip
AFTER = {
    "system": ("",), "document": ("", "system", "document", "assistant"),
    "user": ("", "system", "document", "assistant"),
    "assistant": ("user", "tool"), "call": ("user", "tool"), "tool": ("call",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Message:
    """One turn.

    role: system, document (a text to answer from), user, assistant, call (the assistant
    asks a tool) or tool (what the tool answers).
    """

    role: str
    content: str

    def __post_init__(self) -> None:
        if self.role not in AFTER:
            raise DataError(
                f"wanted a role among {', '.join(AFTER)}, got {self.role!r:.40}"
            )
        if not isinstance(self.content, str):
            raise DataError(f"wanted a text, got {self.content!r:.40}")


Conversation = tuple[Message, ...]


def conversation(*turns: tuple[str, str]) -> Conversation:
    """Turns (role, text) as a conversation; roles out of order are an error.

    >>> conversation(("user", "Hi"), ("assistant", "Hello!"))[1].content
    'Hello!'
    """
    before, found = "", list[Message]()
    for number, turn in enumerate(turns, 1):
        if not isinstance(turn, tuple) or len(turn) != 2:
            raise DataError(f"wanted (role, text) as turn {number}, got {turn!r:.40}")
        found.append(Message(*turn))
        role = found[-1].role
        if before not in AFTER[role]:
            wanted = " or ".join(filter(None, AFTER[role])) or "nothing"
            raise DataError(
                f"wanted {role!r} after {wanted}, got it after "
                f"{before or 'nothing'} in turn {number}"
            )
        before = role
    return tuple(found)


def special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """The ids of the chat's special tokens; a tokenizer without them is an error."""
    special = tokenizer.special if isinstance(tokenizer, BPETokenizer) else {}
    missing = [name for name in SPECIAL if name not in special]
    if missing:
        raise DataError(
            f"wanted a tokenizer with the tokens of a chat, got one without "
            f"{', '.join(missing)}; train it with special={SPECIAL!r:.40}…"
        )
    return {name: special[name] for name in SPECIAL}


@dataclass(frozen=True, slots=True)
class Rendered:
    """ids: (n,) int64; learned: (n,) bool, true where the assistant writes."""

    ids: np.ndarray
    learned: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


def render(messages: Sequence[Message], tokenizer: Tokenizer) -> Rendered:
    """A conversation as ids. Learned are the assistant's texts, each with its end,
    and that it calls a tool; the token that gives it the word is not.
    """
    special = special_ids(tokenizer)
    ids: list[np.ndarray] = []
    learned: list[np.ndarray] = []
    for message in messages:
        begin = [special[name] for name in BEGINNINGS[message.role]]
        text = tokenizer.encode(message.content)
        turn = np.concatenate([begin, text, [special[END]]])
        ours = np.full(len(turn), message.role in ("assistant", "call"))
        ours[0] = False
        ids.append(turn)
        learned.append(ours)
    if not ids:
        raise DataError("wanted a conversation, got one without turns")
    return Rendered(np.concatenate(ids).astype(np.int64), np.concatenate(learned))


def render_prompt(messages: Sequence[Message], tokenizer: Tokenizer) -> np.ndarray:
    """The ids after which the assistant's answer begins."""
    ids = render(messages, tokenizer).ids
    return np.append(ids, special_ids(tokenizer)[ASSISTANT])


def shorten(
    messages: Sequence[Message], tokenizer: Tokenizer, longest: int
) -> Conversation:
    """The newest part that renders to at most `longest` tokens, a system turn kept.

    It is cut before a user's turn (or the document before it). The last exchange alone
    being too long is an error.
    """
    messages = tuple(messages)
    first = 1 if messages and messages[0].role == "system" else 0
    starts = [
        i for i in range(first, len(messages))
        if messages[i].role in ("user", "document")
        and (i == first or messages[i - 1].role in ("assistant",))
    ]  # fmt: skip
    for start in starts or [first]:
        kept = messages[:first] + messages[start:]
        n = len(render(kept, tokenizer))
        if n <= longest:
            return kept
    raise DataError(
        f"wanted a last turn that fits into {longest} tokens with its system text, got "
        f"{n}; shorten it"
    )


def first_fit(sizes: Sequence[int], room: int) -> list[int]:
    """For each size in turn the first row that has so much room left, or a new one.

    Rows with equal room wait in a heap, the first one on top: so a row is found by a
    look at `room` tops, however many rows there are.

    >>> first_fit([5, 3, 4, 2], 7)
    [0, 1, 1, 0]
    """
    waiting: list[list[int]] = [[] for _ in range(room + 1)]
    tops = np.full(room + 1, len(sizes))  # beyond all rows: nobody waits
    found, rows = [], 0
    for size in sizes:
        left = size + int(tops[size:].argmin())
        row = int(tops[left])
        if row == len(sizes):
            row, rows, left = rows, rows + 1, room
        else:
            heapq.heappop(waiting[left])
            tops[left] = waiting[left][0] if waiting[left] else len(sizes)
        left -= size
        heapq.heappush(waiting[left], row)
        tops[left] = waiting[left][0]
        found.append(row)
    return found


def pack(rendered: Sequence[Rendered], T: int) -> Batch:
    """Conversations in rows of T + 1 tokens, as many in a row as fit (first fit).

    The batch is (rows, T): ids, the targets one ahead, the mask of what is learned, and
    a segment a conversation, so that none sees another. What is left of a row is a
    segment of its own with nothing to learn.
    """
    for one in rendered:
        if not 2 <= len(one) <= T + 1:
            raise DataError(
                f"wanted conversations of 2 … {T + 1} tokens, got one of {len(one)}; "
                "shorten it"
            )
    longest_first = sorted(rendered, key=len, reverse=True)
    # the last token of each is a target only
    places = first_fit([len(one) - 1 for one in longest_first], T)
    rows: list[list[Rendered]] = [[] for _ in range(max(places, default=-1) + 1)]
    for one, row in zip(longest_first, places, strict=True):
        rows[row].append(one)
    shape = (len(rows), T)
    ids, targets = np.zeros((2, *shape), np.int64)
    mask, segments = np.zeros(shape, bool), np.full(shape, -1, np.int64)
    for r, row_of in enumerate(rows):
        at = 0
        for number, one in enumerate(row_of):
            here = slice(at, at + len(one) - 1)
            ids[r, here], targets[r, here] = one.ids[:-1], one.ids[1:]
            mask[r, here], segments[r, here] = one.learned[1:], number
            at = here.stop
    return Batch(ids, targets, mask, segments)
