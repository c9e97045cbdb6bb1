"""What a model and a training run are made of, and every preset in one place."""

from __future__ import annotations

import dataclasses
import difflib
import math
from dataclasses import dataclass
from typing import Any

from gptlite.errors import ConfigError


def _require(condition: bool, wanted: str, got: str, hint: str) -> None:
    if not condition:
        raise ConfigError(f"wanted {wanted}, got {got}; {hint}")


def check_numbers(config: Any, positive: str = "", not_negative: str = "") -> None:
    """Integer fields hold integers, and numbers lie in the range they need."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.type == "int":
            _require(
                isinstance(value, int) and not isinstance(value, bool),
                f"a whole number for {field.name}",
                repr(value),
                "write it without a decimal point",
            )
            _require(-(2**63) <= value < 2**63, f"{field.name} of at most 63 bits",
                     f"{value}", "take a smaller number")  # fmt: skip
        if field.type == "bool":
            _require(
                isinstance(value, bool),
                f"true or false for {field.name}",
                repr(value),
                "check config.json",
            )
        if field.type == "float":
            _require(
                isinstance(value, (int, float)) and math.isfinite(value),
                f"a finite number for {field.name}",
                repr(value),
                "check the flag or config.json",
            )
    for name in positive.split():
        value = getattr(config, name)
        _require(value > 0, f"{name} > 0", f"{value}", f"raise {name}")
    for name in not_negative.split():
        value = getattr(config, name)
        _require(value >= 0, f"{name} ≥ 0", f"{value}", f"raise {name}")


@dataclass(frozen=True, slots=True)
class GPTConfig:
    """The shape of a GPT-2: L layers, H heads, C channels, T positions, V tokens."""

    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    context_length: int = 64
    vocab_size: int = 65
    bias: bool = False

    def __post_init__(self) -> None:
        check_numbers(self, "n_layer n_head n_embd context_length vocab_size")
        _require(
            self.n_embd % self.n_head == 0,
            "n_embd divisible by n_head",
            f"n_embd={self.n_embd}, n_head={self.n_head}",
            f"try n_embd={self.n_embd // self.n_head * self.n_head or self.n_head}",
        )

    @property
    def head_size(self) -> int:
        return self.n_embd // self.n_head


OPTIMIZERS = ("adamw", "muon")
THREADS = ("threads", "sequential")  # one after another
POOLS = (*THREADS, "processes", "mpi")  # the last two: a model for each worker
PRODUCTS = ("numba", "blas")
DTYPES = ("float32", "bfloat16")  # of the factors in products with weights
TOKENIZERS = ("char", "byte", "bpe")
BAD_LINES = ("stop", "skip")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How a model is trained. Batches are counted in sequences, times in seconds."""

    tokenizer: str = "char"  # made for the text: char, byte, bpe; or tokenizer.json
    steps: int = 2000
    seconds: float = 0.0  # > 0: stop after this wall time, the schedule follows it
    batch_size: int = 12
    accumulation: int = 1  # batches whose gradients are summed before one update
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-4
    muon_learning_rate: float = 0.02  # for the hidden matrices, with optimizer=muon
    muon_momentum: float = 0.95
    warmup_steps: int = 100
    beta1: float = 0.9
    beta2: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.1
    grad_clip: float = 1.0  # largest global norm of the mean gradient; 0: no clipping
    eval_every: int = 250
    eval_windows: int = 64  # windows of validation text per evaluation; 0: all
    sample_every: int = 500
    checkpoint_every: int = 500
    patience: int = 0  # evaluations without a better one, then stop; 0: never
    workers: int = 0  # 0: one a core
    pool: str = "threads"
    matmul: str = "numba"  # what computes the products with weights
    dtype: str = "float32"  # of the products with weights; the rest is float32
    seed: int = 0

    def __post_init__(self) -> None:
        check_numbers(
            self,
            positive="steps batch_size accumulation learning_rate eps",
            not_negative="seconds final_learning_rate muon_learning_rate warmup_steps "
            "weight_decay grad_clip eval_every eval_windows sample_every "
            "checkpoint_every patience workers seed",
        )
        for name in ("beta1", "beta2", "muon_momentum"):
            value = getattr(self, name)
            _require(0 <= value < 1, f"0 ≤ {name} < 1", f"{value}", "0.9 is common")
        for name, known in (
            ("optimizer", OPTIMIZERS),
            ("pool", POOLS),
            ("matmul", PRODUCTS),
            ("dtype", DTYPES),
        ):
            value = getattr(self, name)
            _require(
                value in known, f"{name} in {known}", repr(value), "pick one of these"
            )
        _require(
            self.tokenizer in TOKENIZERS or str(self.tokenizer).endswith(".json"),
            f"tokenizer in {TOKENIZERS}, or the path of a tokenizer.json",
            repr(self.tokenizer),
            "`gptlite tokenizer train` makes such a file",
        )


