"""float32 against bfloat16 products: the same recipe, loss curves on several seeds.

    python benchmarks/precision.py --text FILE --out docs/kernels/bfloat16.png

Trains `nanogpt-cpu` with either dtype on seeds 0, 1 and 2 (six runs, some minutes),
draws the curves, and prints the losses over the whole validation split as a table.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from gptlite.config import DTYPES, preset
from gptlite.plots import BLUE, ORANGE, new_axes, save, styled
from gptlite.training.pretrain import pretrain

SEEDS = (0, 1, 2)
EVERY = 100  # steps between evaluations


def curve(folder: Path, text: str, dtype: str, seed: int) -> tuple[np.ndarray, float]:
    """(step, validation loss) rows of one run, and the loss over the whole split."""
    model, training = preset("nanogpt-cpu", dtype=dtype, seed=seed, eval_every=EVERY)
    out = folder / f"{dtype}-{seed}"
    result = pretrain(str(out), text, model, training)
    lines = result.run.metrics_file.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    points = [(row["step"], row["val_loss"]) for row in rows if "val_loss" in row]
    return np.array(points), result.summary.val_loss


@styled()
def draw(curves: dict[str, list[np.ndarray]], out: str) -> None:
    ax = new_axes(9, 5.5)
    for (dtype, found), color, dash in zip(
        curves.items(), (BLUE, ORANGE), ("-", "--"), strict=True
    ):
        for seed, points in enumerate(found):
            label = f"{dtype}, {len(found)} seeds" if seed == 0 else None
            ax.plot(*points.T, dash, color=color, alpha=0.8, label=label)
    ax.set(xlabel="step", ylabel="validation loss (nats a character)",
           title="The same training with rounded products")  # fmt: skip
    ax.legend(frameon=False)
    save(ax, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", default="sample", metavar="PATH")
    parser.add_argument("--out", default="precision.png", metavar="PNG")
    args = parser.parse_args()
    curves: dict[str, list[np.ndarray]] = {dtype: [] for dtype in DTYPES}
    print("| seed | " + " | ".join(DTYPES) + " | difference |\n" + "| --- " * 4 + "|")
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            losses = []
            for dtype in DTYPES:
                points, loss = curve(Path(folder), args.text, dtype, seed)
                curves[dtype].append(points)
                losses.append(loss)
            cells = " | ".join(f"{loss:.4f}" for loss in losses)
            print(f"| {seed} | {cells} | {losses[1] - losses[0]:+.4f} |", flush=True)
    draw(curves, args.out)


if __name__ == "__main__":
    main()
