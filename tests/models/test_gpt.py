"""The whole GPT: its gradient is the slope, its backends agree, its mask holds."""

from __future__ import annotations

import copy
import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.batch import Batch
from gptlite.config import GPTConfig, preset
from gptlite.errors import DataError
from gptlite.models.gpt import GPT
from gptlite.models.layout import rows
from gptlite.models.lora import LoRA
from gptlite.models.weights import PackedWeights
from gptlite.models.workspace import Workspace
from gptlite.ops import blas, kernels, reference
from tests.helpers import (
    TINY,
    assert_is_slope,
    assert_near,
    assert_same_bits,
    largest_error,
    random_batch,
)

SMALL = GPTConfig(n_layer=2, n_head=2, n_embd=8, context_length=6, vocab_size=7)
BIAS = pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
KINDS = pytest.mark.parametrize(
    ("masked", "segments"),
    [(0.0, False), (0.4, False), (0.0, True), (0.4, True)],
    ids=["plain", "masked", "segments", "masked segments"],
)


def lively(config: GPTConfig, ops: object, dtype: object, seed: int = 0) -> GPT:
    """Large random weights, also the biases and norms: every path matters."""
    model = GPT(config, ops=ops, dtype=dtype)  # type: ignore[arg-type]
    rng = np.random.default_rng(seed)
    model.params.flat[...] = 0.4 * rng.standard_normal(model.n_params)
    return model


def gradients(model: GPT, batch: Batch) -> tuple[float, np.ndarray]:
    grads = model.params.like()
    a = model.activations(*batch.ids.shape, for_backward=True)
    return model.loss_and_gradients(grads, a, batch), grads.flat


@BIAS
@KINDS
def test_the_gradient_of_the_whole_gpt_is_the_slope_of_its_loss(
    bias: bool, masked: float, segments: bool
) -> None:
    config = dataclasses.replace(SMALL, bias=bias)
    model = lively(config, reference, np.float64)
    batch = random_batch(
        np.random.default_rng(3), config, 3, 6, masked=masked, segments=segments
    )
    assert 0 < batch.n_tokens <= 18
    a = model.activations(3, 6, for_backward=True)
    grads = model.params.like()
    model.loss_and_gradients(grads, a, batch)
    names = [name for name, _ in model.params.tensors()]
    assert_is_slope(
        lambda: model.loss(a, batch),
        {name: model.params[name] for name in names},
        {name: grads[name] for name in names},
    )


@BIAS
@KINDS
def test_both_backends_give_the_same_loss_and_gradients(
    bias: bool, masked: float, segments: bool
) -> None:
    config = dataclasses.replace(SMALL, bias=bias, context_length=80)
    theirs = lively(config, reference, np.float64)
    ours = lively(config, kernels, np.float32)
    batch = random_batch(
        np.random.default_rng(4), config, 2, 80, masked=masked, segments=segments
    )
    (loss, grads), (wanted_loss, wanted) = (gradients(m, batch) for m in (ours, theirs))
    assert grads.dtype == np.float32
    assert loss == pytest.approx(wanted_loss, rel=1e-6)
    for name, _ in ours.params.tensors():
        part = ours.params.slice_of(name)
        # the key's bias moves all scores of a row alike: its gradient is rounding
        assert_near(grads[part], wanted[part], 3e-5, name, scale=np.abs(wanted).max())


def test_the_loss_alone_equals_the_loss_with_gradients() -> None:
    model = lively(TINY, kernels, np.float32)
    batch = random_batch(np.random.default_rng(5), TINY, 3, 12, masked=0.3)
    alone = model.loss(model.activations(3, 12), batch)
    assert alone == pytest.approx(gradients(model, batch)[0], rel=1e-6)


def test_the_loss_is_the_sum_over_tokens_that_count() -> None:
    model = lively(TINY, kernels, np.float32)
    batch = random_batch(np.random.default_rng(6), TINY, 2, 12)
    one_by_one = 0.0
    for b in range(2):
        for t in range(12):
            mask = np.zeros((2, 12), bool)
            mask[b, t] = True
            part = dataclasses.replace(batch, mask=mask)
            one_by_one += model.loss(model.activations(2, 12), part)
    whole = model.loss(model.activations(2, 12), batch)
    assert whole == pytest.approx(one_by_one, rel=1e-5)


