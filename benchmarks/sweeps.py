"""Which shape the recipe's model is to have: small trainings, a picture, a table.

    python benchmarks/sweeps.py --out runs/sweeps --picture docs/training/scaling.png

Three sizes, each with two budgets of tokens; then, at one size and budget, vocabularies
and learning rates. Everything else is the recipe's (gptlite/recipe.py), texts too. What
was measured stays in OUT/*.json: a sweep that was stopped goes on. Losses do not depend
on how busy the machine is; the minutes do.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from gptlite import files, plots, recipe
from gptlite.config import GPTConfig
from gptlite.corpus.build import build_corpus
from gptlite.corpus.corpus import is_corpus
from gptlite.training.pretrain import pretrain

SIZES = {  # layers, heads, channels
    "small": (4, 4, 128), "medium": (6, 6, 192), "mini": (6, 8, 256),
}  # fmt: skip
BUDGETS = (1_000_000, 4_000_000)  # tokens
VOCABULARIES = (2048, 8192)  # the recipe's is the third
RATES = (1e-3, 6e-3)  # the recipe's is the third


def corpus_of(folder: Path, vocab_size: int) -> str:
    """The recipe's texts, with a vocabulary of this size."""
    path = folder / f"corpus-{vocab_size}"
    if not is_corpus(path):
        config = dataclasses.replace(recipe.CORPUS, vocab_size=vocab_size)
        build_corpus(path, recipe.texts(sample=False), config)
    return str(path)


def measure(
    folder: Path, size: str, tokens: int, vocab_size: int, rate: float
) -> dict[str, Any]:
    """One training, or what is known of it already."""
    file = folder / f"{size}-{tokens}-{vocab_size}-{rate:g}.json"
    if file.exists():
        return dict(json.loads(file.read_text(encoding="utf-8")))
    layers, heads, channels = SIZES[size]
    T = recipe.MODEL.context_length
    model = GPTConfig(layers, heads, channels, T, vocab_size)
    steps = round(tokens / T / recipe.PRETRAINING.batch_size)
    training = dataclasses.replace(
        recipe.PRETRAINING, steps=steps, learning_rate=rate, eval_every=0,
        sample_every=0, checkpoint_every=0,
    )  # fmt: skip
    result = pretrain(str(folder / "run"), corpus_of(folder, vocab_size), model,
                      training, replace=True)  # fmt: skip
    found = {
        "size": size, "parameters": result.model.n_params, "tokens": tokens,
        "vocabulary": vocab_size, "learning_rate": rate,
        "bits_per_byte": result.summary.bits_per_byte,
        "minutes": result.summary.seconds / 60,
    }  # fmt: skip
    files.write_text(file, json.dumps(found))
    print(json.dumps(found), flush=True)
    return found


def table(rows: list[dict[str, Any]]) -> None:
    print("\n| model | parameters | tokens | vocabulary | learning rate | bits a byte |"
          " minutes |\n|" + "---|" * 7)  # fmt: skip
    for r in rows:
        print(f"| {r['size']} | {r['parameters'] / 1e6:.1f} M | "
              f"{r['tokens'] / 1e6:.1f} M | {r['vocabulary']:,} | "
              f"{r['learning_rate']:g} | {r['bits_per_byte']:.3f} | "
              f"{r['minutes']:.1f} |")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="runs/sweeps", metavar="DIR")
    parser.add_argument("--picture", default="scaling.png", metavar="PNG")
    args = parser.parse_args()
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    V, rate = recipe.CORPUS.vocab_size, recipe.PRETRAINING.learning_rate
    sizes = [measure(folder, size, n, V, rate) for n in BUDGETS for size in SIZES]
    others = [measure(folder, "medium", BUDGETS[0], v, rate) for v in VOCABULARIES]
    others += [measure(folder, "medium", BUDGETS[0], V, r) for r in RATES]
    table(sizes + others)
    plots.save(plots.scaling(sizes), args.picture)
    for name in SIZES:
        few, many = (r["bits_per_byte"] for r in sizes if r["size"] == name)
        slope = math.log(many / few) / math.log(BUDGETS[1] / BUDGETS[0])
        print(f"{name}: bits a byte ~ tokens^{slope:.3f}")


if __name__ == "__main__":
    main()
