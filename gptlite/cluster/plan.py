"""What is planned, and a layout judged: memory, time, energy, dollars, in words too."""

from __future__ import annotations

from dataclasses import dataclass

from gptlite.cluster.hardware import GIB, Device, device
from gptlite.cluster.layout import PRECISIONS, Layout, memory_bytes
from gptlite.cluster.models import Transformer
from gptlite.cluster.step import StepTime, step_time
from gptlite.config import check_numbers
from gptlite.errors import ConfigError

DAY = 86_400.0  # seconds


@dataclass(frozen=True, slots=True)
class PlanConfig:
    """What is trained, on what. 0 or "": the preset's, or found by search.

    batch: sequences of a step. tokens: of the whole training. precision: mixed or
    float32. recompute: yes, no, or both are tried. zero: -1 is search. reserve: share
    of a GPU's memory that is not ours (libraries, fragments). pue: power of the whole
    building ÷ that of its computers.
    """

    model: str = "gpt3-175b"
    gpus: int = 1024
    device: str = "a100"
    link: str = ""
    batch: int = 0
    tokens: float = 300e9
    precision: str = ""
    data: int = 0
    tensor: int = 0
    pipeline: int = 0
    zero: int = -1
    micro_batch: int = 0
    recompute: str = ""
    interleave: int = 1
    flash: bool = False
    reserve: float = 0.1
    dollars_per_hour: float = 0.0
    pue: float = 1.1

    def __post_init__(self) -> None:
        check_numbers(self, "gpus tokens interleave pue", "batch data tensor pipeline "
                      "micro_batch reserve dollars_per_hour")  # fmt: skip
        for name, allowed in (("precision", ("", *PRECISIONS)), ("zero", range(-1, 4)),
                              ("recompute", ("", "yes", "no"))):  # fmt: skip
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"wanted {name} among {', '.join(map(str, allowed))}, got "
                    f"{getattr(self, name)!r}; leave it out to search"
                )
        if self.reserve >= 1:
            raise ConfigError(f"wanted reserve < 1, got {self.reserve}; it is a share")

    @property
    def machine(self) -> Device:
        return device(self.device, self.link)

    @property
    def number(self) -> str:
        """mixed or float32: GPUs have tensor cores, a CPU here has not."""
        return self.precision or ("float32" if self.device == "cpu" else "mixed")

    @property
    def room(self) -> float:
        """Bytes of a GPU that may be used."""
        return self.machine.memory_gib * GIB * (1 - self.reserve)


@dataclass(frozen=True, slots=True)
class Imperfect:
    """stragglers: spread of the GPUs' speeds (of their logarithm; 0.02: about 2 %).
    slow: how many times as long one GPU of all takes. overlap: gradients are sent while
    backward goes on. latency: microseconds of a message. mtbf_hours: between failures
    of one GPU; 50,675 is Llama 3's, 419 interruptions of 16,384 GPUs in 54 days
    (arXiv:2407.21783, section 3.3.4). checkpoint, restart: seconds. interval: seconds
    of work between checkpoints; 0: Young's.
    """

    stragglers: float = 0.02
    slow: float = 1.0
    overlap: bool = True
    latency: float = 5.0
    mtbf_hours: float = 50_675.0
    checkpoint: float = 60.0
    restart: float = 600.0
    interval: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_numbers(self, "slow mtbf_hours checkpoint",
                      "stragglers latency restart interval seed")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """One layout, judged. Seconds, bytes, kilowatt-hours, dollars."""

    layout: Layout
    memory: float
    memory_float32: float
    memory_mixed: float
    fits: bool
    step: StepTime
    tflops: float  # achieved by a GPU, recomputed forwards counted
    mfu: float
    days: float
    kwh: float
    dollars: float


def judge(shape: Transformer, layout: Layout, batch: int, config: PlanConfig) -> Plan:
    """Memory, time and bill of one layout; idle GPUs are paid for.

    MFU is the FLOPs that the model needs, without recomputing, over what all GPUs
    could do at their peak (Chowdhery et al. 2022, arXiv:2204.02311, appendix B).
    """
    machine, count = config.machine, layout.micro_batches(batch)
    of = {p: memory_bytes(shape, layout, count, p) for p in PRECISIONS}
    step = step_time(shape, layout, batch, machine, config.number)
    tokens = batch * shape.context_length
    seconds = step.total * config.tokens / tokens
    hours = config.gpus * seconds / 3600
    peak = machine.peak if config.number == "mixed" else machine.peak_float32
    done = shape.flops(tokens, layout.recompute) / step.total / config.gpus
    return Plan(
        layout, of[config.number], of["float32"], of["mixed"],
        of[config.number] <= config.room, step, done / 1e12,
        shape.flops(tokens) / step.total / config.gpus / peak, seconds / DAY,
        hours * machine.watts / 1000 * config.pue,
        hours * (config.dollars_per_hour or machine.dollars),
    )  # fmt: skip


PARTS = {
    "matmul": "products", "memory": "norms, GELU, softmax and dropout",
    "tensor": "tensor-parallel all-reduces", "pipeline": "sending to the next stage",
    "bubble": "the pipeline's bubble", "data": "gradients between the copies",
    "optimizer": "the update",
}  # fmt: skip


def explain(plans: list[Plan], config: PlanConfig) -> list[str]:
    """Why the first plan: its memory, its time by parts, and what else would cost."""
    best, room = plans[0], config.room / GIB
    step = best.step
    spent = {text: getattr(step, part) / step.total for part, text in PARTS.items()}
    shown = sorted(((s, text) for text, s in spent.items() if s >= 0.005), reverse=True)
    lines = [
        f"of {room:.1f} GiB that a GPU has for it, {best.memory / GIB:.1f} are used",
        "a step is " + ", ".join(f"{share:.0%} {text}" for share, text in shown),
    ]
    idle = config.gpus - best.layout.gpus
    if idle:
        lines.append(f"{idle} GPUs are idle, and paid for: the batch and the layers do "
                     "not divide among all")  # fmt: skip
    for name in ("tensor", "pipeline", "zero", "recompute"):
        value = getattr(best.layout, name)
        others = [p for p in plans if getattr(p.layout, name) != value]
        if not others:
            continue
        second = others[0]  # they are sorted
        said = {"recompute": "without recomputing" if value else "recomputing"}.get(
            name, f"{name} {getattr(second.layout, name)}"
        )
        if second.fits:
            slower = second.step.total / step.total - 1
            lines.append(f"{said} is {slower:.1%} slower at best")
        else:
            lines.append(f"{said} does not fit: {second.memory / GIB:.1f} GiB at least")
    return lines