def test_backward_adds_into_the_gradients() -> None:
    model = lively(TINY, kernels, np.float32)
    batch = random_batch(np.random.default_rng(7), TINY, 3, 12)
    grads, a = model.params.like(), model.activations(3, 12, for_backward=True)
    model.loss_and_gradients(grads, a, batch)
    once = grads.flat.copy()
    model.loss_and_gradients(grads, a, batch)
    assert_near(grads.flat, 2 * once, 1e-5)


@pytest.mark.parametrize("ops", [reference, kernels], ids=["reference", "kernels"])
def test_a_fully_masked_batch_has_zero_loss_and_zero_gradient(ops: object) -> None:
    model = lively(TINY, ops, np.float32)
    batch = random_batch(np.random.default_rng(8), TINY, 2, 12, masked=2.0)
    assert batch.n_tokens == 0
    loss, grads = gradients(model, batch)
    assert loss == 0.0 and not grads.any()


def test_a_fully_masked_row_adds_nothing_to_the_others() -> None:
    model = lively(TINY, kernels, np.float32)
    batch = random_batch(np.random.default_rng(9), TINY, 3, 12)
    batch.mask[1] = False
    others = Batch(*(np.delete(x, 1, axis=0)
                     for x in (batch.ids, batch.targets, batch.mask)))  # fmt: skip
    loss, grads = gradients(model, batch)
    wanted_loss, wanted = gradients(model, others)
    assert loss == pytest.approx(wanted_loss, rel=1e-6)
    assert_near(grads, wanted, 1e-5)


@pytest.mark.parametrize("ops", [reference, kernels], ids=["reference", "kernels"])
def test_logits_do_not_depend_on_later_tokens(ops: object) -> None:
    config = dataclasses.replace(TINY, context_length=90)
    model = lively(config, ops, np.float32)
    ids = np.random.default_rng(10).integers(0, 11, (2, 90))
    before = model.logits(ids)
    ids[:, 50:] = (ids[:, 50:] + 1) % 11
    after = model.logits(ids)
    assert_near(after[:, :50], before[:, :50], 1e-5)
    assert np.abs(after[:, 50:] - before[:, 50:]).max() > 0.1


def test_packed_conversations_equal_each_alone_where_positions_do_not_matter() -> None:
    model = lively(TINY, kernels, np.float32)
    model.params.position_embedding[...] = model.params.position_embedding[0]
    ids = np.random.default_rng(11).integers(0, 11, (1, 12))
    segments = np.array([[0] * 5 + [1] * 7])
    a = model.activations(1, 12)
    model.hidden(a, ids, segments=segments)
    logits = a.final_norm @ model.params.token_embedding.T
    for part in (slice(0, 5), slice(5, 12)):
        assert_near(logits[:, part], model.logits(ids[:, part]), 1e-5)


def test_layers_that_share_activations_give_the_same_result() -> None:
    """Inference keeps one layer's activations; training keeps them all."""
    model = lively(TINY, kernels, np.float32)
    batch = random_batch(np.random.default_rng(12), TINY, 3, 9)
    kept, shared = (model.activations(3, 9, for_backward=b) for b in (True, False))
    assert shared.flat.size < kept.flat.size / 1.5
    for a in (kept, shared):
        model.hidden(a, batch.ids)
    assert_same_bits(kept.final_norm, shared.final_norm)


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("ops", [reference, kernels])
def test_to_look_at_some_tokens_only_changes_nothing_for_them(
    ops: object, adapter: bool
) -> None:
    """Neither what `hidden` returns, nor the gradients of what depends on it."""
    dtype = np.float64 if ops is reference else np.float32
    model, rng = lively(TINY, ops, dtype), np.random.default_rng(13)
    if adapter:
        model = LoRA(model, rank=2)
        model.params.flat[...] = 0.4 * rng.standard_normal(model.n_params)
    batch, where = random_batch(rng, TINY, 3, 9), np.array([2, 3, 11, 20, 25])
    slopes, found = rng.standard_normal((5, 16)), []
    for some in (None, where):
        a, g = model.activations(3, 9), model.params.like()
        hidden = model.hidden(a, batch.ids, where=some)
        found.append(hidden[where] if some is None else hidden.copy())
        a.dnorm.fill(0)
        rows(a.dnorm)[where if some is None else slice(5)] = slopes
        model.backward(g, a, batch, where=some)
        found.append(g.flat)
    assert found[2].shape == (5, 16)
    for some, all_of_it in zip(found[2:], found, strict=False):
        assert_near(some, all_of_it, 1e-12 if dtype is np.float64 else 1e-5)


