"""PPO's benchmark: both sides do the same work, and come to the same losses."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gptlite.alignment.experience import Answers
from gptlite.alignment.ppo import PPO
from gptlite.alignment.settings import PPOConfig
from gptlite.bench import ppo as bench
from gptlite.bench import timing
from gptlite.config import GPTConfig
from gptlite.models.head import with_head
from gptlite.parallel.pool import WorkerPool
from gptlite.text.chat import END, render_prompt, special_ids
from tests.bench.test_benchmarks import both_models

TORCH = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is the extra [bench]"
)
SMALL = GPTConfig(1, 2, 16, context_length=48, vocab_size=300)
LEARN = PPOConfig(answers=8, longest=5, minibatch=4, kl_stop=0.0, unfinished=0.0,
                  kl_weight=0.3, kl_target=0.0, learning_rate=1e-3)  # fmt: skip


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model for tests, and each side called as rarely as can be."""
    real = timing.alternate
    monkeypatch.setattr(timing, "REST", 0.0)
    monkeypatch.setattr(bench, "MODEL", SMALL)
    monkeypatch.setattr(bench, "alternate", lambda sides, rounds: real(sides, 1, 1e-3))


def test_every_prompt_has_as_many_tokens() -> None:
    tokenizer = bench.plain_tokenizer(bench.MODEL.vocab_size)
    assert tokenizer.vocab_size == 4096
    found = [render_prompt(p, tokenizer) for p in bench.random_prompts(32)]
    assert {len(ids) for ids in found} == {bench.PROMPT} and len(found) == 32
    assert len({tuple(ids) for ids in found}) == 32


