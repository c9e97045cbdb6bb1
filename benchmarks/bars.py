"""Every bar, measured by its own command, as one Markdown table.

    pip install -e '.[bench]'
    gptlite data fetch encyclopedia books dialogue gpt2-vocabulary
    python benchmarks/bars.py                # a quarter of an hour
    python benchmarks/bars.py --text FILE    # and the two whole training runs

FILE is the text that the losses of nanoGPT are published for (1,115,394 characters of
Shakespeare). Leave the machine alone meanwhile. Look at the `blas` that `gptlite info`
shows: an OPENBLAS_CORETYPE in the environment may hold NumPy's products, and with them
the roofline, below what the processor can do. Unset it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

# command, key of its JSON, bar, whether more is better
Bar = tuple[str, str, float, bool]
BARS: list[Bar] = [
    ("bench matmul", "ratio", 1.0, True),
    ("bench matmul", "odd_sizes_ratio", 0.95, True),
    ("bench matmul --dtype bfloat16", "ratio", 1.8, True),
    ("bench train --preset baby --against torch", "ratio", 1.7, True),
    ("bench train --preset baby --against torch", "roofline_share", 0.75, True),
    ("bench train --preset small --against torch", "ratio", 1.25, True),
    ("bench train --preset small --against torch", "roofline_share", 0.82, True),
    ("bench train --preset shake --against torch", "ratio", 1.25, True),
    ("bench train --preset shake --against torch", "roofline_share", 0.87, True),
    ("bench train --preset bpe --against torch-compile", "ratio", 1.35, True),
    ("bench train --preset shake --dtype bfloat16 --against torch", "ratio", 1.3, True),
    ("bench train --preset shake --dtype bfloat16 --against torch-float32", "ratio",
     2.0, True),
    ("bench attention --against torch", "ratio", 2.0, True),
    ("bench scaling --preset baby", "ratio", 1.75, True),
    ("bench first-step --preset baby", "cold_seconds", 15.0, False),
    ("bench first-step --preset baby", "warm_seconds", 2.0, False),
    ("bench memory --preset shake --against torch", "ratio", 1.0, True),
    ("bench import", "seconds_beyond_numpy", 0.15, False),
    ("bench bpe --against peers", "rows.0.ratio_tokenizers", 0.7, True),
    ("bench bpe --against peers", "rows.1.ratio_tiktoken", 0.5, True),
    ("bench bpe --against peers", "rows.1.ratio_tokenizers", 2.5, True),
    ("bench vectors --against peers", "rows.0.ratio_gensim", 1.0, True),
    ("data build --out runs/bars-corpus", "seconds", 40.0, False),
    ("bench finetune", "ratio", 0.9, True),
    ("bench chat", "first_token_seconds", 2.0, False),
    ("bench chat", "tokens_per_s", 600.0, True),
    ("bench ppo --against torch", "ratio", 1.5, True),
    ("eval mini -n 2500 --tasks facts", "tasks.facts.parts.known", 0.6, True),
    ("eval mini -n 2500 --tasks facts", "tasks.facts.parts.refused", 0.7, True),
    ("eval mini -n 500 --tasks rewrite", "tasks.rewrite.score", 0.7, True),
    ("eval mini -n 500 --tasks numbers", "tasks.numbers.score", 0.8, True),
    ("eval mini -n 500 --tasks translate", "tasks.translate.score", 0.6, True),
]  # fmt: skip


def runs_on(text: str) -> list[Bar]:
    """The two whole trainings, on the text in this file."""
    recipe = f"pretrain --preset nanogpt-cpu --text {text}"
    speedrun = f"pretrain --preset speedrun --text {text}"
    return [
        (recipe, "val_loss", 1.93, False),
        (recipe, "seconds", 60.0, False),
        (speedrun, "val_loss", 1.50, False),
        (speedrun, "seconds", 180.0, False),
    ]


def measure(command: str) -> dict[str, Any]:
    """The JSON object that `gptlite COMMAND --json` prints last."""
    words = [sys.executable, "-m", "gptlite", *command.split(), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def figure(result: Any, key: str) -> float:
    """result["rows"][0]["ratio"] for the key rows.0.ratio"""
    for part in key.split("."):
        result = result[int(part) if part.isdecimal() else part]
    return float(result)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--text", metavar="FILE")
    text = parser.parse_args().text
    measured: dict[str, dict[str, Any]] = {}
    missed = 0
    print("| command | figure | bar | seen | |\n|---|---|---|---|---|")
    for command, key, bar, more in BARS + (runs_on(text) if text else []):
        if command not in measured:
            measured[command] = measure(command)
        seen = figure(measured[command], key)
        met = seen >= bar if more else seen <= bar
        missed += not met
        sign, verdict = "≥" if more else "≤", "met" if met else "MISSED"
        cells = (f"`{command}`", key, f"{sign} {bar}", f"{seen:.4g}", verdict)
        print(f"| {' | '.join(cells)} |", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
