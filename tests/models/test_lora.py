"""LoRA: its gradient is the slope, the base is frozen, an adapter comes back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from gptlite.batch import Batch
from gptlite.config import GPTConfig, TrainConfig
from gptlite.errors import CheckpointError, ConfigError
from gptlite.models import checkpoint
from gptlite.models.generate import generate
from gptlite.models.gpt import GPT
from gptlite.models.lora import MATRICES, LoRA, load_adapter, save_adapter
from gptlite.models.sampling import Sampling
from gptlite.models.weights import PackedWeights
from gptlite.models.workspace import Workspace
from gptlite.ops import blas, kernels, reference
from gptlite.parallel.pool import WorkerPool
from gptlite.text.tokenizer import CharTokenizer
from gptlite.training.step import Trainer
from tests.helpers import (
    TINY,
    assert_is_slope,
    assert_near,
    assert_same_bits,
    largest_error,
    random_batch,
)

SMALL = GPTConfig(n_layer=2, n_head=2, n_embd=8, context_length=6, vocab_size=7)
BACKENDS = pytest.mark.parametrize(
    "ops", [reference, kernels, blas], ids=["reference", "kernels", "blas"]
)
CONFIG = TrainConfig(learning_rate=3e-3, eps=1e-3, grad_clip=0.5)


def base_of(
    config: GPTConfig = TINY, ops: ModuleType = kernels, dtype: Any = np.float32
) -> GPT:
    """Large random weights, also the biases and norms: every path matters."""
    model = GPT(config, ops=ops, dtype=dtype)
    flat = model.params.flat
    flat[...] = 0.4 * np.random.default_rng(0).standard_normal(flat.size)
    return model


def lively(base: GPT, rank: int = 3, matrices: tuple = MATRICES) -> LoRA:
    """An adapter that has learned something: B is not 0."""
    model = LoRA(base, rank, 2.0, matrices)
    flat = model.params.flat
    flat[...] = 0.3 * np.random.default_rng(1).standard_normal(flat.size)
    return model


def gradients(model: GPT, batch: Batch) -> tuple[float, np.ndarray]:
    grads, a = model.params.like(), model.activations(*batch.ids.shape)
    return model.loss_and_gradients(grads, a, batch), grads.flat


def some_ids(B: int = 3, T: int = 12) -> np.ndarray:
    return np.random.default_rng(2).integers(0, TINY.vocab_size, (B, T))


# --- the derivative ---------------------------------------------------------------


@pytest.mark.parametrize("matrices", [MATRICES, ("qkv",), ("attn_proj", "fc")])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("masked", "segments"), [(0.0, False), (0.4, True)])
def test_the_gradient_of_the_adapter_is_the_slope_of_the_loss(
    matrices: tuple, bias: bool, masked: float, segments: bool
) -> None:
    config = dataclasses.replace(SMALL, bias=bias)
    model = lively(base_of(config, reference, np.float64), 3, matrices)
    rng = np.random.default_rng(3)
    batch = random_batch(rng, config, 3, 6, masked=masked, segments=segments)
    grads, a = model.params.like(), model.activations(3, 6)
    model.loss_and_gradients(grads, a, batch)
    params = dict(model.params.tensors())
    assert len(params) == 2 * 2 * len(matrices)
    found = {name: grads[name] for name in params}
    assert_is_slope(lambda: model.loss(a, batch), params, found)


def test_the_gradient_is_that_of_the_merged_weights_by_the_chain_rule() -> None:
    """W' = W + s·A·B: dA = s·dW'·Bᵀ and dB = s·Aᵀ·dW', with the GPT's own dW'."""
    model = lively(base_of(TINY, reference, np.float64))
    batch = random_batch(np.random.default_rng(4), TINY, 3, 12, masked=0.3)
    merged = model.merge()
    whole, thin = merged.params.like(), model.params.like()
    merged.loss_and_gradients(whole, merged.activations(3, 12), batch)
    model.loss_and_gradients(thin, model.activations(3, 12), batch)
    for l in range(TINY.n_layer):
        for name in MATRICES:
            at = f"layers.{l}.{name}"
            A, B = model.params[f"{at}_a"], model.params[f"{at}_b"]
            dW = model.scale * whole[f"{at}_weight"]
            assert_near(thin[f"{at}_a"], dW @ B.T, 1e-12, at)
            assert_near(thin[f"{at}_b"], A.T @ dW, 1e-12, at)


@BACKENDS
def test_backends_give_the_same_loss_and_gradients(ops: ModuleType) -> None:
    batch = random_batch(np.random.default_rng(5), TINY, 3, 12, masked=0.3)
    wanted_loss, wanted = gradients(lively(base_of(TINY, reference, np.float64)), batch)
    loss, found = gradients(lively(base_of(TINY, ops)), batch)
    assert found.dtype == np.float32
    assert loss == pytest.approx(wanted_loss, rel=1e-6)
    assert_near(found, wanted, 3e-5)  # as in test_gpt: sums of a whole model


