"""A conversation with the model: history, streaming, and why it said what it said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gptlite import files
from gptlite.errors import DataError
from gptlite.models.answer import CALLS, RunTool
from gptlite.models.generate import Decoder, TextStream
from gptlite.models.gpt import GPT
from gptlite.models.look import alternatives, attention_weights
from gptlite.models.sampling import Sampling, sample
from gptlite.models.weights import DecodingWeights
from gptlite.text.chat import (
    END,
    SPECIAL,
    TOOL,
    Conversation,
    Message,
    render_prompt,
    shorten,
    special_ids,
)
from gptlite.text.tokenizer import Tokenizer


@dataclass
class Chat:
    """A conversation that goes on.

    run_tool: (call, conversation so far) → what the tool says. longest: tokens of an
    answer, half the context at most; so much room is left in it, and the history is
    cut to the rest.
    """

    model: GPT
    tokenizer: Tokenizer
    run_tool: RunTool
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.9)  # noqa: RUF009 - frozen
    system: str = ""
    longest: int = 96
    rng: np.random.Generator = field(default_factory=np.random.default_rng)
    messages: Conversation = ()
    last: tuple[list[int], int] | None = None  # ids, and where the answer begins

    def __post_init__(self) -> None:
        self._special = special_ids(self.tokenizer)
        self._names = {self._special[name] for name in SPECIAL}
        self.longest = min(self.longest, self.model.config.context_length // 2)
        self.instruct(self.system)

    @property
    def room(self) -> int:
        """Tokens for what was said; one more gives the assistant the word."""
        return self.model.config.context_length - self.longest - 1

    def instruct(self, text: str) -> None:
        """What the assistant is told before all else; at most half the room."""
        n = len(self.tokenizer.encode(text))
        if n > self.room // 2:
            raise DataError(
                f"wanted a system text of at most {self.room // 2} tokens, got {n}; "
                "shorten it"
            )
        self.system = text

    def show(self, text: str) -> None:
        """Begin anew with a document, such as a table in CSV, to be asked about."""
        n, most = len(self.tokenizer.encode(text)), self.room * 3 // 4
        if not 0 < n <= most:
            raise DataError(
                f"wanted a document of 1 … {most} tokens, got {n}; take a part of it"
            )
        self.messages, self.last = (Message("document", text.strip("\n")),), None

    def reset(self) -> None:
        """Forget what was said."""
        self.messages, self.last = (), None

    def _prompt(self) -> list[int]:
        """What the model reads: the newest part of what was said."""
        system = (Message("system", self.system),) if self.system else ()
        kept = shorten(system + self.messages, self.tokenizer, self.room)
        return render_prompt(kept, self.tokenizer).tolist()

    def reply(self, text: str) -> Iterator[str]:
        """Say something; the answer comes piece by piece, tools are called on the way.

        What fails leaves the history as it was.
        """
        before, weights = (self.messages, self.last), DecodingWeights(self.model)
        self.messages += (Message("user", text),)
        try:
            for _ in range(CALLS + 1):
                said, calls = "", False
                for piece, calls in self._turn(weights):
                    said += piece
                    if not calls:
                        yield piece
                role = "call" if calls else "assistant"
                self.messages += (Message(role, said),)
                if not calls:
                    return
                result = self.run_tool(said, self.messages[:-1])
                self.messages += (Message("tool", result),)
            raise DataError(
                f"wanted an answer after at most {CALLS} calls of tools, got another "
                f"call: {said!r:.40}; ask in other words"
            )
        except BaseException:
            self.messages, self.last = before
            raise

    def _turn(self, weights: DecodingWeights) -> Iterator[tuple[str, bool]]:
        """(piece of text, whether it belongs to a call), to the end of the turn."""
        prompt = self._prompt()
        decoder = Decoder(self.model, self.tokenizer.vocab_size, [prompt], weights)
        text, calls = TextStream(self.tokenizer, ()), False
        for i in range(self.longest):
            ids, _ = sample(decoder.logits, decoder.seen, self.sampling, rng=self.rng)
            token = int(ids[0])
            if token == self._special[END]:
                break
            calls |= i == 0 and token == self._special[TOOL]
            if token not in self._names:
                yield text.push(token), calls
            decoder.append(ids)
        self.last = decoder.rows[0], len(prompt)
        yield text.flush(), calls

    def why(self, n: int = 4) -> list[dict[str, str]]:
        """For each token of the last answer: what else was likely, and where the model
        looked most (attention, mean over the heads of the last layer)."""
        if self.last is None:
            raise DataError("wanted an answer to explain, got none yet; say something")
        ids, start = self.last
        others = alternatives(self.model, np.array(ids), n)
        looked = attention_weights(self.model, np.array(ids))[-1].mean(axis=0)  # (T, T)
        rows = []
        for at in range(start, len(ids)):
            choices = ", ".join(f"{self._show(i)} {p:.0%}" for i, p in others[at - 1])
            most = np.argsort(-looked[at - 1], kind="stable")[:3].tolist()
            rows.append({
                "token": self._show(ids[at]), "likely": choices,
                "looked at": " ".join(self._show(ids[i]) for i in most),
            })  # fmt: skip
        return rows

    def _show(self, token: int) -> str:
        return repr(self.tokenizer.decode([token]))[1:-1].replace(" ", "␣")

    def save(self, path: str | Path) -> Path | None:
        """Write the conversation as JSON lines: role and content of each turn.

        Returns the new name of an earlier file that was called so, if there was one.
        """
        lines = [json.dumps({"role": m.role, "content": m.content}, ensure_ascii=False)
                 for m in self.messages]  # fmt: skip
        text = "".join(line + "\n" for line in lines)
        path = Path(path)
        try:
            if path.exists() and not path.is_file():
                raise DataError(f"wanted a file, got {path}, which is none")
            earlier = files.set_aside(path) if path.exists() else None
            # half a character pair (a surrogate) becomes what JSON writes for it
            files.write_bytes(path, text.encode("utf-8", "backslashreplace"))
        except (OSError, ValueError) as error:
            raise DataError(f"cannot save: {error}; choose another name") from error
        return earlier
