"""What is stopped, by Ctrl-C or by numbers that are none, is not taken for finished."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gptlite.alignment import learn, measure, ratings
from gptlite.alignment.align import align
from gptlite.alignment.examples import Ratings
from gptlite.alignment.grpo import GRPO
from gptlite.alignment.measure import Judges
from gptlite.alignment.ppo import PPO
from gptlite.alignment.rounds import read_rounds, write_rounds
from gptlite.alignment.settings import Alignment, PPOConfig, RewardConfig
from gptlite.alignment.train_reward import RewardModel
from gptlite.cli import main
from gptlite.errors import CheckpointError, DataError, TrainingError
from gptlite.training.run import Run
from gptlite.training.step import Trainer
from tests.alignment.test_learn import rated
from tests.alignment.test_runs import PROMPTS, early

FEW = RewardConfig(rater="vocabulary", reward_steps=6, reward_rows=4)
QUICK = PPOConfig(answers=8, longest=4, minibatch=8, epochs=1, warmup=0)
BOTH = Ratings(rated(20, 0), rated(10, 1))


def trained(
    base: str, out: Path, rounds: int, resume: bool = False, **more: Any
) -> Any:
    config = more.pop("config", QUICK)
    what = Alignment(rounds=rounds, workers=1)
    return align(base, str(out), PROMPTS, PROMPTS, Judges(early, early), config, what,
                 resume=resume, **more)  # fmt: skip


@pytest.fixture(autouse=True)
def measured_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested here needs neither sure figures nor pictures."""
    for name in ("MEASURED", "AT_A_TIME"):
        monkeypatch.setattr(measure, name, 4)
    monkeypatch.setattr("gptlite.plots.png", lambda axes: b"")


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is pressed in the third step of every training."""
    step = Trainer.step

    def pressed(trainer: Trainer, *batches: Any) -> Any:
        if trainer.optimizer.steps == 2:
            signal.raise_signal(signal.SIGINT)
        return step(trainer, *batches)

    monkeypatch.setattr(Trainer, "step", pressed)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_weights_that_the_last_step_destroyed_are_not_kept(
    base: str, tmp_path: Path
) -> None:
    out = tmp_path / "ppo"
    trained(base, out, 1)
    broken = PPOConfig(answers=8, longest=4, minibatch=8, epochs=1, warmup=0,
                       learning_rate=1e38)  # fmt: skip
    with pytest.raises(TrainingError, match=r"log-probabilities.*--resume"):
        trained(base, out, 4, resume=True, config=broken)
    assert len(read_rounds(out)) == 1
    assert np.isfinite(Run(out).load()[0].params.flat).all()
    assert trained(base, out, 2, resume=True)["rounds"] == 2


@pytest.mark.usefixtures("stops")
def test_a_stopped_reward_model_is_none(
    base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "reward")
    _, found = learn.learn_reward(base, out, BOTH, FEW)
    assert found["interrupted"] and found["steps"] == 3
    with pytest.raises(CheckpointError, match="finished reward model"):
        RewardModel.load(out)
    ratings.write(tmp_path / "r.jsonl", [*BOTH.learned, *some_others()])
    flags = ("--ratings", str(tmp_path / "r.jsonl"), "--reward-steps", "9")
    assert main(["reward", base, *flags, "--out", out]) == 130
    assert "stopped at step 3 of 9" in capsys.readouterr().err
    for command in ("ppo", "grpo"):
        policy = tmp_path / command
        assert main([command, base, *flags, "--out", str(policy)]) == 130
        assert "begin again" in capsys.readouterr().err
        assert not policy.exists()


def some_others() -> list[ratings.Rating]:
    """Ratings of several prompts, so that some can be held out."""
    return [ratings.Rating(f"owl {i}", ("a", "b"), 0, rater="ann") for i in range(20)]


def test_dpo_and_a_renewal_say_that_they_were_stopped(
    base: str, tmp_path: Path, request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    judge, out = str(tmp_path / "reward"), str(tmp_path / "dpo")
    learn.learn_reward(base, judge, BOTH, FEW)
    request.getfixturevalue("stops")
    assert main(["dpo", base, "--reward", judge, "--longest", "4", "--out", out]) == 130
    assert "stopped at step 3; go on with --resume" in capsys.readouterr().err
    longer = RewardConfig(rater="vocabulary", reward_steps=30, reward_rows=4)
    renew = learn.renewal(judge, str(tmp_path / "again"), longer, 4)
    with pytest.raises(KeyboardInterrupt):
        renew(Run(base).load()[0], False)
    with pytest.raises(CheckpointError, match="finished"):
        RewardModel.load(str(tmp_path / "again"))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_aborted_reward_model_is_none(base: str, tmp_path: Path) -> None:
    out = str(tmp_path / "reward")
    config = RewardConfig(reward_steps=4, reward_rows=4, reward_learning_rate=1e30)
    with pytest.raises(TrainingError, match="the last checkpoint is of step 0"):
        learn.learn_reward(base, out, BOTH, config)
    with pytest.raises(CheckpointError, match="finished reward model"):
        RewardModel.load(out)


def test_a_run_that_is_timed_is_interrupted_as_well(
    base: str, tmp_path: Path, stops: None
) -> None:
    found = align(
        base, str(tmp_path / "ppo"), PROMPTS, PROMPTS, Judges(early, early), QUICK,
        Alignment(rounds=1000, seconds=1000, workers=1),
    )  # fmt: skip
    assert found["interrupted"] and found["rounds"] == 3


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"method": GRPO}, "method"), ({"known": {"reward_sha256": "b"}}, "reward_sha256"),
     ({"known": {"reward_sha256": "a", "rater": "brevity"}}, "rater"),
     ({"known": {"reward_sha256": "a", "rater": None}}, "rater")],
)  # fmt: skip
def test_a_policy_goes_on_with_its_own_method_and_judges_only(
    base: str, tmp_path: Path, changes: dict[str, Any], name: str
) -> None:
    same: dict[str, Any] = {"reward_sha256": "a", "rater": "politeness"}
    trained(base, tmp_path / "ppo", 1, known=same)
    other = {"method": PPO, "known": same, **changes}
    with pytest.raises(DataError, match=f"wanted the {name} that"):
        trained(base, tmp_path / "ppo", 2, resume=True, **other)
    assert trained(base, tmp_path / "ppo", 2, resume=True, known=same)["rounds"] == 2


@pytest.mark.parametrize("line", ['{"steps": 1, "rewa', "\x00", "[]", '{"round": 1}'])
def test_a_damaged_line_of_rounds_is_named(tmp_path: Path, line: str) -> None:
    rows = [{"steps": 1, "samples": ["\u2028"]}]  # which is no end of a line
    write_rounds(tmp_path, rows)
    assert read_rounds(tmp_path) == rows
    with open(tmp_path / "rounds.jsonl", "a", encoding="utf-8") as file:
        file.write(line)
    with pytest.raises(CheckpointError, match=r"line 2 of .*rounds.jsonl"):
        read_rounds(tmp_path)
