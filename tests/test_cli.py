"""The command line: JSON for programs, one clear line for people, no traceback."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from gptlite import __version__
from gptlite.cli import main
from gptlite.config import PRESETS, GPTConfig, TrainConfig
from gptlite.models import checkpoint
from gptlite.models.sampling import Sampling
from gptlite.training.run import Run
from tests.helpers import child_environment, run_cli

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
    assert "no.txt" in err and "check the path" in err
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
        (["--pool", "fibres"], "sequential"),
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


# --- flags, pipes, terminals ---------------------------------------------------------


def strict(text: str) -> dict[str, Any]:
    """JSON as other programs read it: NaN is none."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_is_json_even_if_there_was_no_step(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pretrain", "--out", str(run), "--resume", "--json"]) == 0
    found = strict(capsys.readouterr().out.splitlines()[-1])
    assert found["steps"] == 4


def test_a_resumed_run_does_not_claim_another_preset(
    shell: Shell, text: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    flags = ("--preset", "nano", "--steps", "2", "--context-length", "12")
    first = shell.json("pretrain", "--text", text, "--out", out, *flags)
    assert first["preset"] == "nano"
    again = shell.json("pretrain", "--out", out, "--resume", "--steps", 3)
    assert again.get("preset") in (None, "nano")
    assert "gptlite baby" not in (out / "report.html").read_text(encoding="utf-8")


def test_every_field_of_the_configurations_has_its_flag(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for command, kinds in (("pretrain", (GPTConfig, TrainConfig)),
                           ("generate", (Sampling,))):  # fmt: skip
        with pytest.raises(SystemExit):
            main([command, "--help"])
        shown = capsys.readouterr().out
        for kind in kinds:
            for field in dataclasses.fields(kind):
                assert "--" + field.name.replace("_", "-") in shown


def test_flags_reach_the_configuration_that_is_stored(
    shell: Shell, text: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    flags = ("--bias", "--optimizer", "muon", "--seed", "7", "--vocab-size", "100",
             "--weight-decay", "0.25", "--pool", "sequential")  # fmt: skip
    shell.json("pretrain", "--text", text, "--out", out, *SMALL, *flags)
    stored_text, model, training = Run(out).read_config()
    assert stored_text == str(text)
    assert model.bias is True and model.vocab_size == 100
    assert (training.optimizer, training.seed, training.weight_decay) == (
        "muon", 7, 0.25
    )  # fmt: skip
    assert training.pool == "sequential"
    shell.json("pretrain", "--out", out, "--resume", "--steps", 5)
    assert Run(out).read_config()[1].vocab_size == 100
    assert len(shell.json("generate", out, "--prompt", "t")["ids"]) == 200


def test_zero_workers_are_one_a_core(shell: Shell, text: Path, tmp_path: Path) -> None:
    flags = [*SMALL[:-8], "--workers", "0", "--steps", "2"]
    found = shell.json("pretrain", "--text", text, "--out", tmp_path / "r", *flags)
    assert found["steps"] == 2


def test_a_run_can_be_resumed_from_another_folder(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: Shell
) -> None:
    """The text was named relative to where the first command was typed."""
    monkeypatch.chdir(text.parent)
    out = tmp_path / "run"
    shell.json("pretrain", "--text", text.name, "--out", out, *SMALL)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert shell.json("pretrain", "--out", out, "--resume", "--steps", 5)["steps"] == 5


def test_a_loss_that_is_not_a_number_is_one_line_without_warnings(
    text: Path, tmp_path: Path
) -> None:
    flags = ("--learning-rate", "1e30", "--warmup-steps", "0", "--steps", "50")
    done = run_cli("pretrain", "--text", str(text), "--out", str(tmp_path / "run"),
                   *SMALL[:10], *flags)  # fmt: skip
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "finite loss" in done.stderr


def test_random_numbers_damaged_in_the_checkpoint(shell: Shell, run: Path) -> None:
    file = Run(run).checkpoint_file
    tensors, found = load_file(file), checkpoint.metadata(file)
    state = found["rng"]
    for damaged in (None, {}, {**state, "bit_generator": "MT19937"},
                    {**state, "state": {"state": -1, "inc": 1}},
                    {**state, "state": {"state": 2**200, "inc": 1}},
                    {**state, "state": {"state": "1", "inc": 1}}):  # fmt: skip
        checkpoint.save(file, tensors, {**found, "rng": damaged})
        err = shell.error("pretrain", "--out", run, "--resume", "--steps", 9)
        assert "last.safetensors" in err


@pytest.fixture(scope="module")
def bytes_run(trained: Path) -> Path:
    """A run whose tokens are bytes: it can write any character, or none."""
    folder = trained.parent
    (folder / "euro.txt").write_text("€" * 400, encoding="utf-8")
    arguments = ["pretrain", "--text", str(folder / "euro.txt"), *SMALL]
    arguments += ["--tokenizer", "byte", "--out", str(folder / "bytes")]
    assert main(arguments) == 0
    return folder / "bytes"


@pytest.mark.parametrize(
    ("encoding", "prompt"),
    [
        ("ascii", "€"),
        ("latin-1", "€"),
        ("utf-8:strict", "€"),
        ("utf-8:strict", "\udcff"),
    ],
)
def test_what_a_terminal_cannot_show_does_not_stop_it(
    bytes_run: Path, encoding: str, prompt: str
) -> None:
    """A text file redirected on Windows; a prompt that is no UTF-8."""
    done = run_cli("generate", str(bytes_run), "--prompt", prompt, "--max-tokens", "9",
                   PYTHONIOENCODING=encoding)  # fmt: skip
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert done.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error(trained: Path) -> None:
    """`gptlite generate … | head -c 1`"""
    process = subprocess.Popen(
        [sys.executable, "-m", "gptlite", "generate", str(trained), "--prompt", "a",
         "--max-tokens", "20000"],
        env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout and process.stderr
    assert process.stdout.read(1) == b"a"
    process.stdout.close()
    err = process.stderr.read().decode()
    process.stderr.close()
    process.wait(60)
    assert "Traceback" not in err and "Exception" not in err


def test_ctrl_c_while_it_generates_is_no_traceback(
    shell: Shell, trained: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gptlite.models.generate.stream", interrupted)
    assert main(["generate", str(trained), "--prompt", "a"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_benchmark_says_which_peers_it_knows(shell: Shell) -> None:
    assert "none" in shell.error("bench", "generate", "--against", "torch")
    assert "torch" in shell.error("bench", "attention", "--against", "jax")


def test_a_second_run_of_the_same_name_loses_nothing(
    run: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = (run / "checkpoint" / "last.safetensors").read_bytes()
    command = f"pretrain --preset nano --text {text} --steps 1 --out {run}"
    assert main([*command.split(), "--context-length", "8"]) == 0
    earlier = run.with_name(f"{run.name}.1")
    assert str(earlier) in capsys.readouterr().err
    assert (earlier / "checkpoint" / "last.safetensors").read_bytes() == weights


def test_a_finished_run_says_that_there_is_nothing_left(
    run: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run / "checkpoint" / "last.safetensors").read_bytes()
    assert main(["pretrain", "--out", str(run), "--resume", "--text", str(text)]) == 0
    assert "raise --steps" in capsys.readouterr().err
    assert (run / "checkpoint" / "last.safetensors").read_bytes() == before


def test_an_empty_path_is_no_text(shell: Shell, tmp_path: Path) -> None:
    assert "--text" in shell.error(
        "pretrain", "--text", "", "--out", tmp_path / "run", "--steps", "1"
    )


def test_files_that_are_not_there_are_one_clear_line(
    shell: Shell, tmp_path: Path
) -> None:
    for command in ("similar", "analogy", "plot"):
        words = ["a", "b", "c"][: 1 if command == "similar" else 3]
        err = shell.error("vectors", command, tmp_path / "none.vec", *words)
        assert "none.vec" in err and "No such file" in err


def test_every_page_of_help_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        "vectors train", "vectors similar", "vectors analogy", "vectors plot",
        "data list", "data fetch", "data build", "tokenizer train", "tokenizer encode",
        "tokenizer decode", "tokenizer compare", "pretrain", "generate", "demo",
        "bench", "info",
    ):  # fmt: skip
        with pytest.raises(SystemExit) as caught:
            main([*command.split(), "--help"])
        assert caught.value.code == 0
        assert "usage" in capsys.readouterr().out
