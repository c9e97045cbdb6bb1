"""Answering: the roofline of prefill and decode, and the memory of keys and values.

A *replica* is one copy of the model, cut over the GPUs of a server by tensor
parallelism. Derived in docs/cluster/serving.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from gptlite.cluster.hardware import GIB, Device, device
from gptlite.cluster.layout import ring
from gptlite.cluster.models import Transformer, model
from gptlite.cluster.step import FITTED
from gptlite.config import check_numbers
from gptlite.errors import ConfigError

WIDTH = 2  # bytes of a weight, a key, a value: 16 bits


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """Who asks how much, and what answers.

    users: that ask on a day. prompt, output: tokens of a query, on average.
    utilization: share of the GPUs' peak that answering reaches, prompts not counted; 0:
    what the roofline says. busy: share of what a replica can answer that it is given.
    delay: seconds that an all-reduce takes beyond its bytes. requests: to simulate.
    0: ten batches, 300 to 5,000. With the defaults SemiAnalysis' estimate comes out.
    """

    model: str = "gpt3-175b"
    device: str = "a100"
    tensor: int = 8
    users: float = 13e6
    queries_per_user: float = 15.0
    prompt: int = 100
    output: int = 2000
    utilization: float = 0.1746
    busy: float = 0.7
    reserve: float = 0.1
    delay: float = 10e-6
    dollars_per_hour: float = 0.0
    requests: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check_numbers(
            self, "tensor users queries_per_user prompt output busy",
            "requests utilization reserve delay dollars_per_hour seed",
        )  # fmt: skip
        for name, least in (("utilization", 1.0), ("busy", 1.0), ("reserve", 0.99)):
            if getattr(self, name) > least:
                raise ConfigError(
                    f"wanted {name} ≤ {least:g}, got {getattr(self, name)}; it is "
                    "a share"
                )

    @property
    def queries_per_day(self) -> float:
        return self.users * self.queries_per_user


@dataclass(frozen=True, slots=True)
class Replica:
    """A model on `gpus` devices of one server.

    >>> gpt3 = replica(ServeConfig())
    >>> f"{gpt3.kv_bytes / 1e6:.1f} MB a token, room for {gpt3.room:,} tokens"
    '4.7 MB a token, room for 57,065 tokens'
    >>> f"{gpt3.decode(1, 1000):.3f} s alone, {gpt3.decode(27, 1000):.3f} s for 27"
    '0.025 s alone, 0.034 s for 27'
    """

    shape: Transformer
    device: Device
    gpus: int
    reserve: float
    delay: float

    @property
    def weight_bytes(self) -> float:
        return float(WIDTH * self.shape.n_params)

    @property
    def kv_bytes(self) -> int:
        """Bytes of one token's keys and values in all layers: 2 L C_kv numbers."""
        return 2 * self.shape.n_layer * self.shape.kv_width * WIDTH

    @property
    def room(self) -> int:
        """Tokens whose keys and values fit beside the weights."""
        memory = self.gpus * self.device.memory_gib * GIB * (1 - self.reserve)
        return int((memory - self.weight_bytes) // self.kv_bytes)

    @property
    def ridge(self) -> float:
        """Sequences from which decoding is bound by FLOPs, keys and values left out.

        Each weight is read once, 2 bytes, and used in 2 FLOPs a sequence.

        >>> round(replica(ServeConfig()).ridge)
        108
        """
        flops = self.device.peak * FITTED.matmul
        return flops / (self.device.bandwidth * FITTED.memory)

    def _time(self, flops: float, moved: float, tokens: float) -> float:
        """The slower of products and memory; then the all-reduces, two a layer."""
        work = max(
            flops / (self.gpus * self.device.peak * FITTED.matmul),
            moved / (self.gpus * self.device.bandwidth * FITTED.memory),
        )
        if self.gpus == 1:
            return work
        sent = ring(tokens * self.shape.n_embd * WIDTH, self.gpus)
        send = sent / (self.device.inside.bandwidth * FITTED.link)
        return work + 2 * self.shape.n_layer * (send + self.delay)

    def _products(self, tokens: float) -> float:
        """FLOPs of `tokens` with the layers' weights."""
        return 2.0 * tokens * self.shape.n_layer * self.shape.layer_weights

    def prefill(self, tokens: float) -> float:
        """Seconds to read a prompt: all its tokens at once, each sees those before."""
        if not tokens:
            return 0.0
        seen = 2 * self.shape.n_layer * self.shape.n_embd * tokens * tokens
        flops = self._products(tokens) + seen + self.shape.output_flops
        return self._time(flops, self.weight_bytes + tokens * self.kv_bytes, tokens)

    def decode(self, batch: int, context: float) -> float:
        """Seconds for one token more of `batch` sequences of `context` tokens each."""
        seen = 4 * self.shape.n_layer * self.shape.n_embd * context
        flops = self._products(batch) + batch * (seen + self.shape.output_flops)
        moved = self.weight_bytes + batch * context * self.kv_bytes
        return self._time(flops, moved, batch)

    def batch(self, prompt: int, output: int) -> int:
        """Sequences that have room, of such lengths on average, at a random moment.

        Long ones are met more often. If lengths are geometric, what is met has made
        `output` tokens already, on average, not half of them.
        """
        return self.room // (prompt + output)

    def capacity(self, prompt: int, output: int) -> float:
        """Queries a second that a full replica answers.

        A query takes its prefill, and its share of each of its decoding steps.
        """
        batch = self.batch(prompt, output)
        step = self.decode(batch, prompt + output)
        return 1 / (self.prefill(prompt) + output * step / batch)


def replica(config: ServeConfig) -> Replica:
    """The replica that the configuration asks for, or what it lacks."""
    machine, shape = device(config.device), model(config.model)
    if machine.server % config.tensor or shape.n_head % config.tensor:
        raise ConfigError(
            f"wanted tensor to divide the {machine.server} devices of a server and the "
            f"{shape.n_head} heads, got {config.tensor}; try --tensor 1"
        )
    found = Replica(shape, machine, config.tensor, config.reserve, config.delay)
    if found.batch(config.prompt, config.output) < 1:
        need = found.weight_bytes + (config.prompt + config.output) * found.kv_bytes
        have = config.tensor * machine.memory_gib * GIB * (1 - config.reserve)
        raise ConfigError(
            f"wanted {need / GIB:.1f} GiB for {config.model} and one query, got "
            f"{have / GIB:.1f} GiB on {config.tensor} × {config.device}, "
            f"{(need - have) / GIB:.1f} GiB too little; raise --tensor, or take a "
            "--device with more memory"
        )
    return found
