"""Each benchmark runs and reports what it measured; the rival is the same model."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from gptlite.bench import PEERS, assistant, operations, system, timing, train
from gptlite.bench import kernels as kernels_bench
from gptlite.cli import main
from gptlite.config import GPTConfig, TrainConfig, preset
from gptlite.errors import ConfigError
from gptlite.models.gpt import GPT
from gptlite.parallel.pool import WorkerPool, available_cores
from gptlite.training.step import Trainer
from tests.helpers import assert_near, random_batch

HAS_TORCH = importlib.util.find_spec("torch") is not None
TORCH = pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is the extra [bench]")


def blas_threads() -> dict[str, int]:
    return {lib["filepath"]: lib["num_threads"] for lib in threadpool_info()
            if lib["user_api"] == "blas"}  # fmt: skip


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The shortest measurement there is: a few calls a side. BLAS threads put back."""
    real = timing.alternate

    def once(sides: Any, rounds: int = 1, burst: float = 0.0) -> Any:
        return real(sides, 1, 1e-3)

    monkeypatch.setattr(timing, "REST", 0.0)
    for module in (kernels_bench, operations, system, train):
        monkeypatch.setattr(module, "alternate", once)
    before = blas_threads()
    yield
    after = blas_threads()
    assert {path: after[path] for path in before} == before


