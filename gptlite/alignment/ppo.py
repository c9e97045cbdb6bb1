"""PPO: answers are sampled, rated, and those better than expected made more probable.

One update, top to bottom (Ziegler et al. 2019, arXiv:1909.08593; Ouyang et al. 2022,
arXiv:2203.02155): sample answers; let the reward model rate them; subtract, token by
token, what it costs to leave the reference; work out advantages; and walk over them a
few times in minibatches, held back by the clip.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from gptlite.alignment.average import move_towards
from gptlite.alignment.batches import pieces
from gptlite.alignment.experience import (
    Answers,
    Experience,
    ends,
    sample_answers,
    targets_of,
)
from gptlite.alignment.measure import Rate, Read
from gptlite.alignment.objectives import gae, whitened
from gptlite.alignment.policy import PolicyLoss
from gptlite.alignment.reader import Reader
from gptlite.alignment.settings import PPOConfig
from gptlite.config import TrainConfig
from gptlite.models.gpt import GPT
from gptlite.parallel.pool import WorkerPool
from gptlite.tasks.metrics import distinct_n
from gptlite.text.chat import Conversation
from gptlite.text.tokenizer import Tokenizer
from gptlite.training.schedule import warmup
from gptlite.training.step import Trainer


class PPO:
    """A policy with its value head, what it must not leave too far, and who rates it.

    policy: a model `with_head`. reference: the model that it began as, frozen. rate:
    gives each conversation a reward. truth: if it is known what was meant, it is shown
    beside the reward, and not learned from. read: rates answers too, and says what the
    rater thinks of each after each of its tokens (see `Judges`).
    """

    def __init__(
        self, policy: GPT, reference: GPT, tokenizer: Tokenizer, rate: Rate,
        config: PPOConfig, pool: WorkerPool, *, rng: np.random.Generator,
        truth: Rate | None = None, read: Read | None = None,
    ) -> None:  # fmt: skip
        self.policy, self.tokenizer = policy, tokenizer
        self.rate, self.truth, self.read = rate, truth, read
        self.config, self.rng, self.pool = config, rng, pool
        self.kl_weight, self.kl_target = config.kl_weight, config.kl_target
        # rounds so far, and a mean of the weights after each
        self.rounds, self.mean = 0, policy.params.flat.copy()
        training = TrainConfig(learning_rate=config.learning_rate, weight_decay=0.0)
        self.trainer = Trainer(policy, training, pool)  # each round sets its objective
        self.reader = Reader(policy, pool, self.trainer.weights)
        self.reference = Reader(reference, pool)

    @property
    def prompts_each(self) -> int:
        """How many prompts a round takes."""
        return self.config.answers

    @property
    def whitens(self) -> bool:
        """Whether advantages are brought to mean 0 and spread 1."""
        return self.config.whiten

    def loss(self) -> PolicyLoss:
        """What the minibatches minimise."""
        c = self.config
        return PolicyLoss(c.clip, c.value_clip, c.value_weight, c.entropy_weight)

    def update(self, prompts: Sequence[Conversation]) -> dict[str, Any]:
        """One round on these prompts; what happened, as numbers."""
        c, rng = self.config, self.rng
        answers = sample_answers(
            self.policy, self.tokenizer, prompts, c.longest, rng=rng,
            pool=self.pool, weights=self.reader.packed(),
        )  # fmt: skip
        rewards, so_far = self.judged(answers)
        rewards = rewards - c.unfinished * ~answers.finished
        x, kl, explained = self.experience(answers, rewards, so_far)
        self.trainer.objective = self.loss().objective()
        means: list[dict[str, float]] = []
        cuts = range(c.minibatch, len(x), c.minibatch)
        for _ in range(c.epochs):
            for rows in np.split(rng.permutation(len(x)), cuts):
                rate = warmup(self.trainer.optimizer.steps, c.warmup)
                result = self.trainer.step(pieces(x.take(rows)), rate)
                means.append(result.means)
            if 0 < c.kl_stop < means[-1]["kl_old"]:
                break
        self.add_to_mean()
        if c.kl_target:
            self.kl_weight = adapted(self.kl_weight, kl.mean(), self.kl_target)
        talks = answers.conversations
        truth = {"truth": float(self.truth(talks).mean())} if self.truth else {}
        return {
            "reward": float(rewards.mean()), **truth,
            "reward_spread": float(rewards.std()),
            "kl": float(kl.mean()), "explained": explained,
            "kl_weight": self.kl_weight, "steps": len(means),
            "length": float(answers.mask.sum(axis=1).mean()),
            "finished": float(answers.finished.mean()),
            "distinct_2": distinct_n([c[-1].content for c in talks], 2),
            **{name: float(np.mean([m[name] for m in means]))
               for name in means[0] if name != "loss"},
        }  # fmt: skip

    def add_to_mean(self) -> None:
        """The weights after this round. Early, the mean is of the last third or so."""
        kept = min(self.config.average, (self.rounds + 1) / (self.rounds + 4))
        move_towards(self.mean, self.policy.params.flat, 1 - kept, self.pool)
        self.rounds += 1

    @contextmanager
    def averaged(self) -> Iterator[np.ndarray]:
        """Within, the policy has the mean of its weights; given are the last ones."""
        params = self.policy.params.flat
        last = params.copy()
        params[...] = self.mean
        try:
            yield last
        finally:
            params[...] = last

    def judged(self, answers: Answers) -> tuple[np.ndarray, np.ndarray | float]:
        """Rewards (B,), and what the rater thinks so far (B, T), or 0."""
        if self.read and self.config.so_far:
            return self.read(answers)
        return self.rate(answers.conversations), 0.0

    def experience(
        self, answers: Answers, rewards: np.ndarray, so_far: np.ndarray | float = 0.0
    ) -> tuple[Experience, np.ndarray, float]:
        """All that the losses look at; each answer's distance, nats (B,); and the share
        of the variance of what came that was expected, at most 1.

        Expected is what the rater thinks so far, corrected by the value head.
        """
        ids, mask = answers.ids, answers.mask
        old, values = answers.logp, answers.values
        reference, _ = self.reference.read(ids, mask)
        expected = values + so_far
        advantages = self.worth(rewards, old - reference, expected, mask)
        returns = advantages + values  # what the head has to know, beside `so_far`
        known = 1 - np.var(advantages[mask]) / max(
            np.var((advantages + expected)[mask]), 1e-12
        )
        if self.whitens:
            advantages = whitened(advantages, mask)
        x = Experience(
            ids, targets_of(ids), mask, old, reference, values, advantages, returns
        )
        return x, ((old - reference) * mask).sum(axis=1), float(known)

    def worth(
        self, rewards: np.ndarray, log_ratio: np.ndarray, expected: np.ndarray,
        mask: np.ndarray,
    ) -> np.ndarray:  # fmt: skip
        """(B, T): advantages of answers with these rewards (B,), where so much (B, T)
        was expected."""
        each = token_rewards(rewards, log_ratio, mask, self.kl_weight)
        return gae(each, expected, mask, self.config.gamma, self.config.lam)


def token_rewards(
    rewards: np.ndarray, log_ratio: np.ndarray, mask: np.ndarray, kl_weight: float
) -> np.ndarray:
    """(B, T): −kl_weight · log(policy / reference) for every token of an answer, and
    the answer's reward (B,) at its last one.

    >>> mask = np.array([[False, True, True]])
    >>> token_rewards(np.ones(1), np.full((1, 3), 0.5), mask, 0.1).tolist()
    [[0.0, -0.05, 0.95]]
    """
    out = np.where(mask, -kl_weight * log_ratio, 0.0)
    out[np.arange(len(out)), ends(mask) - 2] += rewards
    return out


def adapted(kl_weight: float, kl: float, target: float) -> float:
    """The weight for the next round: a tenth more where the distance was too large, a
    tenth less where it was too small, in proportion to the error up to a fifth of the
    target (of a nat, where the target is less).

    >>> adapted(0.1, 12.0, 6.0), adapted(0.1, 6.0, 6.0)
    (0.11000000000000001, 0.1)
    """
    error = float(np.clip((kl - target) / max(target, 1), -0.2, 0.2))
    return kl_weight * (1 + 0.5 * error)
