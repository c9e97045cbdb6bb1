"""How long a training step takes: a roofline with three efficiencies.

Every part is a number of FLOPs or bytes over a peak, times what is lost on the way. The
three losses are fitted, on one published table, in `published.py`.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

from gptlite.cluster.hardware import Device
from gptlite.cluster.layout import (
    PRECISIONS,
    Layout,
    data_traffic,
    layer_activations,
    local_params,
    pipeline_traffic,
    stage_layers,
    tensor_traffic,
)
from gptlite.cluster.models import Transformer


@dataclass(frozen=True, slots=True)
class Efficiency:
    """Shares of the peaks that are reached: in products, from memory, over links."""

    matmul: float
    memory: float
    link: float


# least squares on Table 1 of Narayanan et al. 2021 alone: published.fit() finds them
FITTED = Efficiency(matmul=0.659, memory=0.930, link=0.826)


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds of one step, by what they are spent on."""

    matmul: float
    memory: float  # everything between the products: norms, GELU, dropout, softmax
    tensor: float
    pipeline: float
    bubble: float
    data: float
    optimizer: float

    @property
    def total(self) -> float:
        return sum(astuple(self))


def data_bandwidth(layout: Layout, device: Device) -> float:
    """Bytes a second of a ring among data-parallel copies.

    Where k copies sit in one server, a ring leaves it once, so k rings share k ports.
    ZeRO-3 gathers layer by layer and is not granted this: its rows in Table 2 of
    Narayanan et al. 2021 move no more than a port a GPU.
    """
    if layout.gpus <= device.server:
        return device.inside.bandwidth
    together = 1 if layout.zero == 3 else max(device.server // layout.tensor, 1)
    return min(device.inside.bandwidth, together * device.between.bandwidth)


def step_time(
    model: Transformer,
    layout: Layout,
    batch: int,
    device: Device,
    precision: str = "mixed",
    reached: Efficiency = FITTED,
) -> StepTime:
    """The parts of a step on `batch` sequences. Nothing is sent while it computes.

    >>> from gptlite.cluster.hardware import DEVICES
    >>> from gptlite.cluster.models import PRESETS
    >>> layout = Layout(data=6, tensor=8, pipeline=64)
    >>> step = step_time(PRESETS["megatron-1t"], layout, 3072, DEVICES["a100"])
    >>> f"{step.total:.0f} s, {step.bubble / step.total:.0%} of it idle"
    '103 s, 11% of it idle'
    """
    width = PRECISIONS[precision][0]
    peak = device.peak if width == 2 else device.peak_float32
    count = layout.micro_batches(batch)
    tokens = layout.micro_batch * model.context_length
    layers = stage_layers(model, layout)
    passes = 4 if layout.recompute else 3  # backward is two forwards

    # of one micro-batch on one stage
    output = 3 * model.output_flops / layout.pipeline  # as if shared by all stages
    flops = tokens * (passes * layers * model.layer_flops + output) / layout.tensor
    # what is kept was written once and read once, and backward does both for gradients
    moved = 2 * passes * layers * layer_activations(model, layout, width)
    matmul = flops / peak / reached.matmul
    memory = moved / device.bandwidth / reached.memory
    tensor = (
        tensor_traffic(model, layout, width) / device.inside.bandwidth / reached.link
    )
    join = device.between if layout.gpus > device.server else device.inside
    handed = pipeline_traffic(model, layout, width) / join.bandwidth / reached.link
    busy = matmul + memory + tensor + handed
    data = data_traffic(model, layout, count, width) / reached.link
    data /= data_bandwidth(layout, device)
    shard = layout.data if layout.zero else 1
    touched = 2 * sum(PRECISIONS[precision]) * local_params(model, layout) / shard
    return StepTime(
        count * matmul, count * memory, count * tensor, count * handed,
        (layout.pipeline - 1) / layout.interleave * busy,
        data, touched / device.bandwidth / reached.memory,
    )  # fmt: skip
