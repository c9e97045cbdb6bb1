"""From ratings to reward models and policies, through the functions and commands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gptlite.alignment import learn, ratings
from gptlite.alignment.examples import Ratings, rated_by_people
from gptlite.alignment.learn import learn_reward
from gptlite.alignment.measure import Judges
from gptlite.alignment.ratings import Rating
from gptlite.alignment.rounds import read_rounds
from gptlite.alignment.settings import DPOConfig, RewardConfig
from gptlite.alignment.train_dpo import train_dpo
from gptlite.cli import main
from gptlite.errors import ConfigError, DataError
from gptlite.text.chat import Conversation
from gptlite.training.run import Run
from tests.alignment.test_reward import examples
from tests.alignment.test_runs import PROMPTS, early

QUICK = RewardConfig(reward_steps=60, reward_learning_rate=3e-3)


def rated(n: int, seed: int, rater: str = "ann") -> list[Rating]:
    """Ratings as `examples` prefers."""
    return [
        Rating(better[0].content, (better[1].content, worse[1].content), 0, rater=rater)
        for better, worse in examples(n, seed=seed)
    ]


@pytest.fixture
def reward(base: str, tmp_path: Path) -> str:
    out = str(tmp_path / "reward")
    learn_reward(base, out, Ratings(rated(200, 0), rated(60, 1)), QUICK)
    return out


def test_a_reward_model_keeps_what_it_was_learned_from(
    base: str, tmp_path: Path, reward: str
) -> None:  # fmt: skip
    found = learn.read_ratings(reward)
    assert found.learned == rated_again(found.learned) and len(found.learned) == 200
    assert len(found.held_out) == 60
    with pytest.raises(DataError, match="gptlite reward"):
        learn.read_ratings(base)


def rated_again(some: Sequence[Rating]) -> list[Rating]:
    return [ratings.from_line(ratings.to_line(r)) for r in some]


def test_health_says_how_good_it_is_on_other_prompts(base: str, tmp_path: Path) -> None:
    both = Ratings(rated(200, 0), rated(60, 1))
    _, found = learn_reward(base, str(tmp_path / "r"), both, QUICK, rater="vocabulary")
    assert found["accuracy"] > 0.85 and found["ratings"] == 200
    assert 0 <= found["truth"] <= 1  # learned from another taste, compared with this
    with pytest.raises(ConfigError, match="programmed rater"):
        learn_reward(base, str(tmp_path / "s"), both, QUICK, rater="taste")


def test_peoples_ratings_are_split_by_prompt(tmp_path: Path) -> None:
    some = [
        Rating(f"prompt {i % 20}", ("a", "b"), i % 2, rater="ann") for i in range(80)
    ]
    ratings.write(tmp_path / "a.jsonl", some)
    found, left_out = rated_by_people([tmp_path / "a.jsonl"])
    asked = [{r.prompt for r in part} for part in found]
    assert not asked[0] & asked[1] and len(asked[0]) + len(asked[1]) == 20
    assert left_out == []
    ratings.write(tmp_path / "b.jsonl", some[:1])
    with pytest.raises(DataError, match="more prompts"):
        rated_by_people([tmp_path / "b.jsonl"])


def test_dpo_is_a_run_that_prefers_what_was_preferred(
    base: str, tmp_path: Path, reward: str
) -> None:  # fmt: skip
    def judged(talks: Sequence[Conversation]) -> np.ndarray:
        return early(talks)

    train, held_out = (learn.as_pairs(some) for some in learn.read_ratings(reward))
    config = DPOConfig(steps=60, learning_rate=3e-3, longest=6)
    out = str(tmp_path / "dpo")
    found = train_dpo(
        base, out, train, held_out, PROMPTS, Judges(judged, judged), config
    )
    assert found["held_out_loss"] < 0.9 * np.log(2)
    assert found["kl_nats"] > 0 and found["steps"] == 60
    model, _ = Run(out).load()
    assert not np.array_equal(model.params.flat, Run(base).load()[0].params.flat)


def test_an_adapter_can_be_trained_by_dpo(
    base: str, tmp_path: Path, reward: str
) -> None:  # fmt: skip
    train, held_out = (learn.as_pairs(some) for some in learn.read_ratings(reward))
    config = DPOConfig(steps=10, learning_rate=3e-3, longest=6, rank=2)
    out = str(tmp_path / "dpo")
    train_dpo(base, out, train, held_out, PROMPTS, Judges(early, early), config)
    assert Run(out).load()[0].n_params == Run(base).load()[0].n_params


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert main([*argv, "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out.splitlines()[-1]))


def test_tokens_are_left_out_where_labels_may_be_wrong() -> None:
    assert RewardConfig("politeness").dropout == 0
    assert RewardConfig("politeness", noise=0.2).dropout == 0.3
    assert RewardConfig(reward_dropout=0.1).dropout == 0.1  # people's
    with pytest.raises(ConfigError, match="reward_dropout of 0 … < 1"):
        RewardConfig(reward_dropout=1.0)


def test_the_commands_go_from_ratings_to_policies(
    base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    some = [replace(r, prompt=f"owl {i % 20}") for i, r in enumerate(rated(120, 0))]
    ratings.write(tmp_path / "ratings.jsonl", some)
    judge, file = str(tmp_path / "judge"), str(tmp_path / "ratings.jsonl")
    found = run(capsys, "reward", base, "--ratings", file, "--out", judge,
                "--reward-steps", "10", "--curve")  # fmt: skip
    assert [row["n"] for row in found["curve"]][-1] == found["ratings"]
    assert len(found["curve"]) == 5
    assert 0 <= found["accuracy"] <= 1 and Path(found["report"]).exists()
    few = ("--rounds", "2", "--answers", "16", "--longest", "4", "--out")
    for name in ("ppo", "grpo"):
        out = str(tmp_path / name)
        found = run(capsys, name, base, "--reward", judge, *few, out)
        assert found["rounds"] == 2 and "kl_nats" in found
        described = Run(out).described()
        assert described["method"] == name and described["reward_run"] == judge
        assert "before" in Path(found["report"]).read_text(encoding="utf-8")
    out = str(tmp_path / "again")
    run(capsys, "ppo", base, "--rater", "vocabulary", "--pairs", "40", "--held-out",
        "20", "--reward-steps", "6", "--again", "20", *few, out)  # fmt: skip
    assert [row["renewed"] for row in read_rounds(out)] == [False, True]
    both = learn.read_ratings(f"{out}-reward-again")
    assert len(both.learned) == 40 and len(both.held_out) == 20 + 5
    assert {r.model for r in both.learned} == {base, f"{out}-reward-again"}
    found = run(capsys, "dpo", base, "--reward", judge, "--steps", "5", "--longest",
                "4", "--out", str(tmp_path / "dpo"))  # fmt: skip
    assert found["steps"] == 5
    assert "before" in Path(found["report"]).read_text(encoding="utf-8")


def test_peoples_labels_may_be_wrong_even_if_it_is_known_what_they_meant(
    base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    some = [replace(r, prompt=f"owl {i % 20}") for i, r in enumerate(rated(60, 0))]
    ratings.write(tmp_path / "ratings.jsonl", some)
    file, few = str(tmp_path / "ratings.jsonl"), ("--reward-steps", "2", "--pairs", "9")
    wanted = {"people": ("--ratings", file), "program": ()}
    for name, labels in wanted.items():
        out = str(tmp_path / name)
        run(capsys, "reward", base, "--rater", "vocabulary", *labels, *few,
            "--held-out", "9", "--out", out)  # fmt: skip
        trained_by = Run(out).described()["training"]["optimizer"]
        assert trained_by == {"people": "adamw", "program": "muon"}[name]


def test_without_a_rater_or_ratings_the_command_says_which_there_are(
    base: str, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert main(["reward", base]) != 0
    assert "politeness" in capsys.readouterr().err
