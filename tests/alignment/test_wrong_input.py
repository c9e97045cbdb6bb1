"""What cannot work is said before any work, and destroys nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gptlite.alignment import learn, measure, ratings
from gptlite.alignment.dpo import preferences
from gptlite.alignment.examples import Ratings
from gptlite.alignment.measure import Judges, best_of
from gptlite.alignment.reader import Reader
from gptlite.alignment.settings import RewardConfig
from gptlite.alignment.train_reward import RewardModel
from gptlite.cli import main
from gptlite.errors import DataError
from gptlite.parallel.pool import WorkerPool
from gptlite.text.chat import conversation
from gptlite.training.run import Run
from tests.alignment.test_learn import rated
from tests.alignment.test_reward import TOKENIZER, examples
from tests.alignment.test_runs import PROMPTS, early


@pytest.fixture
def judge(base: str, tmp_path: Path) -> str:
    out, config = str(tmp_path / "judge"), RewardConfig(reward_steps=1, reward_rows=2)
    learn.learn_reward(base, out, Ratings(rated(9, 0), rated(9, 1)), config)
    return out


def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on nothing can be sampled or trained."""

    def work(*given: object, **more: object) -> None:
        raise AssertionError("work was done")

    for name in ("learn.rated_by_program", "learn.learn_reward", "align.align",
                 "train_dpo.train_dpo"):  # fmt: skip
        monkeypatch.setattr(f"gptlite.alignment.{name}", work)


@pytest.fixture
def idle(judge: str, monkeypatch: pytest.MonkeyPatch) -> None:
    no_work(monkeypatch)


def error(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main([*argv]) == 1
    return capsys.readouterr().err


@pytest.mark.usefixtures("idle")
def test_a_result_in_the_folder_of_a_source_is_refused(
    base: str, judge: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [
        error(capsys, "reward", base, "--rater", "politeness", "--out", base),
        error(capsys, "ppo", base, "--rater", "politeness", "--out", base),
        error(capsys, "ppo", base, "--reward", judge, "--out", judge),
        error(capsys, "dpo", base, "--reward", judge, "--out", judge),
        error(capsys, "dpo", base, "--reward", judge, "--out", base),
    ]
    assert all("wanted another folder" in text for text in said)
    RewardModel.load(judge)


@pytest.mark.usefixtures("idle")
def test_flags_that_cannot_work(
    base: str, judge: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "r.jsonl")
    some = [ratings.Rating(f"p{i}", ("a", "b"), 0, rater="ann") for i in range(20)]
    ratings.write(file, some)
    for command in ("reward", "ppo"):
        err = error(capsys, command, base, "--ratings", file, "--rater", "nobody")
        assert "programmed rater" in err and "'nobody'" in err
    assert "seed" in error(capsys, "dpo", base, "--reward", judge, "--seed", "-1")
    with pytest.raises(SystemExit):
        main(["reward", base, "--ratings", file, "--seed", "-1"])
    assert "-1" in capsys.readouterr().err
    (Path(judge) / "held_out.jsonl").unlink()
    wanted = ("ppo", base, "--reward", judge, "--rater", "politeness")
    err = error(capsys, *wanted, "--again", "10", "--out", str(tmp_path / "ppo"))
    assert "held_out.jsonl" in err and "--again 0" in err


def test_a_broken_line_is_said_without_a_flag_that_is_not_there(
    base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.jsonl").write_text("{\n\n")
    err = error(capsys, "reward", base, "--ratings", str(tmp_path / "r.jsonl"))
    assert "line 1 of" in err and "delete" in err and "bad_lines" not in err


def test_the_best_of_more_answers_than_are_sampled_at_once(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "MEASURED", 2)
    judges = Judges(early, early)
    with WorkerPool(1) as pool:
        found = best_of(Run(base).load()[0], TOKENIZER, PROMPTS, judges, 2, 200, pool)
    assert found["kl"] == pytest.approx(np.log(200) - 199 / 200)


def test_a_pair_that_is_too_long_is_named(base: str) -> None:
    talk = conversation(("user", "fox"), ("assistant", "owl cat " * 60))
    pairs = [*examples(3), (talk, examples(1)[0][1])]
    with WorkerPool(1) as pool, pytest.raises(DataError, match=r"pair 4 of 4, 'fox'"):
        preferences(pairs, TOKENIZER, Reader(Run(base).load()[0], pool))
