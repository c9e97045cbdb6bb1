"""Training a reward model, as a run like any other; and using one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gptlite.alignment.average import move_towards
from gptlite.alignment.batches import task_of
from gptlite.alignment.experience import Answers, ends
from gptlite.alignment.ratings import is_number
from gptlite.alignment.reader import Reader
from gptlite.alignment.reward import REWARD, Judged, centred, scores_of
from gptlite.alignment.words import WordScores
from gptlite.config import TrainConfig
from gptlite.errors import CheckpointError, ConfigError
from gptlite.models.gpt import GPT
from gptlite.models.head import load_head, with_head
from gptlite.models.lora import fingerprint
from gptlite.parallel.communicator import Pool
from gptlite.parallel.pool import WorkerPool, available_cores
from gptlite.text.chat import END, Conversation, special_ids
from gptlite.text.tokenizer import Tokenizer
from gptlite.training.loop import Loop, Summary, Task
from gptlite.training.run import Run, open_run
from gptlite.training.step import StepResult, Trainer

AVERAGED = 0.75  # of the steps, the last ones: the weights after each make up the mean


class MeanTrainer(Trainer):
    """A trainer that keeps a mean of the weights: what labels say that are wrong goes
    this way and that, and what they say rightly stays (Polyak and Juditsky 1992)."""

    def __init__(self, model: GPT, config: TrainConfig, pool: Pool) -> None:
        super().__init__(model, config, pool, REWARD)
        self.first = int((1 - AVERAGED) * config.steps)
        self.mean, self.taken = model.params.flat.copy(), 0

    def step(self, batches: list[Any], rate: float = 1.0) -> StepResult:
        result = super().step(batches, rate)
        if self.optimizer.steps > self.first:
            self.taken += 1
            share, weights = 1 / self.taken, self.model.params.flat
            move_towards(self.mean, weights, share, self.pool)
        return result

    def take_mean(self) -> None:
        """The model becomes the mean, if there is one yet."""
        if self.taken:
            self.model.params.flat[...] = self.mean


@dataclass(frozen=True, slots=True)
class RewardModel:
    """A model with a head, and the tokenizer that it reads with.

    spread: of the scores before they were centred. words: what is added for single
    words of an answer, if anything is.
    """

    model: GPT
    tokenizer: Tokenizer
    spread: float = 1.0
    words: WordScores | None = None

    @classmethod
    def load(cls, name: str) -> RewardModel:
        """The reward model of a run; one that was never finished is none."""
        run = open_run(name)
        if not run.config_file.exists() or "reward" not in run.described():
            raise CheckpointError(
                f"wanted a finished reward model, got {name}, which is none; `gptlite "
                "reward` makes one"
            )
        model, tokenizer = run.load()
        described = run.described()
        spread = float(described.get("spread", 1.0))
        words = _read_words(described.get("words"), name)
        return cls(load_head(run.checkpoint_file, model), tokenizer, spread, words)

    @property
    def fingerprint(self) -> str:
        """By which a policy knows its judge again: of the weights, and of the words."""
        weights = fingerprint(self.model)
        if self.words is None:
            return weights
        words = json.dumps(self.words.weights, sort_keys=True)
        return hashlib.sha256(f"{weights} {words}".encode()).hexdigest()

    def rate(self, conversations: Sequence[Conversation]) -> np.ndarray:
        """(R,) float64: a reward for each conversation that ends with an answer."""
        found = scores_of(self.model, self.tokenizer, conversations)
        return self._and_words(found, conversations)

    def _and_words(
        self, scores: np.ndarray, talks: Sequence[Conversation]
    ) -> np.ndarray:
        return scores + self.words.rate(talks) if self.words else scores

    def read(self, answers: Answers) -> tuple[np.ndarray, np.ndarray]:
        """Rewards (B,), and where the next token is chosen, what the reward would be
        if the answer ended there (B, T). From one reading.

        Nobody taught the model to judge unfinished answers, but its head can be read at
        every token. An answer that did not end is judged with an end as its last token.
        Single words, all that were said, are added at the end alone.
        """
        ids, where = answers.ids.copy(), answers.mask.copy()
        last = np.arange(len(ids)), ends(answers.mask) - 1
        ids[last], where[last] = special_ids(self.tokenizer)[END], True
        with WorkerPool(available_cores()) as pool:
            _, found = Reader(self.model, pool).read(ids, where)
        rewards = self._and_words(found[last], answers.conversations)
        return rewards, found * answers.mask

    def check_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Whether a policy with this tokenizer can be rated."""
        if self.tokenizer.to_json() != tokenizer.to_json():
            raise ConfigError(
                "wanted a reward model with the policy's tokenizer, got one with "
                "another; train it from the same model"
            )


def _read_words(found: Any, name: str) -> WordScores | None:
    """What config.json says of single words."""
    if found is None:
        return None
    if not isinstance(found, dict) or not all(
        is_number(worth, (int, float)) for worth in found.values()
    ):
        raise CheckpointError(
            f"wanted a number for each word in {name}'s config.json, got "
            f"{found!r:.60}; train it anew with `gptlite reward`"
        )
    return WordScores(found)


def _thinned(task: Task, share: float, kept: list[int]) -> Task:
    """The task with rows that tokens were left out of."""

    def next_batch(rng: np.random.Generator) -> Judged:
        return task.next_batch(rng).thinned(share, kept, rng)

    return replace(task, next_batch=next_batch)


def train_reward(
    base: str, out: str, train: Judged, held_out: Judged, config: TrainConfig,
    reference: Sequence[Conversation] = (), dropout: float = 0.0,
    words: WordScores | None = None,
) -> tuple[RewardModel, Summary]:  # fmt: skip
    """A reward model that begins as the run `base`, as the run `out`.

    reference: conversations on which rewards are to have mean 0 and spread 1. dropout:
    the share of tokens that are left out, others each time that a row is read. words:
    learned from the same pairs, to be added to what the model says. Until it is
    finished, config.json does not call it a reward model; whoever stops it by Ctrl-C
    leaves none.
    """
    source, run = open_run(base), Run(out)
    run.check_apart(source)
    model, tokenizer = source.load()
    described: dict[str, Any] = {"base_sha256": fingerprint(model)}
    model = with_head(model)
    with WorkerPool(config.workers or available_cores(), config.pool) as pool:
        task = task_of(train, held_out, config.batch_size)
        if dropout:
            task = _thinned(task, dropout, list(special_ids(tokenizer).values()))
        trainer = MeanTrainer(model, config, pool)
        loop = Loop(run, trainer, task, config)
        run.begin(
            False, loop.resume, loop.save, "", model.config, config, tokenizer,
            **described,
        )  # fmt: skip
        summary = loop.train()
        trainer.take_mean()
        learned = RewardModel(model, tokenizer, words=words)
        if reference:
            spread = centred(model, learned.rate(reference))
            words = words.scaled(1 / spread) if words else None
            learned = RewardModel(model, tokenizer, spread, words)
        loop.save()
        if not summary.interrupted:
            described["reward"] = "pairs" if train.grades is None else "grades"
            described["spread"] = learned.spread
            if words:
                described["words"] = words.weights
            run.write_config("", model.config, config, **described)
    return learned, summary