@pytest.mark.parametrize("ops", [reference, kernels, blas])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_packed_weights_give_the_loss_and_gradients_of_their_dtype(
    ops: object, dtype: str
) -> None:
    """bfloat16: near the float32 result, and nearer than rounding once more."""
    model = lively(TINY, ops, np.float32)
    batch = random_batch(np.random.default_rng(15), TINY, 3, 12, masked=0.3)
    wanted_loss, wanted = gradients(model, batch)
    weights, grads = PackedWeights(model, dtype), model.params.like()
    for rank in range(2):
        weights.pack(rank, 2)
    loss = model.loss_and_gradients(grads, model.activations(3, 12), batch, weights)
    tolerance = 1e-6 if dtype == "float32" else 2e-2
    assert loss == pytest.approx(wanted_loss, rel=tolerance)
    error = largest_error(grads.flat, wanted)
    assert error < 5 * tolerance
    if dtype == "bfloat16":
        assert error > 1e-4, "nothing was rounded"


def test_the_backends_round_to_bfloat16_alike() -> None:
    batch = random_batch(np.random.default_rng(16), TINY, 3, 12)
    found = []
    for ops in (reference, kernels, blas):
        model = lively(TINY, ops, np.float32)
        weights, grads = PackedWeights(model, "bfloat16"), model.params.like()
        weights.pack()
        a = model.activations(3, 12)
        found.append((model.loss_and_gradients(grads, a, batch, weights), grads.flat))
    for loss, flat in found[1:]:
        # a last bit of float32 may turn a rounding to bfloat16 the other way
        assert loss == pytest.approx(found[0][0], rel=1e-3)
        assert largest_error(flat, found[0][1]) < 1e-2


def test_packed_weights_are_those_of_the_last_packing() -> None:
    model = lively(TINY, kernels, np.float32)
    batch = random_batch(np.random.default_rng(17), TINY, 2, 12)
    weights = PackedWeights(model)
    losses = []
    for _ in range(2):
        weights.pack()
        losses.append(model.loss(model.activations(2, 12), batch, weights))
        model.params.layers[0].fc_weight[...] *= 2
        stale = model.loss(model.activations(2, 12), batch, weights)
        assert stale == losses[-1]
    assert losses[0] != losses[1]


def test_rows_of_a_batch_do_not_see_one_another() -> None:
    model = lively(TINY, kernels, np.float32)
    ids = np.random.default_rng(13).integers(0, 11, (5, 12))
    together = model.logits(ids)
    for b in range(5):
        assert_near(together[b : b + 1], model.logits(ids[b : b + 1]), 1e-5)


def test_logits_are_the_caller_s_own() -> None:
    model = lively(TINY, kernels, np.float32)
    first = model.logits(np.array([[1, 2, 3]]))
    kept = first.copy()
    model.logits(np.array([[3, 2, 1]]))
    assert_same_bits(first, kept)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 12), st.booleans()),
                min_size=1, max_size=8))  # fmt: skip
def test_a_workspace_gives_the_same_gradients_as_fresh_memory(calls: list) -> None:
    """Whatever sizes came before: one buffer, and views that may be stale."""
    model = lively(TINY, kernels, np.float32)
    workspace, rng = Workspace(model), np.random.default_rng(14)
    for B, T, for_backward in calls:
        batch = random_batch(rng, TINY, B, T)
        a = workspace.activations(B, T, for_backward)
        if for_backward:
            workspace.grads.flat.fill(0)
            loss = model.loss_and_gradients(workspace.grads, a, batch)
            wanted_loss, wanted = gradients(model, batch)
            assert loss == wanted_loss
            assert_same_bits(workspace.grads.flat, wanted)
        else:
            fresh = model.activations(B, T)
            for x in (a, fresh):
                model.hidden(x, batch.ids)
            assert_same_bits(a.final_norm, fresh.final_norm)