def bench(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["bench", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["benchmark"] == arguments[0]
    assert "cores" in found["device"]
    return found


def test_training_is_measured_against_the_roofline(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = bench(capsys, "train", "--preset", "nano", "--workers", "2")
    assert found["workers"] == 2 and found["preset"] == "nano"
    assert found["tokens_per_s"] > 100
    share = found["gflops"] / found["roofline_gflops"]
    assert found["roofline_share"] == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("pool", ["threads", "processes", "mpi"])
def test_scaling_compares_all_workers_with_one(
    pool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if pool == "mpi":  # without mpiexec: one member
        pytest.importorskip("mpi4py", reason="pip install 'gptlite[mpi]'")
    found = bench(capsys, "scaling", "--preset", "nano", "--pool", pool)
    assert found["pool"] == pool
    assert found["workers"] == (1 if pool == "mpi" else available_cores())
    # a median of ratios is the ratio of medians only where nothing else is busy
    assert min(found["ratio"], found["tokens_per_s"], found["peer_tokens_per_s"]) > 0


def test_generation_is_compared_with_no_cache(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = bench(capsys, "generate", "--preset", "nano")
    assert found["against"] == "no cache" and found["tokens_per_s"] > 10


@pytest.mark.parametrize("what", ["matmul", "attention", "layernorm"])
def test_an_operation_is_measured_alone(
    what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = bench(capsys, what)
    for row in found.get("shapes", [found]):
        assert all(v > 0 for v in row.values() if isinstance(v, float))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["first-step", "memory", "import"])
def test_whole_processes_are_measured(
    what: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bench_first_step", "bench_memory"):
        real = getattr(system, name)
        monkeypatch.setattr(
            system, name, lambda p, peer, real=real: real(p, peer, rounds=1)
        )
    found = bench(capsys, what, *(() if what == "import" else ("--preset", "nano")))
    if what == "first-step":
        assert 0 < found["warm_seconds"] < found["cold_seconds"] < 120
    if what == "memory":
        assert 30 < found["megabytes"] < 2000


def test_every_benchmark_of_the_command_line_is_tested_here() -> None:
    assert set(PEERS) == {
        "train", "scaling", "generate", "matmul", "attention", "layernorm",
        "first-step", "memory", "import", "kernels",
        "bpe", "vectors", "finetune", "chat", "ppo",
    }  # fmt: skip


@pytest.mark.slow
def test_the_assistant_is_measured() -> None:
    found = assistant.bench_finetune(rounds=1)
    assert found["tokens_per_s"] > 100 and 0.1 < found["ratio"] < 10
    found = assistant.bench_chat(rounds=1)
    assert 0 < found["first_token_seconds"] < 60 and found["tokens_per_s"] > 10


@pytest.mark.parametrize("what", ["matmul", "train"])
def test_products_of_rounded_numbers_are_measured_as_such(
    what: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "MATMUL_SHAPES", ((64, 32, 64),))
    monkeypatch.setattr(operations, "ODD_SIZES", (5, 17))
    found = bench(capsys, what, "--preset", "nano", "--dtype", "bfloat16")
    assert found["dtype"] == "bfloat16"


def test_an_unknown_peer_is_refused_before_anything_is_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["bench", "train", "--preset", "nano", "--against", "jax"]
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert "'jax'" in err and "torch" in err and err.count("\n") == 1


def test_an_unknown_preset_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for what in ("train", "scaling", "generate"):
        assert main(["bench", what, "--preset", "nanoo"]) == 1
        assert "did you mean 'nano'" in capsys.readouterr().err


def test_a_child_that_fails_is_said() -> None:
    with pytest.raises(Exception, match="child failed"):
        system._child("no-such-preset", "gptlite", 1)


@pytest.mark.skipif(HAS_TORCH, reason="only where PyTorch is missing")
def test_a_missing_peer_names_the_command_that_installs_it() -> None:
    with pytest.raises(ConfigError, match=r"pip install 'gptlite\[bench\]'"):
        train.peer_step("torch", *preset("nano"))


def both_models(bias: bool) -> tuple[GPT, Any]:
    """Our model and PyTorch's, with the same weights."""
    import torch

    from gptlite.bench.torch_gpt import TorchGPT

    config = GPTConfig(2, 2, 16, 12, 11, bias)
    ours = GPT(config)
    rng = np.random.default_rng(0)
    ours.params.flat[...] = 0.3 * rng.standard_normal(ours.n_params)
    theirs = TorchGPT(config)
    p = ours.params
    pairs = [(theirs.tokens.weight, p.token_embedding),
             (theirs.positions.weight, p.position_embedding),
             (theirs.final_norm.weight, p.final_norm_weight)]  # fmt: skip
    if bias:
        pairs.append((theirs.final_norm.bias, p.final_norm_bias))
    for layer, w in zip(theirs.layers, p.layers, strict=True):
        for name in ("norm1", "qkv", "attn_proj", "norm2", "fc", "mlp_proj"):
            part = getattr(layer, name)
            pairs.append((part.weight, getattr(w, f"{name}_weight").T))
            if bias:
                pairs.append((part.bias, getattr(w, f"{name}_bias")))
    with torch.no_grad():
        for theirs_, ours_ in pairs:
            theirs_.copy_(torch.from_numpy(np.ascontiguousarray(ours_)))
    assert sum(t.numel() for t, _ in pairs) == ours.n_params
    assert sum(t.numel() for t in theirs.parameters()) == ours.n_params
    return ours, theirs


@TORCH
@pytest.mark.slow
@pytest.mark.parametrize("bias", [False, True])
def test_the_rival_is_the_same_model_with_the_same_gradients(bias: bool) -> None:
    """Not a check of PyTorch: a benchmark against another model would be no benchmark.

    And it is an independent proof of the hand-written backward.
    """
    import torch

    ours, theirs = both_models(bias)
    batch = random_batch(np.random.default_rng(1), ours.config, 3, 12)
    a, grads = ours.activations(3, 12, for_backward=True), ours.params.like()
    loss = ours.loss_and_gradients(grads, a, batch) / batch.n_tokens
    their_loss = theirs(torch.from_numpy(batch.ids), torch.from_numpy(batch.targets))
    their_loss.backward()
    assert float(their_loss.detach()) == pytest.approx(loss, rel=1e-5)
    n = batch.n_tokens
    for name, wanted in (("tokens", grads.token_embedding),
                         ("positions", grads.position_embedding)):  # fmt: skip
        found = getattr(theirs, name).weight.grad.numpy()
        assert_near(found, wanted / n, 1e-4, name)
    for layer, g in zip(theirs.layers, grads.layers, strict=True):
        for name in ("norm1", "qkv", "attn_proj", "norm2", "fc", "mlp_proj"):
            found = getattr(layer, name).weight.grad.numpy()
            assert_near(found, getattr(g, f"{name}_weight").T / n, 1e-4, name)


@TORCH
@pytest.mark.slow
def test_the_rival_takes_the_same_training_steps() -> None:
    """AdamW, decay of matrices only, clipping: three steps, the same losses."""
    from gptlite.bench.torch_gpt import TorchTrainer

    config = TrainConfig(learning_rate=3e-3, eps=1e-3, grad_clip=0.5)
    ours, theirs = both_models(False)
    rival = TorchTrainer(ours.config, config)
    rival.model.load_state_dict(theirs.state_dict())
    batches = [random_batch(np.random.default_rng(s), ours.config, 4, 12)
               for s in (1, 2, 3)]  # fmt: skip
    their_losses = [rival.step(b.ids, b.targets) for b in batches]
    with WorkerPool(2) as pool:
        trainer = Trainer(ours, config, pool)
        our_losses = [trainer.step([b]).loss for b in batches]
    np.testing.assert_allclose(our_losses, their_losses, rtol=1e-4)
    assert our_losses[0] != our_losses[1]


@TORCH
@pytest.mark.slow
@pytest.mark.parametrize("what", ["train", "matmul", "attention", "layernorm"])
def test_a_benchmark_against_the_rival_reports_the_ratio(
    what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = bench(capsys, what, "--preset", "nano", "--against", "torch")
    assert found["against"] == "torch" and found["ratio"] > 0


def test_every_kernel_is_measured_against_its_limit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("N", 64), ("C", 64), ("V", 256), ("T", 32)):
        monkeypatch.setattr(kernels_bench, name, size)
    found = bench(capsys, "kernels")
    rows = found["kernels"]
    peaks = {False: found["peak_gflops"], True: found["peak_gflops_bfloat16"]}
    for row in rows:
        peak = peaks["bfloat16" in row["kernel"]]
        if row["kernel"].startswith("matmul"):  # BLAS, the other variant, may be faster
            assert row["gflops"] <= peak
        rates = (
            row["gflops"] / peak,
            (row["gigabytes_per_s"] / found["memory_gigabytes_per_s"]),
        )
        share = rates[row["limit"] == "memory"]
        assert row["share_of_limit"] == pytest.approx(share, rel=0.1, abs=0.02)
        assert share == pytest.approx(max(rates), rel=0.1, abs=0.02)
    assert any("BLAS" in row["variant"] for row in rows)
