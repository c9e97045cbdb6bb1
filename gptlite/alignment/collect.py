"""Ratings by a program: answers sampled in pairs, and one of each two preferred."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gptlite.alignment.experience import sample_answers
from gptlite.alignment.raters import ProgrammedRater
from gptlite.alignment.ratings import Rating
from gptlite.errors import DataError
from gptlite.models.gpt import GPT
from gptlite.parallel.pool import WorkerPool, available_cores
from gptlite.tasks.chat import Chat
from gptlite.text.chat import Conversation, conversation, render_prompt
from gptlite.text.tokenizer import Tokenizer

AT_A_TIME = 128  # answers
LONGEST = 48, 32  # tokens: of a prompt, of an answer


def chat_prompts(
    n: int, tokenizer: Tokenizer, seed: int = 0, longest: int = LONGEST[0]
) -> list[Conversation]:
    """n different things that people said, each as a conversation of one turn.

    longest: tokens of a prompt.
    """
    task, rng = Chat(), np.random.default_rng(seed)
    found: dict[str, Conversation] = {}
    for _ in range(50 * n):
        asked = conversation(("user", task.draw(rng)[-2].content))
        if len(render_prompt(asked, tokenizer)) <= longest:
            found[asked[0].content] = asked
        if len(found) == n:
            return list(found.values())
    raise DataError(f"wanted {n} different prompts, got {len(found)}; ask for fewer")


def collect(
    model: GPT, tokenizer: Tokenizer, prompts: Sequence[Conversation], n: int,
    rater: ProgrammedRater, longest: int = LONGEST[1], name: str = "", seed: int = 0,
) -> list[Rating]:  # fmt: skip
    """n ratings with a preference, each of two answers to one of the prompts.

    Answers that the rater finds equal say nothing, and others are sampled.
    """
    rng, ratings = np.random.default_rng(seed), list[Rating]()
    with WorkerPool(available_cores()) as pool:
        for _ in range(1 + 80 * n // AT_A_TIME):
            some = [prompts[i] for i in rng.integers(0, len(prompts), AT_A_TIME // 2)]
            found = sample_answers(
                model, tokenizer, some + some, longest, rng=rng, pool=pool
            ).conversations
            for one, other in zip(found[: len(some)], found[len(some) :], strict=True):
                texts = one[-1].content, other[-1].content
                rating = rater.compare(one[-2].content, texts, model=name, seed=seed)
                if isinstance(rating.choice, int):
                    ratings.append(rating)
            if len(ratings) >= n:
                return ratings[:n]
    raise DataError(
        f"wanted {n} answers that the rater tells apart, got {len(ratings)}; another "
        "rater, or a model that says more"
    )
