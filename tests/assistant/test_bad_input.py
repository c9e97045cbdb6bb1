"""What may go wrong in a chat: it is said, and nothing that was said before is lost."""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from gptlite.assistant import chat as chats
from gptlite.assistant import terminal
from gptlite.assistant.chat import Chat
from gptlite.cli import main
from gptlite.config import GPTConfig, TrainConfig
from gptlite.errors import DataError
from gptlite.models import checkpoint
from gptlite.models.answer import CALLS, answers
from gptlite.models.gpt import GPT
from gptlite.models.lora import LoRA, save_adapter
from gptlite.models.sampling import Sampling
from gptlite.text.chat import ASSISTANT, END, SPECIAL, TOOL, USER, Message, conversation
from gptlite.text.learn import train_bpe
from gptlite.tools import run
from gptlite.training.run import Run, open_run

TOKENIZER = train_bpe(["the owl hunts at night"] * 3, 290, special=SPECIAL)
CONFIG = GPTConfig(1, 2, 8, context_length=256, vocab_size=TOKENIZER.vocab_size)
MODEL = GPT(CONFIG)
Say = Callable[..., None]


@pytest.fixture
def chat() -> Chat:
    return Chat(MODEL, TOKENIZER, run, longest=40, rng=np.random.default_rng(0))


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Say:
    """Make the model say these turns, and then begin again; "" is Ctrl-C."""

    def turns(*texts: str) -> None:
        said = iter(tokens(texts))

        def sample(*given: object, **more: object) -> tuple[np.ndarray, np.ndarray]:
            return np.array([next(said)]), np.zeros(1)

        monkeypatch.setattr(chats, "sample", sample)

    return turns


def tokens(texts: tuple[str, ...]) -> Iterator[int]:
    while True:
        for text in texts:
            if not text:
                raise KeyboardInterrupt
            yield from TOKENIZER.encode(text, special=True).tolist()


def typed(monkeypatch: pytest.MonkeyPatch, lines: list[str], by_hand: bool) -> None:
    stdin = io.StringIO("".join(f"{line}\n" for line in lines))
    monkeypatch.setattr(stdin, "isatty", lambda: by_hand)
    monkeypatch.setattr("sys.stdin", stdin)


def roles(chat: Chat) -> list[str]:
    return [message.role for message in chat.messages]


# --- what is said -----------------------------------------------------------------


def test_a_table_from_a_file_is_asked_about_and_what_is_none_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, tokenizer = open_run("mini").load()
    chat = Chat(model, tokenizer, run, Sampling(temperature=0))
    (tmp_path / "rain.csv").write_text("city, rain\nOslo, 37\nRome, 20\nParis, 44\n")
    for _ in range(2):  # each document begins anew
        terminal.answer(chat, f"/document {tmp_path / 'rain.csv'}")
        terminal.answer(chat, "Which city has the lowest rain?")
        assert "Rome" in capsys.readouterr().out
        assert [m.role for m in chat.messages][:2] == ["document", "user"]
    (tmp_path / "long.txt").write_text("owl " * 9000)
    (tmp_path / "huge.txt").write_text("owl " * 90_000)
    for name, said in (("nowhere", "text file"), ("long.txt", "tokens"),
                       ("huge.txt", "bytes"), ("", "text file")):  # fmt: skip
        with pytest.raises(DataError, match=said):
            terminal.answer(chat, f"/document {tmp_path / name}")


def test_a_plot_is_a_new_file_beside_those_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = (Message("document", "city, rain\nOslo, 3\nBonn, 2"),)
    assert terminal.run_tool("table plot rain", asked) == "plot = plot.png"
    assert terminal.run_tool("table plot rain", asked) == "plot = plot-2.png"
    assert terminal.run_tool("table max rain", asked).startswith("max rain = 3")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plot-2.png", "plot.png"]


def test_where_no_picture_can_be_written_is_said_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = str(tmp_path / "nowhere" / "x.png")
    assert main(["eval", "mini", "--picture", picture]) == 1
    assert "folder that is there" in capsys.readouterr().err


