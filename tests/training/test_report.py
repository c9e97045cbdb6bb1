"""report.html: one page with everything in it, whatever a run holds."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from gptlite.config import GPTConfig
from gptlite.errors import GptliteError
from gptlite.text.tokenizer import CharTokenizer
from gptlite.training.loop import Summary
from gptlite.training.report import write_report
from gptlite.training.run import Run
from tests.helpers import FAST

SUMMARY = Summary(
    steps=1234, seconds=75.4, tokens_per_s=98765.4, train_loss=1.5, val_loss=1.6789,
    bits_per_byte=2.4221, interrupted=False,
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    run.describe("sample", GPTConfig(), FAST, CharTokenizer("ab"))
    run.metrics_file.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n')
    return run


def page_of(run: Run, title: str = "a title") -> str:
    write_report(run, SUMMARY, 804_096, title)
    return run.report_file.read_text(encoding="utf-8")


def test_the_numbers_of_the_run_are_on_the_page(run: Run) -> None:
    page = page_of(run)
    for wanted in ("804,096", "1,234", "75 s", "98,765 tokens/s", "1.679", "2.422"):
        assert wanted in page


def test_the_picture_is_inside_the_page(run: Run) -> None:
    [data] = re.findall(r"data:image/png;base64,([^\"]+)", page_of(run))
    assert base64.b64decode(data) == run.curve_file.read_bytes()
    assert run.curve_file.read_bytes().startswith(b"\x89PNG")


def test_what_a_model_wrote_cannot_become_part_of_the_page(run: Run) -> None:
    run.samples_file.write_text("<script>alert('ö')</script> {braces}", "utf-8")
    page = page_of(run, "<b>title</b>")
    assert "<script>" not in page and "<b>" not in page
    assert "&lt;script&gt;" in page and "{braces}" in page


def test_a_run_without_samples_or_metrics_has_a_report(run: Run) -> None:
    run.metrics_file.unlink()
    assert "no samples yet" in page_of(run)


def test_a_page_of_the_same_run_replaces_the_earlier_one(run: Run) -> None:
    page_of(run, "the first")
    assert "the first" not in page_of(run, "the second")
    assert not list(run.folder.glob(".*"))


def test_a_picture_that_cannot_be_written_is_said(run: Run) -> None:
    run.curve_file.mkdir()  # in the way
    with pytest.raises(GptliteError, match=r"learning_curve\.png"):
        page_of(run)
