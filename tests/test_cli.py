"""The command line: JSON for programs, one clear line for people, no traceback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from gptlite import __version__
from gptlite.cli import main
from gptlite.config import PRESETS
from gptlite.training.run import Run
from tests.helpers import run_cli

TEXT = "".join(f"line {i}: the cat sat on the mat, {i * i}\n" for i in range(80))
SMALL = (
    "--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--context-length", "12",
    "--batch-size", "4", "--steps", "4", "--workers", "1", "--eval-every", "2",
    "--sample-every", "2", "--checkpoint-every", "2",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    arguments = ["pretrain", "--text", str(folder / "text.txt"), *SMALL]
    assert main([*arguments, "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A run of one's own, to damage."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


class Shell:
    """Calls `main` and looks at what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def json(self, *arguments: object) -> dict[str, Any]:
        """What a command with --json printed last."""
        assert main([*map(str, arguments), "--json"]) == 0
        found = json.loads(self.capsys.readouterr().out.splitlines()[-1])
        assert isinstance(found, dict)
        return found

    def error(self, *arguments: object) -> str:
        """The one line of a command that fails."""
        self.capsys.readouterr()
        code = main([*map(str, arguments)])
        out, err = self.capsys.readouterr()
        assert code == 1
        assert out == ""
        assert err.startswith("gptlite: error: ") and err.count("\n") == 1, err
        assert "Traceback" not in err
        return err

    def usage(self, *arguments: object) -> str:
        """What argparse says of a command that cannot be understood."""
        with pytest.raises(SystemExit) as caught:
            main([*map(str, arguments)])
        assert caught.value.code == 2
        return self.capsys.readouterr().err.splitlines()[-1]


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def test_pretrain_tells_how_it_ended(shell: Shell, text: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    found = shell.json("pretrain", "--text", text, "--out", out, *SMALL)
    assert found["steps"] == 4 and found["interrupted"] is False
    assert found["out"] == str(out)
    assert 0 < found["val_loss"] < 10 and found["tokens_per_s"] > 0
    assert found["n_params"] > 1000
    for name in ("config.json", "tokenizer.json", "checkpoint/last.safetensors",
                 "metrics.jsonl", "samples.txt", "learning_curve.png",
                 "report.html"):  # fmt: skip
        assert (out / name).stat().st_size > 0, name


def test_the_report_needs_no_other_file(trained: Path) -> None:
    page = (trained / "report.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in page
    assert "http://" not in page and "https://" not in page
    assert "── step 4 ──" in page


def test_resume_goes_on_where_the_run_stopped(shell: Shell, run: Path) -> None:
    found = shell.json("pretrain", "--out", run, "--resume", "--steps", 6)
    assert found["steps"] == 6
    steps = [row["step"] for row in Run(run).metrics() if "loss" in row]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_generate_as_json_and_as_text_say_the_same(
    shell: Shell, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = ("generate", trained, "--prompt", "the ", "--max-tokens", "20", "--seed", "1")
    found = shell.json(*ask)
    assert found["prompt"] == "the " and len(found["ids"]) == 20
    assert len(found["logprobs"]) == 20 and len(found["text"]) == 20
    assert main([*map(str, ask)]) == 0
    assert capsys.readouterr().out == "the " + found["text"] + "\n"
    assert shell.json(*ask) == found  # the same seed


def test_sampling_flags_reach_the_sampler(shell: Shell, trained: Path) -> None:
    ask = ("generate", trained, "--prompt", "the ", "--max-tokens", "20")
    a, b = (shell.json(*ask, "--top-k", "1", "--seed", s) for s in "12")
    assert a["ids"] == b["ids"]
    stopped = shell.json(*ask, "--top-k", "1", "--stop", a["text"][3:5])
    assert stopped["stopped"] and len(stopped["text"]) <= 3


def test_info_names_versions_cores_and_presets(shell: Shell) -> None:
    found = shell.json("info")
    assert found["gptlite"] == __version__
    assert found["cores"] >= 1
    assert all(name in found["presets"] for name in PRESETS)


def test_info_without_json_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["gptlite", __version__] for line in lines)


def test_version_and_help_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    for flag, wanted in (("--version", __version__), ("--help", "pretrain")):
        with pytest.raises(SystemExit) as caught:
            main([flag])
        assert caught.value.code == 0
        assert wanted in capsys.readouterr().out


# --- one bad input, one clear line ---------------------------------------------------


@pytest.mark.parametrize("content", ["", " \n\n"])
def test_an_empty_text(shell: Shell, tmp_path: Path, content: str) -> None:
    (tmp_path / "empty.txt").write_text(content)
    err = shell.error("pretrain", "--text", tmp_path / "empty.txt",
                      "--out", tmp_path / "run")  # fmt: skip
    assert "empty.txt" in err


def test_a_folder_without_text(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    err = shell.error("pretrain", "--text", tmp_path / "folder",
                      "--out", tmp_path / "run")  # fmt: skip
    assert "got none" in err


def test_a_missing_text(shell: Shell, tmp_path: Path) -> None:
    err = shell.error("pretrain", "--text", tmp_path / "no.txt",
                      "--out", tmp_path / "run")  # fmt: skip
    assert "no.txt" in err and "--text" in err
    assert not (tmp_path / "run").exists()


def test_a_text_shorter_than_the_context(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("To be, or not to be")
    err = shell.error("pretrain", "--text", tmp_path / "short.txt",
                      "--out", tmp_path / "run")  # fmt: skip
    assert "--context-length" in err


def test_a_text_that_is_not_utf8(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 au lait " * 100)
    err = shell.error("pretrain", "--text", tmp_path / "latin.txt",
                      "--out", tmp_path / "run")  # fmt: skip
    assert "UTF-8" in err and "position 3" in err


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--n-embd", "10", "--n-head", "4"], "n_embd=10"),
        (["--workers", "-1"], "workers"),
        (["--steps", "0"], "steps"),
        (["--batch-size", "-3"], "batch_size"),
        (["--learning-rate", "nan"], "learning_rate"),
        (["--learning-rate", "inf"], "learning_rate"),
        (["--beta1", "1"], "beta1"),
        (["--optimizer", "adam"], "muon"),
        (["--pool", "processes"], "sequential"),
        (["--tokenizer", "word"], "byte"),
        (["--preset", "nanoo"], "'nano'"),
        (["--vocab-size", "3"], "--vocab-size"),
        (["--seed", "-1"], "seed"),
    ],
)
def test_a_configuration_that_cannot_work(
    shell: Shell, text: Path, tmp_path: Path, flags: list[str], named: str
) -> None:
    err = shell.error("pretrain", "--text", text, "--out", tmp_path / "run", *flags)
    assert named in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["pretrain", "--steps", "many"], "many"),
        (["pretrain", "--stepps", "3"], "--stepps"),
        (["generate", "run"], "--prompt"),
        (["generate", "run", "--prompt", "a", "--max-tokens", "-1"], "-1"),
        (["bench", "coffee"], "coffee"),
        (["fly"], "fly"),
        ([], "COMMAND"),
    ],
)
def test_a_command_that_cannot_be_understood(
    shell: Shell, arguments: list[str], named: str
) -> None:
    assert named in shell.usage(*arguments)


