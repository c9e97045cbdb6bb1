"""`gptlite demo`: works in a second as in two minutes, and answers prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gptlite.alignment.settings import RewardConfig
from gptlite.cli import main
from gptlite.config import preset
from gptlite.corpus.readers import sample_documents
from gptlite.demo import preferences
from gptlite.demo import road as demo
from gptlite.models.gpt import GPT
from gptlite.text.tokenizer import CharTokenizer
from gptlite.training.pretrain import Result
from gptlite.training.run import Run
from tests.helpers import TINY
from tests.training.test_report import SUMMARY


def test_the_demo_trains_shows_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(name: str, **changes: Any) -> Any:
        assert name == "demo"
        return preset("nano", **{**changes, "sample_every": 10, "eval_every": 10,
                                  "context_length": 96})  # fmt: skip

    monkeypatch.setattr(demo, "preset", small)
    few_pairs = RewardConfig("vocabulary", pairs=20, held_out=20, reward_steps=5)
    monkeypatch.setattr(preferences, "RATED", few_pairs)
    out = str(tmp_path / "run")
    few = {name: list(some)[:20] for name, some in sample_documents().items()}
    monkeypatch.setattr(demo, "sample_documents", lambda: few)
    assert main(["demo", "--seconds", "2", "--out", out, "--json"]) == 0
    shown = capsys.readouterr().out
    summary = json.loads(shown.splitlines()[-1])
    assert summary["steps"] >= 20 and summary["out"] == out
    assert "validation loss" in shown and "→" in shown
    for stage in ("Corpus", "Tokens", "Word vectors", "Pretraining", "Fine-tuning",
                  "Ratings", "Reward model", "PPO"):  # fmt: skip
        assert f". {stage}" in shown
    assert "before:" in shown and "chrF 0.0" in shown
    assert "king: " in shown and "Shall|" in shown
    assert shown.count("── step ") == 2 and "── step 10" in shown
    assert (tmp_path / "run" / "report.html").exists()
    assert "better:" in shown and "KL " in shown
    assert (tmp_path / "run" / "policy" / "rounds.png").exists()


def test_a_demo_with_one_sample_shows_it_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)
    run.samples_file.write_text("── step 7 ──\nTo be\n\n", encoding="utf-8")
    result = Result(GPT(TINY), CharTokenizer("abc"), run, SUMMARY)
    demo.show_training(result)
    assert capsys.readouterr().out.count("To be") == 1


@pytest.mark.parametrize("seconds", ["-1", "nan", "0"])
def test_a_demo_without_time_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seconds: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """0 seconds would mean: no limit."""

    def never(*arguments: Any, **options: Any) -> None:
        raise AssertionError("it began to train")

    monkeypatch.setattr(demo, "pretrain", never)
    try:
        code = main(["demo", "--seconds", seconds, "--out", str(tmp_path / "run")])
    except SystemExit as error:  # refused by argparse
        code = error.code
    assert code in (1, 2)
    assert "seconds" in capsys.readouterr().err


def test_a_sparkline_goes_from_the_smallest_to_the_largest() -> None:
    assert demo.sparkline([8.0, 4.0, 1.0, 0.0]) == "█▅▂▁"
    assert demo.sparkline([3.0]) == "▁"
    assert demo.sparkline(list(np.linspace(1, 8, 8))) == "▁▂▃▄▅▆▇█"