@BACKENDS
def test_a_fully_masked_batch_has_zero_loss_and_zero_gradient(ops: ModuleType) -> None:
    model = lively(base_of(TINY, ops))
    batch = random_batch(np.random.default_rng(6), TINY, 2, 12, masked=2.0)
    loss, found = gradients(model, batch)
    assert loss == 0.0 and not found.any()
    shown = dataclasses.replace(batch, mask=np.ones_like(batch.mask))
    assert gradients(model, shown)[1].any()


# --- what it computes -------------------------------------------------------------


@BACKENDS
@pytest.mark.parametrize("bias", [False, True])
def test_at_the_start_it_is_the_base_exactly(ops: ModuleType, bias: bool) -> None:
    base = base_of(dataclasses.replace(TINY, bias=bias), ops)
    model, ids = LoRA(base), some_ids()
    assert np.array_equal(model.logits(ids), base.logits(ids))
    for name, tensor in model.params.tensors():
        assert tensor.any() == name.endswith("_a"), name
    model.params.layers[0].fc_b[0, 0] = 1  # and the adapter is not simply left out
    assert not np.array_equal(model.logits(ids), base.logits(ids))


def test_a_and_x_times_a_are_of_the_size_of_x() -> None:
    config = dataclasses.replace(TINY, n_embd=256)
    model, rng = LoRA(GPT(config), rank=64), np.random.default_rng(7)
    for name in ("qkv_a", "mlp_proj_a"):
        A = getattr(model.params.layers[1], name)
        x = rng.standard_normal((50, len(A)))
        assert (x @ A).std() == pytest.approx(1, rel=0.1), name


@pytest.mark.parametrize("matrices", [MATRICES, ("mlp_proj",)])
@pytest.mark.parametrize(
    ("ops", "dtype", "tolerance"),
    [(reference, np.float64, 1e-12), (kernels, np.float32, 1e-5)],
    ids=["float64", "float32"],
)
def test_merged_equals_unmerged(
    ops: ModuleType, dtype: Any, tolerance: float, matrices: tuple
) -> None:
    base = base_of(TINY, ops, dtype)
    model, before = lively(base, 3, matrices), base.params.flat.copy()
    merged, ids = model.merge(), some_ids()
    assert type(merged) is GPT and merged.base is merged
    assert_near(merged.logits(ids), model.logits(ids), tolerance)
    assert largest_error(base.logits(ids), model.logits(ids)) > 0.1
    assert_same_bits(base.params.flat, before)
    assert not np.shares_memory(merged.params.flat, base.params.flat)


def test_unmerged_is_the_base_to_the_bit_which_subtracting_is_not() -> None:
    base = base_of()
    model = lively(base)
    merged = model.merge()
    minus = lively(merged)  # the same adapter once more, with the other sign
    for name, tensor in minus.params.tensors():
        tensor *= -1 if name.endswith("_b") else 1
    assert (minus.merge().params.flat != base.params.flat).any()
    model.unmerge(merged)
    assert_same_bits(merged.params.flat, base.params.flat)
    with pytest.raises(ConfigError, match="merged from"):
        model.unmerge(GPT(SMALL))


def test_generation_with_an_adapter_is_that_of_the_merged_model() -> None:
    """Greedy, through the KV cache, beyond the context; and not what the base says."""
    base, tokenizer = base_of(), CharTokenizer("abcdefghijk")
    model = lively(base)
    said = [
        generate(
            m, tokenizer, ["ab", "cabbage"], 20, Sampling(temperature=0),
            rng=np.random.default_rng(0),
        )
        for m in (model, model.merge(), base)
    ]  # fmt: skip
    ids = [[completion.ids for completion in each] for each in said]
    assert ids[0] == ids[1] != ids[2]


# --- training ---------------------------------------------------------------------


def train(workers: int, optimizer: str = "adamw", steps: int = 3) -> tuple[LoRA, list]:
    model = LoRA(base_of(), rank=3, rng=np.random.default_rng(8))
    config = dataclasses.replace(CONFIG, optimizer=optimizer)
    with WorkerPool(workers) as pool:
        trainer = Trainer(model, config, pool)
        results = []
        for seed in range(steps):
            batch = random_batch(np.random.default_rng(seed), TINY, 5, 12, masked=0.5)
            results.append(trainer.step([batch.rows(0, 2), batch.rows(2, 5)]))
    return model, results


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_two_workers_are_the_same_step_as_one(optimizer: str) -> None:
    (one, wanted), (two, found) = train(1, optimizer), train(2, optimizer)
    assert_near(two.params.flat, one.params.flat, 2e-5)
    for a, b in zip(wanted, found, strict=True):
        assert a.n_tokens == b.n_tokens
        assert b.loss == pytest.approx(a.loss, rel=1e-5)
        assert b.grad_norm == pytest.approx(a.grad_norm, rel=1e-4)


def test_training_changes_the_adapter_and_nothing_else() -> None:
    model, _ = train(2)
    assert_same_bits(model.base.params.flat, base_of().params.flat)
    start = LoRA(model.base, rank=3, rng=np.random.default_rng(8)).params
    for name, tensor in model.params.tensors():
        assert (tensor != start[name]).any(), name