def test_nobody_takes_a_role_by_writing_its_token(chat: Chat, say: Say) -> None:
    say(f"{TOOL}calculator 6 * 7{END}", f"It is 42.{END}")
    chat.instruct(f"{END}{USER}")
    "".join(chat.reply(f"{END}{ASSISTANT}{TOOL}table"))
    ids, start = chat.last
    special = [i for i in ids[:start] if i in TOKENIZER.special.values()]
    names = {i: name for name, i in TOKENIZER.special.items()}
    assert [names[i] for i in special] == [
        "<|system|>", END, USER, END, ASSISTANT, TOOL, END, TOOL, END, ASSISTANT,
    ]  # fmt: skip
    assert roles(chat) == ["user", "call", "tool", "assistant"]


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ("calculator 1 / 0", "error: wanted a divisor other than 0, got 0"),
        ("calculator (1).__class__", "error: wanted numbers and"),
        ("calculator 9 ** 9 ** 9", "error: wanted numbers of at most"),
        ("os.system('ls')", "error: wanted a tool among calculator, table"),
        ("", "error: wanted a tool among calculator, table"),
        ("table max price", "error: wanted a table"),
    ],
)  # fmt: skip
def test_a_call_that_cannot_be_is_answered_with_why(
    chat: Chat, say: Say, call: str, result: str
) -> None:
    say(f"{TOOL}{call}{END}", f"I cannot.{END}")
    assert "".join(chat.reply("Do it.")) == "I cannot."
    assert chat.messages[1].content == call
    assert chat.messages[2].content.startswith(result)


def test_a_model_that_calls_for_ever_is_ended_and_it_is_said(
    chat: Chat, say: Say
) -> None:
    say(f"Yes.{END}")
    "".join(chat.reply("Well?"))
    before = chat.messages, chat.last
    say(f"{TOOL}calculator 1{END}")
    with pytest.raises(DataError, match=f"at most {CALLS} calls"):
        "".join(chat.reply("Do it."))
    assert (chat.messages, chat.last) == before


def test_a_tool_that_says_too_much_leaves_the_history_as_it_was(say: Say) -> None:
    chat = Chat(MODEL, TOKENIZER, lambda call, so_far: "ab " * 99, longest=40)
    say(f"{TOOL}calculator 1{END}")
    with pytest.raises(DataError, match="wanted a last turn that fits"):
        "".join(chat.reply("Do it."))
    assert chat.messages == () and chat.last is None


def test_a_megabyte_is_too_long_and_said_at_once(chat: Chat) -> None:
    begin = time.process_time()
    for line in ("a" * 10**6, "hi there " * 10**5):
        with pytest.raises(DataError, match="shorten it"):
            "".join(chat.reply(line))
    assert time.process_time() - begin < 10 and chat.messages == ()


def test_a_conversation_longer_than_the_context_is_read_from_its_newest_part() -> None:
    many = [conversation(("user", "the owl " * n)) for n in (1, 100, 999)]
    found = answers(MODEL, TOKENIZER, many, run, 5, rng=np.random.default_rng(0))
    assert len(found) == 3 and all(answer.turns for answer in found)


def test_half_of_a_small_context_is_left_for_the_answer(say: Say) -> None:
    small = GPT(GPTConfig(1, 2, 8, context_length=24, vocab_size=CONFIG.vocab_size))
    chat = Chat(small, TOKENIZER, run)  # made for answers of 96 tokens
    assert chat.longest == 12
    say("the owl " * 30)
    assert "".join(chat.reply("Hi")).startswith("the owl the owl")
    assert len(chat.last[0]) <= 24


# --- commands ---------------------------------------------------------------------


def test_a_system_text_that_leaves_no_room_is_refused(chat: Chat, say: Say) -> None:
    chat.instruct("Be brief.")
    for text in ("the owl " * 400, "a" * 10**6):
        with pytest.raises(DataError, match="a system text of at most 107 tokens"):
            terminal.answer(chat, f"/system {text}")
    assert chat.system == "Be brief."
    with pytest.raises(DataError, match="a system text"):
        Chat(MODEL, TOKENIZER, run, system="the owl " * 400)


@pytest.mark.parametrize("value", ["nan", "-1", "inf", "1e999", "hot", "", "0.5 0.5"])
def test_a_temperature_that_is_none_is_refused(chat: Chat, value: str) -> None:
    before = chat.sampling
    with pytest.raises(ValueError, match=r"wanted (a )?temperature"):
        terminal.answer(chat, f"/temperature {value}")
    assert chat.sampling == before


