"""A layout: how a model lies on GPUs. What each then keeps, and sends.

The formulas are derived in docs/cluster/parallelism.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from gptlite.cluster.models import Transformer
from gptlite.config import check_numbers
from gptlite.errors import ConfigError
from gptlite.parallel.zero_costs import FLOAT32, MIXED, zero_memory

PRECISIONS = {"float32": FLOAT32, "mixed": MIXED}


@dataclass(frozen=True, slots=True)
class Layout:
    """data × tensor × pipeline GPUs.

    zero: what the data-parallel copies share out, 0 nothing, 1 moments, 2 also
    gradients, 3 also parameters. micro_batch: sequences that pass the pipeline at a
    time. recompute: of each layer only the input is kept for backward. interleave:
    pieces of the model a stage holds (1: plain 1F1B). flash: attention's T × T
    probabilities are never written.
    """

    data: int = 1
    tensor: int = 1
    pipeline: int = 1
    zero: int = 0
    micro_batch: int = 1
    recompute: bool = True
    interleave: int = 1
    flash: bool = False

    def __post_init__(self) -> None:
        check_numbers(self, "data tensor pipeline micro_batch interleave", "zero")
        if self.zero > 3:
            raise ConfigError(f"wanted zero from 0 to 3, got {self.zero}; lower zero")

    @property
    def gpus(self) -> int:
        return self.data * self.tensor * self.pipeline

    def __str__(self) -> str:
        text = f"data {self.data} × tensor {self.tensor} × pipeline {self.pipeline}"
        text += f", ZeRO-{self.zero}, micro-batch {self.micro_batch}"
        text += f", interleaved {self.interleave}×" if self.interleave > 1 else ""
        return text + (", recomputing" if self.recompute else "")

    def check(self, model: Transformer, batch: int, server: int) -> None:
        """Is it possible for the model, the batch, and servers of this size?"""
        pieces, share = self.pipeline * self.interleave, self.data * self.micro_batch
        for good, wanted, got, hint in (
            (pieces <= model.n_layer, "a layer at least for each piece of a pipeline",
             f"{model.n_layer} layers in {pieces} pieces", "lower --pipeline"),
            (model.n_head % self.tensor == 0, "a tensor size that divides the heads",
             f"{model.n_head} heads on {self.tensor} GPUs", "see --tensor"),
            (server % self.tensor == 0, "a tensor size that divides a server",
             f"{self.tensor} of {server} GPUs", "see --tensor"),
            (batch % share == 0, "a batch that divides among the data-parallel copies",
             f"{batch} sequences for {self.data} copies × micro-batches of "
             f"{self.micro_batch}",
             f"try --batch {-(-batch // share) * share}"),
            (self.zero < 2 or self.pipeline == 1, "ZeRO-2 or 3 without a pipeline",
             f"zero={self.zero} with pipeline={self.pipeline}",
             "each micro-batch would be reduced or gathered anew; take --zero 1"),
            (self.interleave == 1 or (batch // share) % self.pipeline == 0,
             "micro-batches in multiples of the pipeline, if it is interleaved",
             f"{batch // share} on {self.pipeline} stages", "see --batch"),
        ):  # fmt: skip
            if not good:
                raise ConfigError(f"wanted {wanted}, got {got}; {hint}")

    def micro_batches(self, batch: int) -> int:
        """How many pass each pipeline in one step."""
        return batch // (self.data * self.micro_batch)


def stage_layers(model: Transformer, layout: Layout) -> int:
    """Layers of the fullest stage, for which the others wait.

    >>> from gptlite.cluster.models import PRESETS
    >>> stage_layers(PRESETS["bloom-176b"], Layout(pipeline=12))  # 70 = 10 × 6 + 2 × 5
    6
    """
    pieces = layout.pipeline * layout.interleave
    return layout.interleave * -(-model.n_layer // pieces)


def local_params(model: Transformer, layout: Layout) -> float:
    """Parameters of one GPU of the first stage, which has the embedding too."""
    layers = stage_layers(model, layout) * model.layer_params
    return (layers + model.embedding_params) / layout.tensor


def state_bytes(params: float, data: int, zero: int, precision: str) -> float:
    """Parameters, gradients and moments of a GPU, in bytes; stages share them out.

    ZeRO's example, 7.5e9 parameters on 64 GPUs (Rajbhandari et al. 2020,
    arXiv:1910.02054, Figure 1), in GB:

    >>> [round(state_bytes(7.5e9, 64, z, "mixed") / 1e9, 1) for z in range(4)]
    [120.0, 31.4, 16.6, 1.9]
    >>> [round(state_bytes(7.5e9, 64, z, "float32") / 1e9, 1) for z in range(4)]
    [120.0, 60.9, 31.4, 1.9]
    """
    return sum(zero_memory(zero, params, data, PRECISIONS[precision]).values())


def layer_activations(model: Transformer, layout: Layout, width: int = 2) -> float:
    """Bytes that one layer keeps of one micro-batch, if nothing is recomputed.

    T b C (10 + 24/t + 5 H T / (C t)) at two bytes a number: Korthikanti et al. 2022,
    arXiv:2205.05198, equation 2. `flash` leaves out the last term.
    """
    tokens = layout.micro_batch * model.context_length
    square = 0.0 if layout.flash else 5 * model.n_head * model.context_length
    split = 24 + square / model.n_embd
    return tokens * model.n_embd * (10 + split / layout.tensor) * width / 2


def activation_bytes(
    model: Transformer, layout: Layout, micro_batches: int, width: int = 2
) -> float:
    """What backward waits for, on the first stage: 1F1B keeps at most p micro-batches.

    Recomputing, a layer keeps its input (2 T b C) and one layer at a time is whole.
    """
    tokens = layout.micro_batch * model.context_length
    waiting = float(min(micro_batches, layout.pipeline))
    if layout.interleave > 1:  # Korthikanti et al. 2022, section 4.2.3
        waiting = waiting * (1 + (layout.pipeline - 1) / layout.pipeline
                             / layout.interleave)  # fmt: skip
    layers = stage_layers(model, layout)
    whole = layer_activations(model, layout, width)
    logits = tokens * model.vocab_size * (4 + width) / layout.tensor
    if layout.recompute:
        return waiting * layers * tokens * model.n_embd * width + whole + logits
    return waiting * layers * whole + logits


def memory_bytes(
    model: Transformer, layout: Layout, micro_batches: int, precision: str
) -> float:
    """All that a GPU keeps. ZeRO-3 also holds the layer at work, and the next.

    >>> from gptlite.cluster.models import PRESETS
    >>> layout = Layout(data=6, tensor=8, pipeline=64)
    >>> f"{memory_bytes(PRESETS['megatron-1t'], layout, 512, 'mixed') / 2**30:.1f} GiB"
    '45.4 GiB'
    """
    width = PRECISIONS[precision][0]
    params = local_params(model, layout)
    found = state_bytes(params, layout.data, layout.zero, precision)
    if layout.zero == 3:
        found += 2 * width * model.layer_params / layout.tensor
    return found + activation_bytes(model, layout, micro_batches, width)


def bubble(pipeline: int, micro_batches: int, interleave: int = 1) -> float:
    """Idle time of a pipeline, as a share of the time that it works: (p − 1) / (v m).

    GPipe (Huang et al. 2019, arXiv:1811.06965) and 1F1B (Narayanan et al. 2021) alike:

    >>> bubble(4, 4), bubble(4, 12), bubble(4, 12, interleave=3)
    (0.75, 0.25, 0.08333333333333333)
    """
    return (pipeline - 1) / (interleave * micro_batches)


def ring(size: float, members: int) -> float:
    """Bytes that each of `members` sends in a ring all-reduce of `size` bytes.

    >>> ring(1000, 4)
    1500.0
    """
    return 2 * size * (members - 1) / members


def tensor_traffic(model: Transformer, layout: Layout, width: int = 2) -> float:
    """Bytes a GPU sends to its tensor group, for one micro-batch and its stage.

    Two all-reduces of T b C numbers a layer in forward, two in backward, and two more
    if forward is done again (Shoeybi et al. 2019, arXiv:1909.08053, section 3).
    """
    size = layout.micro_batch * model.context_length * model.n_embd * width
    times = (6 if layout.recompute else 4) * stage_layers(model, layout)
    return times * ring(size, layout.tensor)


def pipeline_traffic(model: Transformer, layout: Layout, width: int = 2) -> float:
    """Bytes a GPU sends to its neighbours in the pipeline, for one micro-batch.

    Activations on, gradients back, for each piece it holds. The tensor group's GPUs
    send a part each (scatter/gather, Narayanan et al. 2021, section 4.1).
    """
    if layout.pipeline == 1:
        return 0.0
    size = layout.micro_batch * model.context_length * model.n_embd * width
    return 2 * layout.interleave * size / layout.tensor


def data_traffic(
    model: Transformer, layout: Layout, micro_batches: int, width: int = 2
) -> float:
    """Bytes a GPU sends to its data-parallel copies in one step, in rings.

    An all-reduce sends twice the gradients (reduce-scatter, then all-gather), and so
    does ZeRO-1. ZeRO-2 reduces after each micro-batch. ZeRO-3 gathers parameters for
    each forward and each backward too: 3 Ψ instead of 2 Ψ.
    """
    half = ring(local_params(model, layout) * width, layout.data) / 2
    times = (2, 2, micro_batches + 1, 3 * micro_batches)[layout.zero]
    return times * half
