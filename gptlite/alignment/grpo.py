"""GRPO: PPO without a value head. What an answer is worth is told by its siblings.

Several answers are sampled to each prompt, and an answer's advantage, the same for all
its tokens, is its reward's distance from their mean, in units of their spread (Shao et
al. 2024, arXiv:2402.03300). The distance to the reference is a term of the loss here,
not of the reward.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gptlite.alignment.objectives import group_advantages
from gptlite.alignment.policy import PolicyLoss
from gptlite.alignment.ppo import PPO
from gptlite.text.chat import Conversation

GROUP = 8  # answers to a prompt


class GRPO(PPO):
    """PPO's loop with group advantages; the policy's head is there and is not used."""

    @property
    def prompts_each(self) -> int:
        return max(1, self.config.answers // GROUP)

    @property
    def whitens(self) -> bool:
        return False  # a group's advantages have spread 1 as they are

    def loss(self) -> PolicyLoss:
        c = self.config
        return PolicyLoss(
            c.clip, value_weight=0.0, entropy_weight=c.entropy_weight,
            kl_weight=self.kl_weight,
        )  # fmt: skip

    def update(self, prompts: Sequence[Conversation]) -> dict[str, Any]:
        """One round: GROUP answers to each prompt."""
        return super().update([p for p in prompts for _ in range(GROUP)])

    def worth(
        self, rewards: np.ndarray, log_ratio: np.ndarray, expected: np.ndarray,
        mask: np.ndarray,
    ) -> np.ndarray:  # fmt: skip
        each = group_advantages(rewards.reshape(-1, GROUP)).reshape(-1)
        return np.where(mask, each[:, None], 0.0)