@dataclass(frozen=True, slots=True)
class FinetuneConfig:
    """What a model is fine-tuned on, and which of its weights.

    tasks: such as "facts=2,rewrite", with weights; empty: all alike. conversations: how
    many are drawn; training goes through them in random order. several: the probability
    that others follow one, up to four in a row, as one conversation; an assistant that
    has only seen first questions answers no second one. replay: share of the rows that
    are text of the pretraining, so that less of it is forgotten; all tokens of these
    count, and of a conversation only the assistant's. rank: > 0 trains a LoRA adapter
    of this rank beside frozen weights, scaled by alpha / rank.
    """

    tasks: str = ""
    conversations: int = 20_000
    several: float = 0.5
    replay: float = 0.0
    rank: int = 0
    alpha: float = 16.0

    def __post_init__(self) -> None:
        check_numbers(self, "conversations alpha", "rank")
        _require(0 <= self.several <= 1, "0 ≤ several ≤ 1", f"{self.several}",
                 "it is a share of the conversations")  # fmt: skip
        _require(0 <= self.replay < 1, "0 ≤ replay < 1", f"{self.replay}",
                 "it is a share of the rows")  # fmt: skip


@dataclass(frozen=True, slots=True)
class SkipGram:
    """How word vectors are learned.

    subsample: words more frequent than this share are skipped now and then. workers:
    0 is one a core, sharing the vectors; 1 gives the same bits every time.
    """

    size: int = 100
    window: int = 5
    negatives: int = 5
    epochs: int = 5
    least: int = 5  # rarer words are left out
    subsample: float = 1e-3
    learning_rate: float = 0.025
    final_learning_rate: float = 0.0001
    noise_power: float = 0.75
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check_numbers(
            self,
            positive="size window epochs least learning_rate",
            not_negative="negatives subsample final_learning_rate noise_power workers "
            "seed",
        )
        for name, most in (("window", 1000), ("negatives", 1000), ("noise_power", 2)):
            value = getattr(self, name)
            _require(value <= most, f"{name} ≤ {most}", f"{value}", f"lower {name}")


@dataclass(frozen=True, slots=True)
class CorpusConfig:
    """How a corpus is built from documents.

    validation: share of the documents that is set aside. similarity: a document that
    resembles an earlier one at least so much (Jaccard index of its runs of five words)
    is left out. languages: codes such as "en,fr"; empty: all. bad_lines: "stop" at a
    broken line of JSON, or "skip" it.
    """

    vocab_size: int = 8192
    validation: float = 0.05
    similarity: float = 0.8
    languages: str = ""
    bad_lines: str = "stop"
    seed: int = 0

    def __post_init__(self) -> None:
        check_numbers(self, positive="vocab_size", not_negative="seed")
        for name in ("validation", "similarity"):
            value = getattr(self, name)
            _require(0 < value < 1, f"0 < {name} < 1", f"{value}", "it is a share")
        _require(self.bad_lines in BAD_LINES, f"bad_lines in {BAD_LINES}",
                 repr(self.bad_lines), "pick one of these")  # fmt: skip


