"""PPO with one detail switched off at a time: docs/alignment/ppo.md, last column.

    python benchmarks/ablations.py mini --reward runs/reward --rater politeness

All begin with the same weights and reward model and take the same number of rounds.
What was measured stays in OUT/*.json. Prints a table.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from gptlite import files
from gptlite.alignment.align import align
from gptlite.alignment.learn import judges_of, prompts_for
from gptlite.alignment.settings import Alignment, PPOConfig
from gptlite.alignment.train_reward import RewardModel

CHANGES: dict[str, dict[str, Any]] = {
    "as it is": {}, "D3 unfinished 0": {"unfinished": 0.0},
    "D5 kl_weight 0": {"kl_weight": 0.0, "kl_target": 0.0},
    "D7 constant weight 0.3": {"kl_weight": 0.3, "kl_target": 0.0},
    "D9 gamma 0.95": {"gamma": 0.95}, "D10 lam 1": {"lam": 1.0},
    "D13 no whitening": {"whiten": False}, "D15 no clip": {"clip": 1e9},
    "D16 no value clip": {"value_clip": 1e9}, "D17 value_weight 0":
    {"value_weight": 0.0}, "D18 entropy_weight 0.01": {"entropy_weight": 0.01},
    "D19 one epoch": {"epochs": 1}, "D20 one minibatch": {"minibatch": 128},
    "D22 kl_stop 0": {"kl_stop": 0.0}, "D25 no warm-up": {"warmup": 0},
    "D28 all weights": {"rank": 0, "learning_rate": 2e-5},
    "D29 so_far off": {"so_far": False}, "D32 average 0": {"average": 0.0},
}  # fmt: skip
SHOWN = ("reward_end_mean", "learned_end_mean", "kl_nats", "distinct2_ratio",
         "length_ratio", "seconds")  # fmt: skip


def measure(args: argparse.Namespace, name: str, seed: int) -> dict[str, Any]:
    """One run, or what is known of it already."""
    slug = "-".join(name.replace(",", "").split())
    file = Path(args.out) / f"{slug}-{seed}.json"
    if file.exists():
        return dict(json.loads(file.read_text(encoding="utf-8")))
    changes = dict(CHANGES[name])
    rank = changes.pop("rank", Alignment().rank)
    what = Alignment(args.rounds, rank=rank, seed=seed)
    reward = RewardModel.load(args.reward)
    prompts = prompts_for(reward.model, reward.tokenizer)
    found = align(args.base, f"{args.out}/run", prompts.learned, prompts.asked,
                  judges_of(reward, args.rater),
                  dataclasses.replace(PPOConfig(), **changes), what)  # fmt: skip
    files.write_text(file, json.dumps(found))
    print(name, seed, json.dumps(found), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", metavar="RUN")
    parser.add_argument("--reward", required=True, metavar="RUN")
    parser.add_argument("--rater", default="politeness", metavar="NAME")
    parser.add_argument("--out", default="runs/ablations", metavar="DIR")
    parser.add_argument("--rounds", type=int, default=25, metavar="N")
    parser.add_argument("--seeds", type=int, default=2, metavar="N")
    args = parser.parse_args()
    print("| | " + " | ".join(SHOWN) + " |\n|" + "---|" * (len(SHOWN) + 1))
    for name in CHANGES:
        rows = [measure(args, name, seed) for seed in range(args.seeds)]
        cells = []
        for key in SHOWN:
            values = np.array([row[key] for row in rows])
            cells.append(f"{values.mean():.2f} ± {values.std():.2f}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
