"""What lies on a GPU and what it sends: against papers, and against plain counting."""

from __future__ import annotations

import pytest

from gptlite.cluster.layout import (
    PRECISIONS,
    Layout,
    activation_bytes,
    bubble,
    data_traffic,
    layer_activations,
    local_params,
    memory_bytes,
    state_bytes,
    tensor_traffic,
)
from gptlite.cluster.models import PRESETS, Transformer
from gptlite.config import GPTConfig
from gptlite.errors import ConfigError
from gptlite.models.gpt import GPT

GPT3 = PRESETS["gpt3-175b"]


def test_parameters_are_those_of_the_gpt_of_this_library() -> None:
    shape = Transformer(3, 2, 32, context_length=24, vocab_size=50)
    config = GPTConfig(3, 2, 32, 24, 50, bias=True)
    assert shape.n_params == GPT(config).n_params


@pytest.mark.parametrize(
    ("name", "billions"),
    [("gpt3-175b", 174.6), ("megatron-145b", 145.6),
     ("megatron-530b", 529.6), ("megatron-1t", 1008.0), ("opt-175b", 174.6),
     ("bloom-176b", 176.2), ("llama-65b", 65.3), ("llama2-70b", 69.0),
     ("llama3-405b", 405.9)],
)  # fmt: skip
def test_presets_have_the_published_number_of_parameters(
    name: str, billions: float
) -> None:
    assert PRESETS[name].n_params == pytest.approx(billions * 1e9, rel=0.004)


def test_recomputing_adds_a_forward_of_the_layers() -> None:
    B, T, C, L, V = 1536, 2048, GPT3.n_embd, GPT3.n_layer, GPT3.vocab_size
    paper = 96 * B * T * L * C**2 * (1 + T / (6 * C) + V / (16 * L * C))
    assert GPT3.flops(B * T, recompute=True) == pytest.approx(paper)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_stage_of_zero_never_needs_more(precision: str) -> None:
    found = [state_bytes(1e9, 8, zero, precision) for zero in range(4)]
    assert found[0] == 16e9 and found[3] == 2e9
    assert found == sorted(found, reverse=True)
    assert {state_bytes(1e9, 1, zero, precision) for zero in range(4)} == {16e9}


def test_all_gpus_together_keep_the_model_once() -> None:
    """With ZeRO-3 nothing is there twice, however the model is cut."""
    layout = Layout(data=4, tensor=8, pipeline=1, zero=3)
    shard = state_bytes(local_params(GPT3, layout), layout.data, 3, "mixed")
    assert shard * layout.gpus == pytest.approx(16 * GPT3.n_params)


def test_activations_are_those_of_the_paper() -> None:
    """Korthikanti et al. 2022: s b h (34 + 5 a s / h) bytes a layer, unsplit."""
    T, C, H = GPT3.context_length, GPT3.n_embd, GPT3.n_head
    assert layer_activations(GPT3, Layout()) == T * C * (34 + 5 * H * T / C)
    flash = layer_activations(GPT3, Layout(flash=True))
    assert flash == T * C * 34


def test_a_pipeline_keeps_as_many_micro_batches_as_it_has_stages() -> None:
    few, many = (activation_bytes(GPT3, Layout(pipeline=8), m) for m in (2, 8))
    assert activation_bytes(GPT3, Layout(pipeline=8), 100) == many > few


@pytest.mark.parametrize("zero", range(4))
def test_memory_of_less_precise_numbers_is_never_more(zero: int) -> None:
    layout = Layout(data=16, tensor=8, zero=zero)
    mixed, full = (memory_bytes(GPT3, layout, 4, p) for p in ("mixed", "float32"))
    assert mixed < full


def test_one_gpu_sends_nothing() -> None:
    assert tensor_traffic(GPT3, Layout()) == 0
    assert data_traffic(GPT3, Layout(), 4) == 0
    assert bubble(1, 4) == 0


def test_zero_3_sends_half_as_much_again() -> None:
    sent = [data_traffic(GPT3, Layout(data=64, zero=z), 1) for z in range(4)]
    assert sent[1] == sent[2] == sent[0]
    assert sent[3] == pytest.approx(1.5 * sent[0])


@pytest.mark.parametrize(
    ("layout", "batch", "what"),
    [
        (Layout(pipeline=97), 16, "wanted a layer at least for each piece"),
        (Layout(tensor=5), 16, "wanted a tensor size that divides the heads"),
        (Layout(tensor=16), 16, "wanted a tensor size that divides a server"),
        (Layout(data=3), 16, "16 sequences for 3 copies .* try --batch 18"),
        (Layout(pipeline=2, zero=3), 16, "wanted ZeRO-2 or 3 without a pipeline"),
        (Layout(pipeline=4, interleave=2), 6, "wanted micro-batches in multiples"),
    ],
)
def test_an_impossible_layout_says_why(layout: Layout, batch: int, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        layout.check(GPT3, batch, server=8)


@pytest.mark.parametrize("name", ["data", "tensor", "pipeline", "micro_batch"])
@pytest.mark.parametrize("value", [0, -2])
def test_zero_or_negative_workers_are_an_error(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"wanted {name} > 0, got {value}"):
        Layout(**{name: value})