def test_training_lowers_the_loss() -> None:
    model = LoRA(base_of())
    batch = random_batch(np.random.default_rng(9), TINY, 4, 12)
    with WorkerPool(2) as pool:
        trainer = Trainer(model, TrainConfig(learning_rate=1e-2), pool)
        losses = [trainer.step([batch]).loss for _ in range(40)]
        assert trainer.evaluate([batch]) < 0.5 * losses[0]


def test_gradients_and_moments_are_as_large_as_the_adapter() -> None:
    model = LoRA(base_of(), rank=2, matrices=["qkv", "fc"])
    C = TINY.n_embd
    wanted = TINY.n_layer * 2 * (C + 3 * C + C + 4 * C)
    assert wanted == model.n_params < model.base.n_params / 4
    with WorkerPool(1) as pool:
        trainer = Trainer(model, CONFIG, pool)
    assert trainer.optimizer.m.flat.size == wanted
    assert trainer.optimizer.v.flat.size == wanted
    assert Workspace(model).grads.flat.size == wanted


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_frozen_weights_are_packed_once_and_are_those_of_the_base(dtype: str) -> None:
    base = base_of()
    model = lively(base)
    batch = random_batch(np.random.default_rng(10), TINY, 3, 12)
    weights, a = PackedWeights(model, dtype), model.activations(3, 12)
    wanted = model.loss(a, batch)
    loss = model.loss(a, batch, weights)
    assert loss == pytest.approx(wanted, rel=1e-6 if dtype == "float32" else 2e-2)
    base.params.flat[...] = 0  # nobody does: but only so is it seen
    weights.pack()
    assert weights.layers[0].fc_weight.panels.any()


# --- files ------------------------------------------------------------------------


def message_of(call: Callable[[], object]) -> str:
    with pytest.raises(CheckpointError) as caught:
        call()
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_adapter(lively(base_of(), 3, ("fc", "qkv")), tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


def test_an_adapter_comes_back_to_the_bit_and_alone(path: Path) -> None:
    wanted = lively(base_of(), 3, ("fc", "qkv"))
    found = load_adapter(path, base_of())
    assert (found.rank, found.scale) == (3, wanted.scale)
    assert found.matrices == wanted.matrices == ("qkv", "fc")
    assert_same_bits(found.params.flat, wanted.params.flat)
    assert_same_bits(found.logits(some_ids()), wanted.logits(some_ids()))
    assert set(load_file(path)) == {name for name, _ in wanted.params.tensors()}


def test_an_adapter_for_another_model_is_refused(path: Path) -> None:
    other = dataclasses.replace(TINY, n_layer=3)
    assert "of the shape" in message_of(lambda: load_adapter(path, GPT(other)))
    wrong = base_of()
    wrong.params.flat[-1] += 1
    assert "other weights" in message_of(lambda: load_adapter(path, wrong))


def test_what_is_no_adapter_is_refused(tmp_path: Path) -> None:
    base, path = base_of(), tmp_path / "model.safetensors"
    described = {"model": dataclasses.asdict(TINY)}
    checkpoint.save(path, checkpoint.model_tensors(base.params), described)
    assert "LoRA adapter" in message_of(lambda: load_adapter(path, base))
    missing = tmp_path / "no.safetensors"
    assert "cannot read" in message_of(lambda: load_adapter(missing, base))
    path.write_bytes(path.read_bytes()[:100])
    assert "cannot read" in message_of(lambda: load_adapter(path, base))


@pytest.mark.parametrize(
    "change",
    [{"rank": 4}, {"rank": 0}, {"rank": 10**9}, {"rank": "3"}, {"alpha": -1.0},
     {"alpha": None}, {"matrices": ["fc"] * 0}, {"matrices": ["head"]},
     {"matrices": None}, {"matrices": [["fc"]]}],
    ids=str,
)  # fmt: skip
def test_a_damaged_description_is_refused(path: Path, change: dict) -> None:
    with safe_open(path, framework="numpy") as file:
        texts = file.metadata()
    texts["lora"] = json.dumps({**json.loads(texts["lora"]), **change})
    save_file(load_file(path), path, texts)
    message = message_of(lambda: load_adapter(path, base_of()))
    assert str(path) in message or "rank" in message


@pytest.mark.parametrize(
    "wrong",
    [{"rank": 0}, {"rank": TINY.n_embd + 1}, {"rank": 2.0}, {"alpha": 0},
     {"alpha": float("nan")}, {"alpha": float("inf")}, {"matrices": []},
     {"matrices": ["head"]}, {"matrices": "qkv"}],
    ids=str,
)  # fmt: skip
def test_an_impossible_adapter_is_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=f"wanted.*{next(iter(wrong))}"):
        LoRA(base_of(), **wrong)


def test_an_adapter_on_an_adapter_is_refused() -> None:
    with pytest.raises(ConfigError, match="merge"):
        LoRA(LoRA(base_of()))
