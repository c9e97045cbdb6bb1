"""How reward models and policies are trained: what the commands have flags for."""

from __future__ import annotations

from dataclasses import dataclass

from gptlite.config import check_numbers
from gptlite.errors import ConfigError

IN_TIME = 100  # reward_steps, so that a policy too is there in five minutes


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """What a reward model learns from, and how long.

    rater: a programmed one, if there are no ratings by people. pairs: of answers that
    he compares. noise: share of them in which he names the wrong one. held_out:
    pairs without noise, of answers to other prompts, that the model is measured on.
    reward_steps: of its training. reward_rows: answers that are read in a step.
    reward_learning_rate: 0 is 2e-4 where labels may be wrong, else 5e-4, beside Muon's.
    reward_dropout: where labels may be wrong, the share of the tokens of a prompt and
    its answer that are left out, others each time that they are read. reward_words:
    there, what single words are worth is added, if pairs are learned from.
    """

    rater: str = ""
    pairs: int = 2000
    noise: float = 0.0
    held_out: int = 500
    reward_steps: int = 200
    reward_rows: int = 64
    reward_learning_rate: float = 0.0
    reward_dropout: float = 0.3
    reward_words: bool = True

    def __post_init__(self) -> None:
        check_numbers(
            self,
            "pairs held_out reward_steps reward_rows",
            "noise reward_learning_rate reward_dropout",
        )
        if self.reward_dropout >= 1:
            raise ConfigError(
                f"wanted a reward_dropout of 0 … < 1, got {self.reward_dropout}"
            )
        if self.noise > 1:
            raise ConfigError(f"wanted noise of 0 … 1, got {self.noise}; a share")

    @property
    def doubtful(self) -> bool:
        """Whether labels may be wrong: people's are, and those of a rater who errs."""
        return self.noise > 0 or not self.rater

    @property
    def learning_rate(self) -> float:
        return self.reward_learning_rate or (2e-4 if self.doubtful else 5e-4)

    @property
    def dropout(self) -> float:
        return self.reward_dropout if self.doubtful else 0.0

    @property
    def words(self) -> bool:
        return self.reward_words and self.doubtful


@dataclass(frozen=True, slots=True)
class PPOConfig:
    """How a policy is trained. Each of these is numbered in docs/alignment/ppo.md.

    answers: sampled in an update. longest: tokens of an answer. so_far: what a reward
    model thinks of an unfinished answer is part of its value. kl_weight: reward lost
    for a nat of distance from the reference, at first. kl_target: > 0 lets kl_weight
    follow, so that an answer's distance rises in a straight line, until four fifths are
    done, and stays about there (nats); 0: the weight stays as it is. kl_stop: a round's
    epochs end when the policy has moved by so many nats a token; 0: never. unfinished:
    reward lost by an answer that did not end itself. warmup: steps until the learning
    rate is what it is. average: what is handed over is a mean of the weights after each
    round; this share of it is kept when one is added; 0: the last weights themselves.
    """

    answers: int = 128
    longest: int = 32
    epochs: int = 2
    minibatch: int = 64
    so_far: bool = True
    gamma: float = 1.0
    lam: float = 0.95
    clip: float = 0.2
    value_clip: float = 0.2
    value_weight: float = 0.1
    entropy_weight: float = 0.0
    whiten: bool = True
    kl_weight: float = 0.5
    kl_target: float = 7.0
    kl_stop: float = 0.05
    unfinished: float = 1.0
    learning_rate: float = 1.5e-4
    warmup: int = 20
    average: float = 0.9

    def __post_init__(self) -> None:
        check_numbers(
            self, "answers longest epochs minibatch clip value_clip learning_rate",
            "gamma lam value_weight entropy_weight kl_weight kl_target kl_stop "
            "unfinished warmup average",
        )  # fmt: skip
        if self.average >= 1:
            raise ConfigError(f"wanted an average of 0 … < 1, got {self.average}")


@dataclass(frozen=True, slots=True)
class Alignment:
    """What to train and for how long. seconds: 0 is no limit. rank: > 0 trains a LoRA
    adapter beside frozen weights. best_of: > 1 measures the best of so many too.
    again: pairs of the policy's own answers that a programmed rater compares when half
    is done, and from which the reward model goes on learning; 0: none. looked:
    answers, a multiple of 128, that each look on the way is taken from."""

    rounds: int = 42
    seconds: float = 0.0
    rank: int = 8
    workers: int = 0
    seed: int = 0
    best_of: int = 0
    again: int = 500
    looked: int = 128

    def __post_init__(self) -> None:
        check_numbers(self, "rounds looked", "seconds rank workers seed best_of again")
        if self.looked % 128:
            raise ConfigError(
                f"wanted looked to be a multiple of 128, got {self.looked}"
            )


@dataclass(frozen=True, slots=True)
class DPOConfig:
    """How a policy is trained on pairs alone.

    beta: how dear it is to leave the reference. rows: answers, two a pair, in a
    step. longest: tokens of an answer, when it is measured. rank: > 0 trains a LoRA
    adapter.
    """

    beta: float = 0.1
    steps: int = 100
    rows: int = 64
    learning_rate: float = 1e-4
    longest: int = 32
    rank: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check_numbers(self, "beta steps rows learning_rate longest", "rank seed")
