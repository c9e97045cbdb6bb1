"""Ratings by a program: several answers to a prompt, and one of every two preferred.

All pairs of K answers, as Ouyang et al. 2022 (arXiv:2203.02155) had them: only K
answers have to be sampled, or read by a person, for K·(K − 1)/2 pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, cycle, islice

import numpy as np
from tqdm import tqdm

from gptlite.alignment.experience import sample_answers
from gptlite.alignment.raters import ProgrammedRater
from gptlite.alignment.ratings import TIE, Rating
from gptlite.errors import DataError
from gptlite.models.gpt import GPT
from gptlite.parallel.pool import WorkerPool, available_cores
from gptlite.tasks.chat import Chat
from gptlite.text.chat import Conversation, conversation, render_prompt
from gptlite.text.tokenizer import Tokenizer

GROUP = 4  # answers to a prompt: with more, the same number of pairs has fewer answers
AT_A_TIME = 64  # prompts
LONGEST = 32, 32  # tokens: of a prompt, of an answer


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


def compared(
    talks: Sequence[Conversation], rater: ProgrammedRater, model: str = "",
    seed: int = 0,
) -> list[Rating]:  # fmt: skip
    """His ratings of every two of these answers to one prompt that he tells apart."""
    texts, ratings = [talk[-1].content for talk in talks], list[Rating]()
    for two in combinations(texts, 2):
        rating = rater.compare(talks[0][-2].content, two, model=model, seed=seed)
        if rating.choice != TIE:
            ratings.append(rating)
    return ratings


def collect(
    model: GPT, tokenizer: Tokenizer, prompts: Sequence[Conversation], n: int,
    rater: ProgrammedRater, longest: int = LONGEST[1], name: str = "", seed: int = 0,
) -> list[Rating]:  # fmt: skip
    """n ratings with a preference, each of two answers to one of the prompts.

    GROUP answers are sampled to a prompt, and every two of them compared; prompts are
    taken in turn, until there are ratings enough.
    """
    rng, ratings = np.random.default_rng(seed), list[Rating]()
    order = cycle(rng.permutation(len(prompts)).tolist())
    bar = tqdm(total=n, desc="ratings", leave=False, disable=None)
    with WorkerPool(available_cores()) as pool, bar:
        for _ in range(1 + 10 * n // AT_A_TIME):
            some = [prompts[i] for i in islice(order, AT_A_TIME)]
            asked = [prompt for prompt in some for _ in range(GROUP)]
            talks = sample_answers(
                model, tokenizer, asked, longest, rng=rng, pool=pool
            ).conversations
            for start in range(0, len(talks), GROUP):
                group = talks[start : start + GROUP]
                ratings += compared(group, rater, name, seed)
            bar.update(min(len(ratings), n) - bar.n)
            if len(ratings) >= n:
                return ratings[:n]
    raise DataError(
        f"wanted {n} answers that the rater tells apart, got {len(ratings)}; another "
        "rater, or a model that says more"
    )