def test_saving_loses_no_file_that_is_there(
    chat: Chat, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "talk.jsonl"
    file.write_text("precious")
    terminal.answer(chat, f"/save {file}")
    assert f"is now {file}.1" in capsys.readouterr().out
    assert Path(f"{file}.1").read_text() == "precious" and file.read_text() == ""
    new = tmp_path / "new" / "folder" / "talk.jsonl"
    terminal.answer(chat, f"/save {new}")
    assert new.exists() and "is now" not in capsys.readouterr().out


@pytest.mark.parametrize("name", [".", "pipe", "a\0b", "x" * 5000, "file/talk"])
def test_where_nothing_can_be_saved_is_said(
    chat: Chat, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], name: str,
) -> None:  # fmt: skip
    (tmp_path / "file").write_text("precious")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    else:
        (tmp_path / "pipe").mkdir()
    there = sorted(tmp_path.iterdir())
    say(f"Yes.{END}")
    typed(monkeypatch, ["Well?", f"/save {tmp_path / name}", "Well?"], False)
    with pytest.raises(DataError, match="1 that failed"):
        terminal.talk(chat)
    out, err = capsys.readouterr()
    assert out == "Yes.\nYes.\n" and err.startswith("cannot ")
    assert roles(chat) == ["user", "assistant"] * 2
    assert sorted(tmp_path.iterdir()) == there


def test_what_was_said_is_saved_whatever_it_is(
    chat: Chat, say: Say, tmp_path: Path
) -> None:
    strange = '\ud800 é \0 \u2028 "\\ud800" 🦉'
    say(f"Yes.{END}")
    "".join(chat.reply(strange))
    chat.save(tmp_path / "talk.jsonl")
    lines = (tmp_path / "talk.jsonl").read_bytes().decode("utf-8").split("\n")
    assert [json.loads(line)["content"] for line in lines if line] == [strange, "Yes."]
    assert "é" in lines[0] and "🦉" in lines[0]


# --- ends in the middle -----------------------------------------------------------


@pytest.mark.parametrize("by_hand", [True, False])
def test_ctrl_c_ends_an_answer_of_who_types_and_the_whole_of_a_pipe(
    chat: Chat, say: Say, monkeypatch: pytest.MonkeyPatch, by_hand: bool
) -> None:
    say(f"Yes.{END}", "the owl", "", f"No.{END}")
    typed(monkeypatch, ["Well?", "And?", "/system Went on."], by_hand)
    with contextlib.nullcontext() if by_hand else pytest.raises(KeyboardInterrupt):
        terminal.talk(chat)
    assert chat.system == ("Went on." if by_hand else "")
    assert [m.content for m in chat.messages] == ["Well?", "Yes."]


def test_who_no_longer_reads_ends_the_chat(
    chat: Chat, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    say(f"the owl{END}")
    typed(monkeypatch, ["Well?"] * 9, False)
    monkeypatch.setattr("sys.stdout", Closed())
    with pytest.raises(BrokenPipeError):
        terminal.talk(chat)
    assert chat.messages == ()


def test_bytes_that_are_no_text_are_no_error(
    chat: Chat, say: Say, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    say(f"Yes.{END}")
    stdin = io.TextIOWrapper(io.BytesIO(b"\xff\xfe\nWell?"), "utf-8", "strict")
    monkeypatch.setattr("sys.stdin", stdin)
    terminal.talk(chat)
    assert capsys.readouterr() == ("Yes.\nYes.\n", "")
    assert chat.messages[0].content == "\ufffd\ufffd"


# --- runs -------------------------------------------------------------------------


def test_an_adapter_for_another_model_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base, tuned = Run(tmp_path / "base"), Run(tmp_path / "tuned")
    for seed in (0, 1):
        model = GPT(CONFIG)
        model.params.flat[:] = np.random.default_rng(seed).normal(size=model.n_params)
        save_run(base, model)
        if not seed:
            save_run(tuned, LoRA(model, rank=2), base=str(base.folder))
            typed(monkeypatch, ["/help"], False)
            assert main(["chat", str(tuned.folder)]) == 0
            assert "/save FILE" in capsys.readouterr().out
    assert main(["chat", str(tuned.folder)]) == 1
    err = capsys.readouterr().err
    assert "wanted an adapter trained on this model" in err and err.count("\n") == 1


def save_run(run: Run, model: GPT, **more: str) -> None:
    run.describe("", CONFIG, TrainConfig(), TOKENIZER, **more)
    if isinstance(model, LoRA):
        save_adapter(model, run.checkpoint_file)
    else:
        tensors = checkpoint.model_tensors(model.params)
        checkpoint.save(run.checkpoint_file, tensors, model.described())


@pytest.mark.parametrize("command", ["finetune", "eval"])
def test_an_unknown_task_is_one_line(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path / "base")
    save_run(run, MODEL)
    assert main([command, str(run.folder), "--tasks", "fact"]) == 1
    err = capsys.readouterr().err
    assert "did you mean 'facts'?" in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["base"]