def test_a_prompt_with_characters_that_the_run_never_saw(
    shell: Shell, trained: Path
) -> None:
    err = shell.error("generate", trained, "--prompt", "the Ω", "--json")
    assert "'Ω'" in err and "position 4" in err


def test_an_empty_prompt(shell: Shell, trained: Path) -> None:
    assert "prompt" in shell.error("generate", trained, "--prompt", "", "--json")


@pytest.mark.parametrize(
    "flags", [["--temperature", "-1"], ["--top-p", "0"], ["--top-k", "-2"]]
)
def test_a_sampling_that_makes_no_sense(
    shell: Shell, trained: Path, flags: list[str]
) -> None:
    err = shell.error("generate", trained, "--prompt", "a", *flags)
    assert flags[0].strip("-").replace("-", "_") in err


def test_a_folder_that_holds_no_run(shell: Shell, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "no"):
        err = shell.error("generate", folder, "--prompt", "a")
        assert "gptlite pretrain --out" in err


def test_resume_without_a_run(shell: Shell, tmp_path: Path) -> None:
    err = shell.error("pretrain", "--out", tmp_path / "no", "--resume")
    assert "config.json" in err


def test_resume_with_a_text_that_has_moved(shell: Shell, run: Path) -> None:
    text = json.loads((run / "config.json").read_text(encoding="utf-8"))
    text["text"] = str(run / "gone.txt")
    (run / "config.json").write_text(json.dumps(text))
    assert "gone.txt" in shell.error("pretrain", "--out", run, "--resume")


def test_a_damaged_configuration(shell: Shell, run: Path) -> None:
    for content in ("", "{", '{"model": {}}'):
        (run / "config.json").write_text(content)
        err = shell.error("pretrain", "--out", run, "--resume")
        assert "config.json" in err


def test_a_damaged_tokenizer(shell: Shell, run: Path) -> None:
    for content in ("", "[1, 2]", '{"kind": "char"}'):
        (run / "tokenizer.json").write_text(content)
        for command in (["generate", run, "--prompt", "a"],
                        ["pretrain", "--out", run, "--resume"]):  # fmt: skip
            assert "tokenizer" in shell.error(*command)


def test_a_checkpoint_cut_short(shell: Shell, run: Path) -> None:
    file = run / "checkpoint" / "last.safetensors"
    data = file.read_bytes()
    for size in (0, 5, 100, len(data) - 1):
        file.write_bytes(data[:size])
        for command in (
            ["generate", run, "--prompt", "a"],
            ["pretrain", "--out", run, "--resume", "--steps", "9"],
        ):
            assert "last.safetensors" in shell.error(*command)


def test_a_failed_resume_leaves_the_run_as_it_was(shell: Shell, run: Path) -> None:
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    shell.error("pretrain", "--out", run, "--resume", "--n-embd", "32")
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def test_the_module_runs_as_a_program_too(trained: Path) -> None:
    done = run_cli("generate", str(trained), "--prompt", "a", "--json")
    assert done.returncode == 0 and done.stderr == ""
    assert json.loads(done.stdout)["prompt"] == "a"
    failed = run_cli("generate", str(trained / "no"), "--prompt", "a")
    assert failed.returncode == 1 and failed.stderr.count("\n") == 1


def test_resuming_a_finished_run_changes_nothing(
    tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "run")
    assert main(["pretrain", *SMALL, "--text", str(text), "--out", out, "--json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert main(["pretrain", "--out", out, "--resume", "--json"]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert again["steps"] == first["steps"]
    assert again["val_loss"] == first["val_loss"]
