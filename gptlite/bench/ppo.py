"""Rounds of PPO against a plain loop in PyTorch: answers sampled, rated, learned from.

An episode is a prompt with its answer. Every prompt has PROMPT tokens and every answer
the same number, so that both sides do the same work in each round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gptlite.alignment.ppo import PPO
from gptlite.alignment.settings import PPOConfig
from gptlite.bench.timing import alternate, device, median, ratio
from gptlite.config import GPTConfig
from gptlite.models.gpt import GPT
from gptlite.models.head import with_head
from gptlite.parallel.pool import WorkerPool, available_cores
from gptlite.text.bpe import BPETokenizer
from gptlite.text.chat import (
    END,
    SPECIAL,
    Conversation,
    conversation,
    render_prompt,
    special_ids,
)

MODEL = GPTConfig(6, 8, 256, context_length=128, vocab_size=4096)
# the rate is low, so that the policy stays what it is however often it is measured
CONFIG = PPOConfig(answers=32, longest=32, epochs=4, minibatch=8, kl_stop=0.0,
                   unfinished=0.0, learning_rate=3e-6, kl_target=0.0)  # fmt: skip
PROMPT = 16  # tokens, three of them the chat's own


def plain_tokenizer(size: int) -> BPETokenizer:
    """Bytes, numbers, and the chat's tokens; nothing merges, a letter is a token.

    >>> plain_tokenizer(300).encode("owl").tolist()
    [111, 119, 108]
    """
    tokens: list[bytes | None] = [bytes([b]) for b in range(256)]
    tokens += [b" %d" % i for i in range(size - len(tokens) - len(SPECIAL))]
    special = {name: len(tokens) + i for i, name in enumerate(SPECIAL)}
    return BPETokenizer(tokens, [], special=special)


def random_prompts(n: int, seed: int = 0) -> list[Conversation]:
    """Conversations that are PROMPT tokens up to where the answer begins."""
    rng = np.random.default_rng(seed)
    letters = rng.integers(ord("a"), ord("z") + 1, (n, PROMPT - 3), np.uint8)
    return [conversation(("user", row.tobytes().decode())) for row in letters]


def never_ending(model: GPTConfig, end: int) -> GPT:
    """A random model that does not say the token `end`: its logit is about −2·√C.

    The positions add so much to channel 0 that the last norm's output is √C there for
    whatever text, and the row of `end` points the other way.
    """
    found = GPT(model)
    found.params.position_embedding[:, 0] = 4
    found.params.token_embedding[end, 0] = -2
    return found


def share_of_small_digits(texts: Sequence[str]) -> np.ndarray:
    """The share of characters below 5 in each text (B,): a reward that costs nothing.

    >>> share_of_small_digits(["1 234", "99"]).tolist()
    [1.0, 0.0]
    """
    return np.array([np.mean([x < "5" for x in text]) if text else 0 for text in texts])


class Halves:
    """Seconds of each round: until its answers are rated, and from there to its end."""

    def __init__(self) -> None:
        self.sample: list[float] = []
        self.learn: list[float] = []
        self._asked = 0.0

    def rate(self, texts: Sequence[str]) -> np.ndarray:
        """Rewards of answers; whoever asks for them has sampled them all."""
        self._asked = time.perf_counter()
        return share_of_small_digits(texts)

    def run(self, update: Callable[[], object]) -> None:
        start = time.perf_counter()
        update()
        self.sample.append(self._asked - start)
        self.learn.append(time.perf_counter() - self._asked)

    def medians(self) -> tuple[float, float]:
        return round(median(self.sample), 3), round(median(self.learn), 3)


def own_ppo(halves: Halves, tokenizer: BPETokenizer, pool: WorkerPool) -> PPO:
    """gptlite's PPO at the shape that is measured."""
    base = never_ending(MODEL, special_ids(tokenizer)[END])
    return PPO(
        with_head(base), base, tokenizer,
        lambda talks: halves.rate([talk[-1].content for talk in talks]),
        CONFIG, pool, rng=np.random.default_rng(0),
    )  # fmt: skip


def peer_ppo(
    name: str, halves: Halves, tokenizer: BPETokenizer, prompts: list[Conversation]
) -> Callable[[], object]:
    """One round of the peer `name` on the same prompts, ready to be called."""
    from gptlite.bench.torch_ppo import TorchPPO

    ids = np.stack([render_prompt(prompt, tokenizer) for prompt in prompts])
    peer = TorchPPO(
        MODEL, CONFIG,
        lambda answers: halves.rate([tokenizer.decode(row) for row in answers]),
        compiled=name == "torch-compile",
    )  # fmt: skip
    return lambda: peer.update(ids)


def bench_ppo(against: str | None = None, rounds: int = 7) -> dict[str, Any]:
    """Episodes a second in float32, and the ratio to the peer's.

    sample_s: median seconds until all answers of a round are there; learn_s: of rating
    and reading them, and of the epochs. answer_tokens, steps: of our last round.
    """
    tokenizer, ours, theirs = plain_tokenizer(MODEL.vocab_size), Halves(), Halves()
    prompts = random_prompts(CONFIG.answers)
    with WorkerPool(available_cores()) as pool:
        ppo = own_ppo(ours, tokenizer, pool)
        last: dict[str, Any] = {}
        sides: list[Callable[[], object]] = [
            lambda: ours.run(lambda: last.update(ppo.update(prompts)))
        ]
        if against:
            peer = peer_ppo(against, theirs, tokenizer, prompts)
            sides.append(lambda: theirs.run(peer))
        times = alternate(sides, rounds)
    sample, learn = ours.medians()
    result = {
        "benchmark": "ppo", "device": device(), "dtype": "float32",
        "episodes_per_s": round(CONFIG.answers / median(times[0]), 2),
        "sample_s": sample, "learn_s": learn,
        "answer_tokens": last["length"], "steps": last["steps"],
    }  # fmt: skip
    if against:
        sample, learn = theirs.medians()
        result |= {
            "against": against,
            "peer_episodes_per_s": round(CONFIG.answers / median(times[1]), 2),
            "peer_sample_s": sample, "peer_learn_s": learn,
            "ratio": round(ratio(times[0], times[1]), 3),
        }  # fmt: skip
    return result
