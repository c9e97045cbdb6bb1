"""The rival of `bench ppo`: PPO in plain PyTorch, as a good user would write it.

The GPT of torch_gpt.py with a value head on its trunk. All answers are sampled as one
batch with a KV cache, logits are made only where a token was chosen, AdamW is fused.
What is not learned from is not computed: no entropies, no figures to look at.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gptlite.alignment.settings import PPOConfig
from gptlite.bench.torch_gpt import F, Layer, TorchGPT, nn, torch
from gptlite.config import GPTConfig, TrainConfig
from gptlite.parallel.pool import available_cores


class Experience(NamedTuple):
    """Answers (B, P + n), and what is known of their n tokens: (B, n) each."""

    ids: torch.Tensor
    old: torch.Tensor
    values: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor


def after(layer: Layer, x: torch.Tensor, cache: torch.Tensor, start: int) -> Any:
    """The layer on x (B, T, C) that follows `start` other tokens (T is 1, or start 0).

    cache: (2, B, H, room, D), keys and values of these others; those of x go there too.
    """
    B, T, C = x.shape
    q, k, v = (
        part.view(B, T, layer.n_head, -1).transpose(1, 2)
        for part in layer.qkv(layer.norm1(x)).split(C, dim=2)
    )
    cache[0, :, :, start : start + T], cache[1, :, :, start : start + T] = k, v
    keys, values = cache[:, :, :, : start + T]
    att = F.scaled_dot_product_attention(q, keys, values, is_causal=T > 1)
    x = x + layer.attn_proj(att.transpose(1, 2).reshape(B, T, C))
    hidden = F.gelu(layer.fc(layer.norm2(x)), approximate="tanh")
    return x + layer.mlp_proj(hidden)


class Policy(TorchGPT):
    """A GPT with a value head, which begins at 0."""

    def __init__(self, c: GPTConfig) -> None:
        super().__init__(c)
        self.cache_shape = (c.n_layer, 2, c.n_head, c.head_size)
        self.head = nn.Linear(c.n_embd, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def hidden(
        self, ids: torch.Tensor, cache: torch.Tensor | None = None, start: int = 0
    ) -> torch.Tensor:
        """The last norm's output (B, T, C)."""
        x = self.tokens(ids) + self.positions.weight[start : start + ids.shape[1]]
        for l, layer in enumerate(self.layers):
            x = layer(x) if cache is None else after(layer, x, cache[l], start)
        return self.final_norm(x)

    def forward(self, ids: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(log-probabilities, values), each (B, n), of the last n tokens."""
        hidden = self.hidden(ids[:, :-1])[:, -n:].flatten(0, 1)
        logits = F.linear(hidden, self.tokens.weight)
        targets = ids[:, -n:].flatten()
        losses = F.cross_entropy(logits, targets, reduction="none")
        return -losses.view(-1, n), self.head(hidden).view(-1, n)

    @torch.no_grad()
    def sample(self, prompts: torch.Tensor, n: int) -> torch.Tensor:
        """prompts (B, P) with n more tokens each, whatever these are: (B, P + n)."""
        (B, P), (L, two, H, D) = prompts.shape, self.cache_shape
        cache = torch.empty(L, two, B, H, P + n, D)
        parts, start = [prompts], 0
        for _ in range(n):
            hidden = self.hidden(parts[-1], cache, start)[:, -1]
            start += parts[-1].shape[1]
            chances = F.linear(hidden, self.tokens.weight).softmax(dim=-1)
            parts.append(torch.multinomial(chances, 1))
        return torch.cat(parts, dim=1)


class TorchPPO:
    """The policy, the frozen model that it began as, an optimizer, and a rater.

    rate: gives answers (B, n) their rewards (B,).
    """

    def __init__(
        self, model: GPTConfig, config: PPOConfig,
        rate: Callable[[np.ndarray], np.ndarray], compiled: bool = False,
    ) -> None:  # fmt: skip
        torch.set_num_threads(available_cores())
        self.config, self.rate, training = config, rate, TrainConfig()
        self.policy: Any = Policy(model)
        self.reference: Any = copy.deepcopy(self.policy).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.policy.parameters(), lr=config.learning_rate, eps=training.eps,
            betas=(training.beta1, training.beta2), weight_decay=0.0, fused=True,
        )  # fmt: skip
        self.grad_clip = training.grad_clip
        self.read, self.read_reference = (
            torch.compile(m, dynamic=False) if compiled else m
            for m in (self.policy, self.reference)
        )

    def update(self, prompts: np.ndarray) -> list[tuple[float, float]]:
        """One round on prompts (B, P); each step's policy loss and value loss."""
        c = self.config
        ids = self.policy.sample(torch.from_numpy(prompts), c.longest)
        rewards = self.rate(ids[:, -c.longest :].numpy())
        x = self.experience(ids, torch.from_numpy(rewards).float())
        return [
            self.step(Experience(*(part[rows] for part in x)))
            for _ in range(c.epochs)
            for rows in torch.randperm(len(ids)).split(c.minibatch)
        ]

    @torch.no_grad()
    def experience(self, ids: torch.Tensor, rewards: torch.Tensor) -> Experience:
        """All that the losses look at, of answers (B, P + n) with rewards (B,)."""
        c = self.config
        old, values = self.read(ids, c.longest)
        reference, _ = self.read_reference(ids, c.longest)
        each = -c.kl_weight * (old - reference)
        each[:, -1] += rewards
        advantages = torch.empty_like(each)
        following = next_value = torch.zeros_like(rewards)
        for t in reversed(range(c.longest)):
            delta = each[:, t] + c.gamma * next_value - values[:, t]
            following = delta + c.gamma * c.lam * following
            next_value, advantages[:, t] = values[:, t], following
        returns = advantages + values
        if c.whiten:
            spread = advantages.std(unbiased=False) + 1e-8
            advantages = (advantages - advantages.mean()) / spread
        return Experience(ids, old, values, advantages, returns)

    def step(self, x: Experience) -> tuple[float, float]:
        """One step on a minibatch; its mean policy loss and value loss."""
        c = self.config
        logp, values = self.read(x.ids, c.longest)
        ratio = torch.exp(logp - x.old)
        held = ratio.clamp(1 - c.clip, 1 + c.clip)
        policy = -torch.minimum(ratio * x.advantages, held * x.advantages).mean()
        near = x.values + (values - x.values).clamp(-c.value_clip, c.value_clip)
        errors = torch.maximum((values - x.returns) ** 2, (near - x.returns) ** 2)
        value = errors.mean() / 2
        self.optimizer.zero_grad(set_to_none=True)
        (policy + c.value_weight * value).backward()
        nn.utils.clip_grad_norm_(self.policy.parameters(), self.grad_clip)
        self.optimizer.step()
        return policy.item(), value.item()
