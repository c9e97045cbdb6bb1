"""Does an embedding learned by skip-gram speed up pretraining? Curves and tables.

    gptlite data fetch encyclopedia
    python benchmarks/bridge.py --out runs/bridge --picture docs/text/bridge.png

Twelve runs of `baby`: four beginnings of the token embedding, three seeds. A seed has
its own vectors; the weights besides the embedding, and the batches, are the same in its
four runs. Neither the tokenizer nor the vectors see the validation part.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from gptlite import files, plots
from gptlite.config import SkipGram, preset
from gptlite.data.fetch import fetch
from gptlite.data.sources import source
from gptlite.text.dataset import Dataset
from gptlite.text.learn import train_bpe
from gptlite.text.skipgram import learn_word_vectors
from gptlite.text.token_vectors import tokens_of
from gptlite.text.tokenizer import Tokenizer
from gptlite.text.word_vectors import WordVectors
from gptlite.training.pretrain import pretrain

SEEDS = (0, 1, 2)
BEGINNINGS = ("random", "vectors", "centred", "shuffled")
TOKENS, EVERY = 2048, 50  # of the vocabulary; steps between evaluations
SHOWN = (50, 100, 200, 400, 800, 1200)  # steps
REACHED = (5.5, 5.0, 4.75, 4.5, 4.4)  # losses
TRAINING = {
    "batch_size": 16, "steps": 1200, "learning_rate": 3e-3,
    "final_learning_rate": 3e-4, "eval_every": EVERY, "eval_windows": 256,
    "sample_every": 0, "checkpoint_every": 0,
}  # fmt: skip


def prepare(folder: Path) -> tuple[Tokenizer, str]:
    """Write text.txt and tokenizer.json; returns the tokenizer and the training part.

    The text: the English extracts of the encyclopedia, in random order.
    """
    file = next(fetch(source("encyclopedia")).rglob("summaries_en-us.json"))
    articles = json.loads(file.read_text(encoding="utf-8")).values()
    extracts = [article["extract"] for article in articles if article["extract"]]
    order = np.random.default_rng(0).permutation(len(extracts))
    text = "\n\n".join(extracts[i] for i in order)
    seen = text[: int(0.85 * len(text))]
    tokenizer = train_bpe([seen], TOKENS)
    data = Dataset.of(text, tokenizer, preset("baby")[0].context_length)
    training = tokenizer.decode(data.train)
    assert training.startswith(seen)
    folder.mkdir(parents=True, exist_ok=True)
    files.write_text(folder / "text.txt", text)
    files.write_text(folder / "tokenizer.json", json.dumps(tokenizer.to_json()))
    print(f"{len(text):,} characters, {len(data.train):,} training and "
          f"{len(data.validation):,} validation tokens", flush=True)  # fmt: skip
    return tokenizer, training


def write_vectors(folder: Path, sentences: list[list[str]], seed: int) -> None:
    """vectors.txt, the same with the mean removed, and with rows given to others."""
    size = preset("baby")[0].n_embd
    learned = learn_word_vectors(sentences, SkipGram(size=size, seed=seed, workers=1))
    words, rows = learned.words, learned.vectors
    learned.save(folder / "vectors.txt")
    WordVectors(words, rows - rows.mean(axis=0)).save(folder / "centred.txt")
    others = np.random.default_rng(seed).permutation(rows)
    WordVectors(words, others).save(folder / "shuffled.txt")


def curve(folder: Path, beginning: str, seed: int) -> np.ndarray:
    """Validation losses of one run, every EVERY steps."""
    tokenizer = str(folder / "tokenizer.json")
    model, training = preset("baby", tokenizer=tokenizer, seed=seed, **TRAINING)
    vectors = None if beginning == "random" else str(folder / f"{beginning}.txt")
    result = pretrain(
        str(folder / f"{beginning}-{seed}"), str(folder / "text.txt"), model, training,
        replace=True, init_embeddings=vectors,
    )  # fmt: skip
    print(f"{beginning}, seed {seed}: {result.rows_set} rows set, loss over the whole "
          f"validation part {result.summary.val_loss:.4f}", flush=True)  # fmt: skip
    return np.array([r["val_loss"] for r in result.run.metrics() if "val_loss" in r])


def steps_to(losses: np.ndarray, wanted: float) -> float:
    """When a curve first is at most `wanted`, between evaluations in a line."""
    i = int(np.argmax(losses <= wanted))
    if losses[i] > wanted:
        return np.nan
    if i == 0:
        return EVERY
    return EVERY * (i + (losses[i - 1] - wanted) / (losses[i - 1] - losses[i]))


def table(first: str, rows: dict[str, np.ndarray], digits: int) -> None:
    """A line for each row: the mean over the seeds, and half the range."""
    print(f"\n| {first} | " + " | ".join(BEGINNINGS) + " |\n" + "| --- " * 5 + "|")
    for name, found in rows.items():  # (beginnings, seeds)
        cells = [f"{x.mean():.{digits}f} ± {np.ptp(x) / 2:.{digits}f}" for x in found]
        cells = ["not reached" if "nan" in cell else cell for cell in cells]
        print(f"| {name} | " + " | ".join(cells) + " |")


def draw(curves: dict[str, np.ndarray], path: str) -> None:
    """The picture: three of the four beginnings."""
    shown = {"random rows": "random", "skip-gram vectors": "vectors",
             "the same, shuffled": "shuffled"}  # fmt: skip
    steps = EVERY * np.arange(1, curves["random"].shape[1] + 1)
    ax = plots.mean_curves(steps, {label: curves[k] for label, k in shown.items()})
    ax.set_title("Where the token embedding begins", fontsize=16)
    plots.save(ax, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="runs/bridge", metavar="DIR")
    parser.add_argument("--picture", default="bridge.png", metavar="PNG")
    args = parser.parse_args()
    folder = Path(args.out)
    tokenizer, training = prepare(folder)
    sentences = tokens_of(training, tokenizer)
    found: dict[str, list[np.ndarray]] = {name: [] for name in BEGINNINGS}
    for seed in SEEDS:
        write_vectors(folder, sentences, seed)
        for name in BEGINNINGS:
            found[name].append(curve(folder, name, seed))
    curves = {name: np.array(runs) for name, runs in found.items()}
    losses = np.array(list(curves.values()))  # (beginnings, seeds, evaluations)
    table("step", {f"{s:,}": losses[..., s // EVERY - 1] for s in SHOWN}, 3)
    needed = {f"{wanted}": np.apply_along_axis(steps_to, 2, losses, wanted)
              for wanted in REACHED}  # fmt: skip
    table("loss", needed, 0)
    draw(curves, args.picture)


if __name__ == "__main__":
    main()
