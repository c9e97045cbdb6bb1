"""What one question to the model in the box takes on this computer, and costs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from gptlite.assistant.chat import Chat
from gptlite.cluster.bill import Electricity, by_utilization
from gptlite.cluster.serving import ServeConfig
from gptlite.models.answer import RunTool
from gptlite.training.run import open_run

QUESTIONS = (
    "Who was Marie Curie?", "What is an owl?", "Translate to French: dog",
    "What is 12 * 7?", "Hello, how are you?",
)  # fmt: skip
ROUNDS = 5  # times all of them; the first only warms up


def price_of_a_question(
    run: str, electricity: Electricity, tool: RunTool
) -> dict[str, Any]:
    """Median seconds of QUESTIONS to the model of a run, each in a chat of its own, and
    what they cost beside SemiAnalysis' estimate for ChatGPT."""
    model, tokenizer = open_run(run).load()
    times, lengths = list[float](), list[int]()
    for turn in range(ROUNDS):
        for question in QUESTIONS:
            chat = Chat(model, tokenizer, tool, rng=np.random.default_rng(0))
            start = time.perf_counter()
            answer = "".join(chat.reply(question))
            if turn:
                times.append(time.perf_counter() - start)
                lengths.append(len(tokenizer.encode(answer)))
    seconds = float(np.median(times))
    cents, theirs = electricity.cents(seconds), by_utilization(ServeConfig())
    return {
        "model": run, "parameters": model.n_params,
        "seconds": round(seconds, 4), "tokens": float(np.median(lengths)),
        "watts": electricity.watts, "cents": float(f"{cents:.3g}"),
        "questions_a_cent": round(1 / cents) if cents > 1e-15 else None,
        "chatgpt_cents": round(theirs.cents_per_query, 2),
    }  # fmt: skip
