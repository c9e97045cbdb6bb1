"""The assistant: fine-tuning steps against pretraining, and how fast it answers."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import numpy as np

from gptlite.bench.timing import alternate, device, median, ratio
from gptlite.bench.train import random_batch
from gptlite.errors import GptliteError
from gptlite.models.generate import Decoder, TextStream
from gptlite.models.gpt import GPT
from gptlite.models.lora import LoRA
from gptlite.models.sampling import Sampling, sample
from gptlite.parallel.pool import WorkerPool, available_cores
from gptlite.recipe import FINETUNING, TASK_WEIGHTS
from gptlite.tasks.registry import load_task
from gptlite.training.conversations import assistant_task, draw_conversations, mixture
from gptlite.training.run import open_run
from gptlite.training.step import Trainer

ASKED = "What is Paris?"


def bench_finetune(rounds: int = 7) -> dict[str, Any]:
    """Tokens a second of fine-tuning at the shape of the model in the package.

    Packed conversations with their mask, drawn anew for each step, against pretraining
    steps on random tokens; and with a LoRA adapter of rank 8.
    """
    model, tokenizer = open_run("mini").load()
    T, weights = model.config.context_length, mixture(TASK_WEIGHTS.tasks)
    rng = np.random.default_rng(0)
    rendered = draw_conversations(
        {name: load_task(name) for name in weights}, weights, 2000, tokenizer, T + 1,
        rng=rng,
    )  # fmt: skip
    task = assistant_task(rendered, tokenizer, FINETUNING, T)
    plain = random_batch(model.config, FINETUNING)
    with WorkerPool(available_cores()) as pool:
        full, adapter = (
            Trainer(m, FINETUNING, pool)
            for m in (GPT(model.config), LoRA(GPT(model.config), 8))
        )
        times = alternate(
            [
                lambda: full.step([task.next_batch(rng)]),
                lambda: full.step([plain]),
                lambda: adapter.step([task.next_batch(rng)]),
            ],
            rounds,
        )  # fmt: skip
    return {
        "benchmark": "finetune", "device": device(), "dtype": FINETUNING.dtype,
        "tokens_per_s": round(plain.ids.size / median(times[0])),
        "pretraining_tokens_per_s": round(plain.ids.size / median(times[1])),
        "ratio": round(ratio(times[0], times[1]), 3),
        "lora_ratio": round(ratio(times[2], times[1]), 3),
    }  # fmt: skip


def first_token_seconds() -> float:
    """From the start of `gptlite chat` to the first words of its answer."""
    command = [sys.executable, "-m", "gptlite", "chat", "mini", "--temperature", "0"]
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdin and child.stdout and child.stderr
        child.stdin.write(ASKED.encode() + b"\n")
        child.stdin.close()
        first = child.stdout.read(1)
        seconds = time.perf_counter() - start
        if not first:
            raise GptliteError(f"the chat said nothing: {child.stderr.read()[-500:]!r}")
        child.stdout.read()
    return seconds


def bench_chat(rounds: int = 5) -> dict[str, Any]:
    """Seconds from the start of `gptlite chat` to the first token, kernels compiled;
    and tokens a second of an answer that fills the context, sampled and decoded."""
    first_token_seconds()  # compiles what is not in the cache
    starts = [first_token_seconds() for _ in range(rounds)]
    model, tokenizer = open_run("mini").load()
    prompt = tokenizer.encode(ASKED).tolist()
    new = model.config.context_length - len(prompt) - 1
    sampling, rng = Sampling(temperature=0.7, top_p=0.9), np.random.default_rng(0)

    def speak() -> None:  # as a chat does, but past the end of a turn
        decoder = Decoder(model, tokenizer.vocab_size, [prompt])
        text = TextStream(tokenizer, ())
        for _ in range(new):
            ids, _ = sample(decoder.logits, decoder.seen, sampling, rng=rng)
            text.push(int(ids[0]))
            decoder.append(ids)

    speed = alternate([speak], rounds)[0]
    return {
        "benchmark": "chat", "device": device(),
        "first_token_seconds": round(median(starts), 2),
        "tokens_per_s": round(new / median(speed)),
    }  # fmt: skip