_BABY = {"n_layer": 4, "n_head": 4, "n_embd": 128, "context_length": 64}

PRESETS: dict[str, dict[str, Any]] = {
    # smallest model that learns words: for tests and for a first look
    "nano": {
        "n_layer": 2, "n_head": 2, "n_embd": 32, "context_length": 32,
        "batch_size": 8, "steps": 500, "learning_rate": 3e-3,
    },
    # the shape of nanoGPT's recipe for a laptop
    "baby": {**_BABY, "vocab_size": 65, "batch_size": 12},
    "small": {
        "n_layer": 6, "n_head": 8, "n_embd": 256, "context_length": 128,
        "vocab_size": 512, "batch_size": 16,
    },
    # small, with a vocabulary of subwords: a fifth of its products are with the output
    "bpe": {
        "n_layer": 4, "n_head": 4, "n_embd": 256, "context_length": 128,
        "vocab_size": 4096, "batch_size": 32, "tokenizer": "bpe",
    },
    # the shape of nanoGPT's Shakespeare model for one GPU
    "shake": {
        "n_layer": 6, "n_head": 6, "n_embd": 384, "context_length": 256,
        "vocab_size": 65, "batch_size": 16, "steps": 5000,
    },
    # GPT-2, 124 million parameters
    "gpt2": {
        "n_layer": 12, "n_head": 12, "n_embd": 768, "context_length": 1024,
        "vocab_size": 50257, "bias": True, "batch_size": 2, "tokenizer": "byte",
        "learning_rate": 6e-4, "final_learning_rate": 6e-5, "beta2": 0.95,
    },
    # nanoGPT's CPU recipe, hyperparameter by hyperparameter
    "nanogpt-cpu": {
        **_BABY, "batch_size": 12, "steps": 2000, "learning_rate": 1e-3,
        "final_learning_rate": 1e-4, "beta2": 0.99, "warmup_steps": 100,
        "weight_decay": 0.1, "eval_every": 0, "sample_every": 0,
    },
    # the lowest loss within three minutes, compilation included
    "speedrun": {
        **_BABY, "context_length": 128, "batch_size": 12, "seconds": 179.0,
        "optimizer": "muon", "learning_rate": 4e-3, "final_learning_rate": 0.0,
        "warmup_steps": 50, "eval_every": 0, "sample_every": 0, "checkpoint_every": 0,
    },
    # what `gptlite demo` trains
    "demo": {
        **_BABY, "batch_size": 12, "seconds": 75.0, "learning_rate": 4e-3,
        "final_learning_rate": 1e-4, "sample_every": 400, "eval_every": 200,
    },
}  # fmt: skip


def field_names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def preset(name: str, **overrides: Any) -> tuple[GPTConfig, TrainConfig]:
    """The model and training configuration called `name`, with fields replaced.

    >>> model, training = preset("baby", steps=100)
    >>> model.n_embd, training.steps
    (128, 100)
    """
    if name not in PRESETS:
        close = difflib.get_close_matches(name, PRESETS, 1) or ["baby"]
        raise ConfigError(
            f"wanted a preset among {', '.join(PRESETS)}, got {name!r}; "
            f"did you mean {close[0]!r}?"
        )
    return configs_from({**PRESETS[name], **overrides})


def configs_from(fields: dict[str, Any]) -> tuple[GPTConfig, TrainConfig]:
    """Sort `fields` into the two configurations; an unknown name is an error."""
    model_names, train_names = field_names(GPTConfig), field_names(TrainConfig)
    for name in fields:
        if name not in model_names + train_names:
            close = difflib.get_close_matches(name, model_names + train_names, 1)
            hint = f"did you mean {close[0]!r}?" if close else "see `gptlite info`"
            raise ConfigError(
                f"wanted a known configuration field, got {name!r}; {hint}"
            )
    return (
        GPTConfig(**{k: v for k, v in fields.items() if k in model_names}),
        TrainConfig(**{k: v for k, v in fields.items() if k in train_names}),
    )
