"""The rival: the same GPT-2 in PyTorch, as a good user would write it.

scaled_dot_product_attention, fused AdamW, tied weights, one matrix for q, k and v.
Only benchmarks import this file; PyTorch is the extra `[bench]`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gptlite.config import GPTConfig, TrainConfig
from gptlite.errors import ConfigError
from gptlite.parallel.pool import available_cores

try:
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError as error:
    raise ConfigError(
        "wanted PyTorch to compare with, got none; pip install 'gptlite[bench]'"
    ) from error


class Layer(nn.Module):
    def __init__(self, c: GPTConfig) -> None:
        super().__init__()
        C = c.n_embd
        self.n_head = c.n_head
        self.norm1 = nn.LayerNorm(C, bias=c.bias)
        self.qkv = nn.Linear(C, 3 * C, bias=c.bias)
        self.attn_proj = nn.Linear(C, C, bias=c.bias)
        self.norm2 = nn.LayerNorm(C, bias=c.bias)
        self.fc = nn.Linear(C, 4 * C, bias=c.bias)
        self.mlp_proj = nn.Linear(4 * C, C, bias=c.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, T, C = x.shape
        q, k, v = (
            part.view(B, T, self.n_head, -1).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).split(C, dim=2)
        )
        att = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn_proj(att.transpose(1, 2).reshape(B, T, C))
        hidden = F.gelu(self.fc(self.norm2(x)), approximate="tanh")
        return x + self.mlp_proj(hidden)


class TorchGPT(nn.Module):
    def __init__(self, c: GPTConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(c.vocab_size, c.n_embd)
        self.positions = nn.Embedding(c.context_length, c.n_embd)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.n_layer))
        self.final_norm = nn.LayerNorm(c.n_embd, bias=c.bias)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)
            if name.endswith("proj.weight"):
                parameter.data /= (2 * c.n_layer) ** 0.5

    def forward(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x)
        logits = F.linear(self.final_norm(x), self.tokens.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class TorchTrainer:
    """A PyTorch model, its optimizer, and one training step on all cores."""

    def __init__(
        self,
        model_config: GPTConfig,
        config: TrainConfig,
        compiled: bool = False,
        autocast: bool = False,
    ) -> None:
        torch.set_num_threads(available_cores())
        self.model: Any = TorchGPT(model_config)
        parameters = list(self.model.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim == 2]},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(
            groups,
            lr=config.learning_rate,
            eps=config.eps,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.autocast = torch.autocast("cpu", torch.bfloat16, enabled=autocast)
        self.parameters, self.grad_clip = parameters, config.grad_clip
        if compiled:
            self.model = torch.compile(self.model)

    def step(self, ids: np.ndarray, targets: np.ndarray) -> float:
        with self.autocast:
            loss = self.model(torch.from_numpy(ids), torch.from_numpy(targets))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.grad_clip:
            nn.utils.clip_grad_norm_(self.parameters, self.grad_clip)
        self.optimizer.step()
        return float(loss.detach())