def test_every_answer_is_of_full_length_and_all_epochs_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the width that is measured, when the policy has already learned a little."""
    monkeypatch.setattr(bench, "MODEL", replace(bench.MODEL, n_layer=1))
    tokenizer, prompts = bench.plain_tokenizer(4096), bench.random_prompts(32)
    end = special_ids(tokenizer)[END]
    with WorkerPool(2) as pool:
        ppo = bench.own_ppo(bench.Halves(), tokenizer, pool)
        rows = [ppo.update(prompts) for _ in range(2)]
        logits = ppo.policy.logits(render_prompt(prompts[0], tokenizer)[None])[0, -1]
        assert logits[end] < logits.max() - 25
        ppo.policy.params.token_embedding[end, 0] *= -1  # else it would be said at once
        rows.append(ppo.update(prompts))
    assert [row["finished"] for row in rows] == [0, 0, 1]
    assert [row["length"] for row in rows] == [32, 32, 1]
    assert [row["steps"] for row in rows] == [16, 16, 16]


def test_the_halves_of_a_round_add_up() -> None:
    halves = bench.Halves()
    with WorkerPool(2) as pool:
        ppo = bench.own_ppo(halves, bench.plain_tokenizer(4096), pool)
    assert ppo.policy.config.n_layer == 6 and ppo.config.kl_stop == 0
    halves.run(lambda: halves.rate(["12", "7"]))
    assert 0 <= halves.sample[0] < 1 and 0 <= halves.learn[0] < 1


def test_it_is_measured_alone(small: None) -> None:
    found = bench.bench_ppo()
    assert found["benchmark"] == "ppo" and "cores" in found["device"]
    assert found["episodes_per_s"] > 1 and "ratio" not in found
    assert found["sample_s"] > 0 < found["learn_s"]
    assert found["steps"] == 16  # four epochs of four minibatches


@TORCH
@pytest.mark.slow
def test_it_is_measured_against_the_rival(small: None) -> None:
    found = bench.bench_ppo("torch")
    ratio = found["episodes_per_s"] / found["peer_episodes_per_s"]
    assert found["ratio"] == pytest.approx(ratio, rel=0.5)
    assert found["peer_sample_s"] > 0 < found["peer_learn_s"]


@pytest.fixture
def both() -> Any:
    """Both sides with the same policy, not at its beginning, and the same reference."""
    from gptlite.bench.torch_gpt import torch
    from gptlite.bench.torch_ppo import TorchPPO

    base, theirs = both_models(False)
    policy, rng = with_head(base), np.random.default_rng(5)
    policy.params["head"][...] = 0.3 * rng.standard_normal(base.config.n_embd)
    policy.params.final_norm_weight[...] *= 1.2
    peer = TorchPPO(base.config, LEARN, lambda answers: answers.mean(axis=1))
    for model in (peer.policy, peer.reference):
        model.load_state_dict(theirs.state_dict(), strict=False)
    with torch.no_grad():
        peer.policy.final_norm.weight *= 1.2
        peer.policy.head.weight[0] = torch.from_numpy(policy.params["head"])
    with WorkerPool(2) as pool:
        tokenizer = bench.plain_tokenizer(300)  # not asked: the ids are given
        rng = np.random.default_rng(0)
        yield PPO(policy, base, tokenizer, len, LEARN, pool, rng=rng), peer


@TORCH
@pytest.mark.slow
def test_both_sides_learn_the_same_from_the_same_samples(both: Any) -> None:
    """Advantages, returns, and the losses of eight steps with AdamW."""
    from gptlite.bench.torch_gpt import torch
    from gptlite.bench.torch_ppo import Experience

    ours, theirs = both
    rng, n = np.random.default_rng(2), LEARN.longest
    ids, rewards = rng.integers(0, 11, (8, 4 + n)), rng.standard_normal(8)
    mask = np.tile(np.isin(np.arange(4 + n), np.arange(3, 3 + n)), (8, 1))
    known = ours.reader.read(ids, mask)
    answers = Answers(ids, mask, np.zeros(8, bool), *known, [])
    x, kl = ours.experience(answers, rewards)
    y = theirs.experience(torch.from_numpy(ids), torch.from_numpy(rewards).float())
    assert np.abs(kl).max() > 0.1  # the distance costs something
    for name in ("old", "values", "advantages", "returns"):
        wanted = getattr(x, name)[mask].reshape(8, n)
        np.testing.assert_allclose(getattr(y, name), wanted, atol=1e-4, err_msg=name)
    ours.trainer.objective = ours.loss().objective()
    found, wanted = [], []
    for rows in np.split(np.concatenate([rng.permutation(8) for _ in range(4)]), 8):
        means = ours.trainer.step([x.take(rows)]).means
        wanted.append((means["policy"], means["value"]))
        found.append(theirs.step(Experience(*(part[rows] for part in y))))
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert np.ptp(wanted[6:], axis=0).max() > 0 and means["clipped"] > 0


@TORCH
@pytest.mark.slow
def test_the_rival_s_cache_changes_nothing(both: Any) -> None:
    """Token by token with the cache: the hidden states of the whole text at once."""
    from gptlite.bench.torch_gpt import torch

    policy = both[1].policy
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, 11, (3, 9)))
    with torch.no_grad():
        whole = policy.hidden(ids)
        cache = torch.empty(2, 2, 3, 2, 9, 8)
        cuts = [policy.hidden(ids[:, :4], cache)]
        cuts += [policy.hidden(ids[:, t : t + 1], cache, t) for t in range(4, 9)]
        torch.testing.assert_close(torch.cat(cuts, dim=1), whole, atol=1e-5, rtol=0)
        torch.manual_seed(0)
        sampled = policy.sample(ids[:, :4], 5)
    assert sampled.shape == (3, 9) and (sampled[:, :4] == ids[:, :4]).all()


@TORCH
@pytest.mark.slow
def test_the_rival_samples_from_itself(both: Any) -> None:
    """How often each token comes next, against its probability."""
    from gptlite.bench.torch_gpt import torch

    policy, draws = both[1].policy, 4000
    prompt = torch.tensor([[1, 2, 3]]).repeat(draws, 1)
    torch.manual_seed(0)
    first, second = policy.sample(prompt, 2)[:, 3:].numpy().T
    with torch.no_grad():
        again = second[first == first[0]]
        for given, said in (((1, 2, 3), first), ((1, 2, 3, int(first[0])), again)):
            hidden = policy.hidden(torch.tensor([given]))[0, -1]
            chances = (policy.tokens.weight @ hidden).softmax(dim=0).numpy()
            shares = np.bincount(said, minlength=11) / len(said)
            allowed = 4 * np.sqrt(chances * (1 - chances) / len(said)) + 1e-3
            assert (np.abs(shares - chances) < allowed).all()