def test_a_workspace_holds_one_buffer_for_all_sizes() -> None:
    workspace = Workspace(GPT(TINY))
    large = workspace.activations(4, 12)
    small = workspace.activations(2, 5)
    assert np.shares_memory(large.flat, small.flat)
    assert workspace.activations(4, 12) is large
    larger = workspace.activations(5, 12)  # the buffer grows: no view stays behind
    again = workspace.activations(2, 5)
    assert np.shares_memory(larger.flat, again.flat)


def test_the_start_is_gpt2_s() -> None:
    config = GPTConfig(4, 4, 64, 64, 200, bias=True)
    model = GPT(config, rng=np.random.default_rng(0))
    for name, tensor in model.params.tensors():
        short = name.split(".")[-1]
        if short.endswith("bias"):
            assert not tensor.any(), name
        elif "norm" in short:
            assert (tensor == 1).all(), name
        else:
            std = 0.02 / math.sqrt(8) if short.endswith("proj_weight") else 0.02
            assert tensor.std() == pytest.approx(std, rel=0.05), name
            assert abs(tensor.mean()) < std / 5, name


def test_an_untrained_model_is_as_surprised_as_a_fair_die() -> None:
    model = GPT(TINY)
    batch = random_batch(np.random.default_rng(15), TINY, 4, 12)
    loss = model.loss(model.activations(4, 12), batch) / batch.n_tokens
    assert loss == pytest.approx(math.log(11), rel=0.01)


def test_the_same_seed_gives_the_same_start_and_another_seed_another() -> None:
    a, b, c = (GPT(TINY, rng=np.random.default_rng(s)).params.flat for s in (1, 1, 2))
    assert_same_bits(a, b)
    assert (a != c).any()


def test_weight_decay_is_for_the_matrices_only() -> None:
    model = GPT(dataclasses.replace(TINY, bias=True))
    for name, tensor in model.params.tensors():
        decays = model.params.slice_of(name).stop <= model.decay_end
        assert decays == (tensor.ndim == 2), name


def test_hidden_matrices_are_those_of_the_layers() -> None:
    model = GPT(TINY)
    assert len(model.hidden_matrices) == 4 * TINY.n_layer
    assert all(model.params[name].ndim == 2 for name in model.hidden_matrices)
    assert not any("embedding" in name for name in model.hidden_matrices)


def test_the_number_of_parameters_is_known_by_heart() -> None:
    """nanoGPT's laptop model, 65 characters: its matrices, norms and tables."""
    config, _ = preset("baby")
    C, V, T, L = 128, 65, 64, 4
    assert GPT(config).n_params == V * C + T * C + L * (12 * C * C + 2 * C) + C


@pytest.mark.parametrize("targets", [[[0, 11]], [[-1, 0]]])
def test_a_target_outside_the_vocabulary_is_refused(targets: list) -> None:
    model = GPT(TINY)
    batch = Batch.of(np.zeros((1, 2), np.int64), np.array(targets))
    with pytest.raises(DataError, match="targets"):
        model.loss(model.activations(1, 2), batch)
    with pytest.raises(DataError, match="targets"):
        gradients(model, batch)


def test_a_deep_copy_of_the_parameters_is_an_arena_of_its_own() -> None:
    """A reference policy is a copy of the model: students will write deepcopy."""
    params = GPT(TINY).params
    other = copy.deepcopy(params)
    assert_same_bits(other.flat, params.flat)
    other.layers[0].fc_weight[...] = 3
    other.token_embedding[...] = 4
    assert (other.flat[other.slice_of("layers.0.fc_weight")] == 3).all()
    assert (other.flat[other.slice_of("token_embedding")] == 4).all()
    assert not (params.flat == 3).any()
