"""Answers, evaluation and the chat: on a small model that learned to echo."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from gptlite.assistant import terminal
from gptlite.assistant.chat import Chat
from gptlite.assistant.evaluate import answer_bits, asked_part, evaluate_task
from gptlite.cli import main
from gptlite.config import GPTConfig, TrainConfig
from gptlite.errors import DataError
from gptlite.models.answer import answers
from gptlite.models.gpt import GPT
from gptlite.models.look import attention_weights
from gptlite.models.sampling import Sampling
from gptlite.parallel.pool import WorkerPool
from gptlite.text.chat import SPECIAL, Conversation, conversation, pack, render
from gptlite.text.learn import train_bpe
from gptlite.training.step import Trainer

WORDS = ["owl", "fox", "cat", "dog"]
TOKENIZER = train_bpe([" ".join(f"say {w} look {w}" for w in WORDS)] * 9, 300,
                      special=SPECIAL)  # fmt: skip


class Echo:
    """Say a word again; of "look", ask the tool first."""

    name, source, metric = "echo", "made up", "the same word"

    def draw(self, rng: np.random.Generator) -> Conversation:
        word = WORDS[int(rng.integers(len(WORDS)))]
        if rng.random() < 0.5:
            return conversation(("user", f"say {word}"), ("assistant", word))
        return conversation(
            ("user", f"look {word}"), ("call", f"look {word}"), ("tool", f" {word}"),
            ("assistant", f"look {word}"),
        )  # fmt: skip

    def test(self, n: int) -> list[Conversation]:
        return [self.draw(np.random.default_rng(i)) for i in range(n)]

    def score(self, asked: Conversation, answer: str) -> float:
        return float(answer == asked[-1].content)

    def baseline(self, asked: Conversation, rng: np.random.Generator) -> str:
        return "owl"


@pytest.fixture(scope="module")
def model() -> GPT:
    config = GPTConfig(2, 2, 32, context_length=64, vocab_size=TOKENIZER.vocab_size)
    trained, rng = GPT(config), np.random.default_rng(0)
    talks = [sum((Echo().draw(rng) for _ in range(i % 3 + 1)), ()) for i in range(90)]
    batch = pack([render(talk, TOKENIZER) for talk in talks], 64)
    with WorkerPool(1) as pool:
        trainer = Trainer(trained, TrainConfig(learning_rate=1e-2), pool)
        losses = [trainer.step([batch]).loss for _ in range(120)]
    assert losses[-1] < 0.05
    return trained


def tool(call: str, so_far: Conversation) -> str:
    assert so_far[-1].role in ("user", "tool")  # it does not hold the call
    return call.removeprefix("look")


def test_tools_are_called_on_the_way_to_an_answer(model: GPT) -> None:
    asked = [conversation(("user", "look fox")), conversation(("user", "say dog"))]
    looked, said = answers(model, TOKENIZER, asked, tool, rng=np.random.default_rng(0))
    assert [(m.role, m.content) for m in looked.turns] == [
        ("call", "look fox"), ("tool", " fox"), ("assistant", "look fox"),
    ]  # fmt: skip
    assert said.text == "dog" and said.finished and looked.finished


def test_a_model_that_calls_for_ever_is_stopped(model: GPT) -> None:
    always = [conversation(("user", "look fox"))]
    calls: list[str] = []

    def again(call: str, so_far: Conversation) -> str:
        calls.append(call)
        return "<|end|>"  # no special token, but text

    found = answers(model, TOKENIZER, always, again, 3, rng=np.random.default_rng(0))
    assert len(calls) <= 5
    assert found[0].turns


def test_evaluation_tells_score_interval_baseline_and_samples(
    model: GPT, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptlite.assistant.evaluate.tools", tool)
    found = evaluate_task(Echo(), model, TOKENIZER, 40)
    assert found["score"] == 1.0 and found["n"] == 40
    assert found["interval"][0] > 0.85 and found["interval"][1] == 1.0
    assert found["baseline"] < 0.5
    assert len(found["samples"]) == 5
    assert found["samples"][0]["answer"] == found["samples"][0]["right"]
    untrained = GPT(model.config)
    assert evaluate_task(Echo(), untrained, TOKENIZER, 40)["score"] < 0.1


def test_likelihood_is_the_loss_in_bits(model: GPT) -> None:
    some = Echo().test(6)
    bits, sizes = answer_bits(model, TOKENIZER, some)
    untrained, _ = answer_bits(GPT(model.config), TOKENIZER, some)
    assert sum(bits) < 0.1 * sum(untrained)
    assert (
        sizes[0] == len((some[0][-1].content + "<|end|>").encode()) or len(some[0]) > 2
    )
    too_long = conversation(("user", "say " * 200), ("assistant", "owl"))
    assert answer_bits(model, TOKENIZER, [too_long]) == ([], [])
    assert asked_part(some[0])[-1].role == "user"


@pytest.fixture
def chat(model: GPT) -> Chat:
    return Chat(model, TOKENIZER, tool, Sampling(temperature=0), longest=12,
                rng=np.random.default_rng(0))  # fmt: skip


def test_a_chat_answers_piece_by_piece_and_remembers(chat: Chat) -> None:
    assert "".join(chat.reply("look owl")) == "look owl"
    assert [m.role for m in chat.messages] == ["user", "call", "tool", "assistant"]
    for _ in range(12):  # far more than the context holds
        "".join(chat.reply("say dog"))
    assert len(chat.messages) >= 28
    chat.reset()
    assert "".join(chat.reply("say cat")) == "cat"


def test_why_names_alternatives_and_where_the_model_looked(chat: Chat) -> None:
    with pytest.raises(DataError, match="wanted an answer to explain"):
        chat.why()
    "".join(chat.reply("say fox"))
    rows = chat.why()
    assert "".join(row["token"] for row in rows).replace("␣", " ") == "fox"
    assert "100%" in rows[0]["likely"] or "9" in rows[0]["likely"]
    assert rows[0]["looked at"]


def test_what_fails_leaves_the_history_as_it_was(chat: Chat) -> None:
    "".join(chat.reply("say fox"))
    before = chat.messages
    with pytest.raises(DataError, match="shorten"):
        list(chat.reply("say " * 100))
    assert chat.messages == before


def test_attention_weights_are_probabilities_of_the_past(model: GPT) -> None:
    ids = render(Echo().test(1)[0], TOKENIZER).ids
    weights = attention_weights(model, ids)
    assert weights.shape == (2, 2, len(ids), len(ids))
    assert np.allclose(weights.sum(axis=-1), 1, atol=1e-5)
    assert not np.triu(weights, 1).any()


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_the_chat_works_in_a_pipe(
    chat: Chat, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    file = tmp_path / "talk.jsonl"
    typed(monkeypatch, "say cat\n\n/why\n/temperature 0.5\n/system be brief\n"
          f"/save {file}\n/reset\n/nonsense\n/temperature hot\nsay dog")  # fmt: skip
    with pytest.raises(DataError, match="2 that failed"):
        terminal.talk(chat)
    out, err = capsys.readouterr()
    assert out.startswith("cat\n") and "saved 2 turns" in out
    assert "wanted a command among /system" in err and "got /nonsense" in err
    assert "temperature" in err and "Traceback" not in err
    assert chat.sampling.temperature == 0.5 and chat.system == "be brief"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["role"] for row in rows] == ["user", "assistant"]
    assert len(chat.messages) == 2  # after /reset


@pytest.mark.parametrize("command", ["finetune", "eval", "chat"])
def test_a_run_that_is_not_there_is_one_line(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(tmp_path / "none")]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "none" in err
