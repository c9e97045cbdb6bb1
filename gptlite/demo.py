"""`gptlite demo`: the road so far, in a minute and a half on a laptop."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import numpy as np

from gptlite.config import preset
from gptlite.errors import GptliteError
from gptlite.models.generate import stream
from gptlite.models.sampling import Sampling
from gptlite.training.pretrain import Result, pretrain
from gptlite.training.report import write_report

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: list[float]) -> str:
    """The values as a row of bars, the smallest a thin one, the largest a whole one.

    >>> sparkline([4.0, 2.0, 1.0])
    '█▃▁'
    """
    low, span = min(values), max(values) - min(values)
    return "".join(BARS[round(7 * (v - low) / span) if span else 0] for v in values)


def run_demo(out: str, seconds: float | None, started: float) -> Result:
    """Train on the plays in the package, show what happened, write the report."""
    changes: dict[str, Any] = {} if seconds is None else {"seconds": seconds}
    model, training = preset("demo", **changes)
    print(f"Training a small GPT on five plays of Shakespeare for "
          f"{training.seconds:.0f} s …", flush=True)  # fmt: skip
    result = pretrain(out, "sample", model, training, started=started, replace=True)
    measured = [r["val_loss"] for r in result.run.metrics() if "val_loss" in r]
    summary = result.summary
    if measured:
        print(f"validation loss  {sparkline(measured)}  "
              f"{measured[0]:.2f} → {measured[-1]:.2f} nats a character")  # fmt: skip
    print(f"{summary.steps:,} steps, {summary.tokens_per_s:,.0f} characters a second, "
          f"{result.model.n_params:,} parameters")  # fmt: skip
    if result.run.samples_file.exists():
        texts = result.run.samples_file.read_text(encoding="utf-8").split("── step ")[
            1:
        ]
        for text in dict.fromkeys([texts[0], texts[-1]]):
            print(f"\n── step {text.strip()}")
    write_report(result.run, summary, result.model.n_params, "gptlite demo")
    print(f"\nThe learning curve and all samples: {result.run.report_file}")
    return result


def offer_prompt(result: Result) -> None:
    """Continue what the user writes, until an empty line."""
    with contextlib.suppress(ImportError):  # line editing, where the system has it
        import readline  # noqa: F401
    rng = np.random.default_rng()
    print("\nWrite the beginning of a line, and the model goes on (empty: the end).")
    while True:
        try:
            prompt = input("> ")
        except EOFError:
            print()
            return
        if not prompt:
            return
        tokens = stream(
            result.model, result.tokenizer, prompt, 200, Sampling(0.8), rng=rng
        )
        try:
            for i, token in enumerate(tokens):
                print(prompt * (i == 0) + token.text, end="", flush=True)
        except GptliteError as error:
            print(error, end="", file=sys.stderr)
        except KeyboardInterrupt:  # enough of this answer
            pass
        print()
