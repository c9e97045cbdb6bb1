"""The command line: JSON for machines, one clear line for mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gptlite.cli import main

SMALL = ["--preset", "nano", "--steps", "3", "--context-length", "8", "--workers", "1"]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("the quick brown fox jumps over the lazy dog\n" * 20)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, text: Path) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert main(["pretrain", *SMALL, "--text", str(text), "--out", str(out)]) == 0
    return out


def fails(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Run a command that must fail; its one line on standard error."""
    assert main(list(argv)) != 0
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("gptlite: error: "), lines
    return lines[0]


def test_pretrain_prints_one_json_object_last(
    tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "run")
    assert main(["pretrain", *SMALL, "--text", str(text), "--out", out, "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["steps"] == 3 and result["val_loss"] > 0 and result["seconds"] > 0
    for name in ("config.json", "tokenizer.json", "metrics.jsonl", "report.html"):
        assert (tmp_path / "run" / name).stat().st_size > 0


def test_generate_with_a_seed_says_the_same_twice(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for _ in range(2):
        command = ["generate", str(run), "--prompt", "the", "--max-tokens", "9"]
        assert main([*command, "--seed", "1", "--json"]) == 0
        texts.append(json.loads(capsys.readouterr().out)["text"])
    assert texts[0] == texts[1] and len(texts[0]) == 9


def test_generate_streams_the_same_text_as_json_gives(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "generate",
        str(run),
        "--prompt",
        "the",
        "--max-tokens",
        "9",
        "--seed",
        "2",
    ]
    assert main(command) == 0
    streamed = capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    assert streamed == "the" + json.loads(capsys.readouterr().out)["text"] + "\n"


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--n-embd", "30", "--n-head", "4"], "divisible"),
        (["--workers", "-1"], "workers"),
        (["--vocab-size", "3"], "--vocab-size"),
        (["--learning-rate", "nan"], "finite"),
        (["--preset", "babby"], "baby"),
        (["--context-length", "5000"], "--context-length"),
        (["--text", "no/such/file"], "no/such/file"),
    ],
)
def test_a_bad_flag_is_one_clear_line(
    flags: list[str],
    word: str,
    tmp_path: Path,
    text: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = str(tmp_path / "run")
    line = fails(capsys, "pretrain", *SMALL, "--text", str(text), "--out", out, *flags)
    assert word in line


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"", "got none"), (b"\xff\xfe\x00", "UTF-8"), (b"ab", "at least")],
)
def test_a_bad_text_is_one_clear_line(
    content: bytes, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.txt").write_bytes(content)
    path = str(tmp_path / "t.txt")
    line = fails(
        capsys, "pretrain", *SMALL, "--text", path, "--out", str(tmp_path / "r")
    )
    assert word in line


def test_a_prompt_with_unknown_characters_is_one_clear_line(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "'É'" in fails(capsys, "generate", str(run), "--prompt", "É")
    assert "empty" in fails(capsys, "generate", str(run), "--prompt", "")


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "checkpoint/last.safetensors"]
)
def test_a_damaged_run_is_one_clear_line(
    name: str,
    tmp_path: Path,
    text: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    assert main(["pretrain", *SMALL, "--text", str(text), "--out", str(out)]) == 0
    capsys.readouterr()
    damaged = out / name
    damaged.write_bytes(damaged.read_bytes()[:40])
    assert name.split("/")[-1] in fails(
        capsys, "pretrain", "--out", str(out), "--resume", "--steps", "5"
    )


def test_resume_without_a_run_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fails(capsys, "pretrain", "--resume", "--out", str(tmp_path / "none"))
    fails(capsys, "generate", str(tmp_path / "none"), "--prompt", "a")
