"""Shapes of transformers, the numbers in them, and the work of a token."""

from __future__ import annotations

from dataclasses import dataclass

from gptlite.cluster.hardware import find
from gptlite.config import check_numbers
from gptlite.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Transformer:
    """The shape of a GPT or a Llama: C channels, H heads, T positions, V tokens.

    n_kv_head: heads of keys and values, 0: as many as n_head. ffn: width of the MLP,
    0: four times n_embd. gated: a SwiGLU of three matrices, no biases, no learned
    positions, and an output layer of its own, as in Llama. batch: sequences of a step,
    where nobody asks for another.
    """

    n_layer: int
    n_head: int
    n_embd: int
    context_length: int = 2048
    vocab_size: int = 51_200
    n_kv_head: int = 0
    ffn: int = 0
    gated: bool = False
    batch: int = 512

    def __post_init__(self) -> None:
        check_numbers(self, "n_layer n_head n_embd context_length vocab_size batch",
                      "n_kv_head ffn")  # fmt: skip
        if self.n_embd % self.n_head:
            raise ConfigError(
                f"wanted n_embd divisible by n_head, got n_embd={self.n_embd}, "
                f"n_head={self.n_head}; try n_embd="
                f"{max(self.n_embd // self.n_head, 1) * self.n_head}"
            )

    @property
    def kv_width(self) -> int:
        """Channels of a token's keys, and of its values."""
        return self.n_embd // self.n_head * (self.n_kv_head or self.n_head)

    @property
    def layer_weights(self) -> int:
        """Numbers in one layer's matrices; 12 C² for a GPT."""
        C, F = self.n_embd, self.ffn or 4 * self.n_embd
        return 2 * C * C + 2 * C * self.kv_width + (3 if self.gated else 2) * C * F

    @property
    def layer_params(self) -> int:
        """The same with norms and biases."""
        return self.layer_weights + (2 if self.gated else 13) * self.n_embd

    @property
    def embedding_params(self) -> int:
        """Embedding, and positions or an output layer, and the last norm."""
        rows = self.vocab_size * 2 if self.gated else (
            self.vocab_size + self.context_length + 1
        )  # fmt: skip
        return (rows + 1) * self.n_embd

    @property
    def n_params(self) -> int:
        """All of them.

        >>> PRESETS["gpt2"].n_params, PRESETS["llama-7b"].n_params
        (124439808, 6738415616)
        """
        return self.n_layer * self.layer_params + self.embedding_params

    @property
    def layer_flops(self) -> int:
        """FLOPs of one layer's forward for a token: 24 C² + 4 T C for a GPT.

        A weight costs a multiplication and an addition; attention's two products cost
        4 T C more. Half of these are masked; like Narayanan et al. 2021 (arXiv:
        2104.04473, appendix) all are counted, for their figures to be comparable.
        """
        return 2 * self.layer_weights + 4 * self.context_length * self.n_embd

    @property
    def output_flops(self) -> int:
        """FLOPs of the logits of one token."""
        return 2 * self.n_embd * self.vocab_size

    def flops(self, tokens: float, recompute: bool = False) -> float:
        """FLOPs of training on so many tokens; backward is two forwards.

        With `recompute` each layer's forward is done twice. That is then formula (3) of
        Narayanan et al. 2021, 96 B T L C² (1 + T / 6C + V / 16LC):

        >>> gpt = PRESETS["gpt3-175b"]
        >>> f"{gpt.flops(300e9):.3g} {gpt.flops(300e9, recompute=True):.3g}"
        '3.23e+23 4.3e+23'
        """
        layers = self.n_layer * self.layer_flops * (4 if recompute else 3)
        return tokens * (layers + 3 * self.output_flops)


def _llama(layers: int, heads: int, channels: int, ffn: int, T: int, V: int,
           kv: int = 0, batch: int = 2048) -> Transformer:  # fmt: skip
    return Transformer(layers, heads, channels, T, V, kv, ffn, True, batch)


PRESETS = {
    # Radford et al. 2019; 512 sequences as in its release
    "gpt2": Transformer(12, 12, 768, 1024, 50257),
    "gpt2-xl": Transformer(48, 25, 1600, 1024, 50257),
    # Brown et al. 2020, arXiv:2005.14165, Table 2.1: a batch of 3.2 million tokens,
    # which is 1,562.5 sequences; 1,536 have more divisors
    "gpt3-13b": Transformer(40, 40, 5120, 2048, 50257, batch=1024),
    "gpt3-175b": Transformer(96, 96, 12288, 2048, 50257, batch=1536),
    # Narayanan et al. 2021, arXiv:2104.04473, Table 1
    "megatron-1.7b": Transformer(24, 24, 2304),
    "megatron-3.6b": Transformer(30, 32, 3072),
    "megatron-7.5b": Transformer(36, 32, 4096),
    "megatron-18b": Transformer(40, 48, 6144, batch=1024),
    "megatron-39b": Transformer(48, 64, 8192, batch=1536),
    "megatron-76b": Transformer(60, 80, 10240, batch=1792),
    "megatron-145b": Transformer(80, 96, 12288, batch=2304),
    "megatron-310b": Transformer(96, 128, 16384, batch=2160),
    "megatron-530b": Transformer(105, 128, 20480, batch=2520),
    "megatron-1t": Transformer(128, 160, 25600, batch=3072),
    # Zhang et al. 2022, arXiv:2205.01068; Le Scao et al. 2022, arXiv:2211.05100;
    # Smith et al. 2022, arXiv:2201.11990
    "opt-175b": Transformer(96, 96, 12288, 2048, 50272, batch=992),
    "bloom-176b": Transformer(70, 112, 14336, 2048, 250_880, batch=2048),
    "mt-nlg-530b": Transformer(105, 128, 20480, 2048, 50257, batch=1920),
    # Touvron et al. 2023, arXiv:2302.13971 and arXiv:2307.09288
    "llama-7b": _llama(32, 32, 4096, 11008, 2048, 32000),
    "llama-65b": _llama(80, 64, 8192, 22016, 2048, 32000),
    "llama2-70b": _llama(80, 64, 8192, 28672, 4096, 32000, 8, 1024),
    # Dubey et al. 2024, arXiv:2407.21783, Table 3
    "llama3-8b": _llama(32, 32, 4096, 14336, 8192, 128_256, 8, 512),
    "llama3-70b": _llama(80, 64, 8192, 28672, 8192, 128_256, 8),
    "llama3-405b": _llama(126, 128, 16384, 53248, 8192, 128_256, 8),
}


def model(name: str) -> Transformer:
    """The shape called `name`.

    >>> f"{model('megatron-1t').n_params:.4g}"
    '1.008e+12'
    """
    return find(name, PRESETS, "model")
