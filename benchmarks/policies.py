"""PPO, GRPO and DPO from one model, on the same ratings, with several seeds.

    python benchmarks/policies.py mini --out runs/policies

For each programmed rater and seed: a reward model from 2,000 pairs, then each method as
its command would. PPO and GRPO have as many rounds; DPO learns from the pairs of the
reward model. What was measured stays in OUT/*.json: what was stopped goes on. Prints
two tables; "minutes" are of ratings, reward model and policy, if nothing else runs.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from gptlite import files
from gptlite.alignment.align import align
from gptlite.alignment.grpo import GRPO
from gptlite.alignment.learn import (
    as_pairs,
    judges_of,
    learn_reward,
    prompts_for,
    rated_by_program,
    read_ratings,
    renewal,
)
from gptlite.alignment.ppo import PPO
from gptlite.alignment.settings import (
    IN_TIME,
    Alignment,
    DPOConfig,
    PPOConfig,
    RewardConfig,
)
from gptlite.alignment.train_dpo import train_dpo
from gptlite.alignment.train_reward import RewardModel

METHODS = {"ppo": PPO, "grpo": GRPO}
BEST_OF = 16
SHOWN = ("reward_start_mean", "reward_start_p95", "reward_end_mean", "kl_nats",
         "distinct2_ratio", "length_ratio", "gain_share", "best_of_mean",
         "reward_accuracy", "minutes")  # fmt: skip


def policy(base: str, out: Path, rater: str, method: str, seed: int, looked: int
           ) -> dict[str, Any]:  # fmt: skip
    """One policy, and what became of it."""
    judge = str(out / f"{rater}-{seed}-reward")
    config = RewardConfig(rater, reward_steps=IN_TIME)
    if not (Path(judge) / "held_out.jsonl").exists():
        start = time.perf_counter()
        _, found = learn_reward(base, judge, rated_by_program(base, config, seed),
                                config, seed, rater)  # fmt: skip
        found["seconds"] = time.perf_counter() - start
        files.write_text(out / f"{rater}-{seed}-reward.json", json.dumps(found))
    reward, run = RewardModel.load(judge), str(out / f"{rater}-{seed}-{method}")
    prompts, judges = (
        prompts_for(reward.model, reward.tokenizer, seed),
        judges_of(reward, rater),
    )
    if method == "dpo":
        pairs = [as_pairs(some) for some in read_ratings(judge)]
        return train_dpo(base, run, *pairs, prompts.asked, judges,
                         DPOConfig(seed=seed))  # fmt: skip
    what = Alignment(seed=seed, best_of=BEST_OF, looked=looked)
    renew = renewal(judge, f"{run}-reward-again", config, what.again, seed)
    found = align(base, run, prompts.learned, prompts.asked, judges, PPOConfig(), what,
                  METHODS[method], renew=renew)  # fmt: skip
    before = json.loads((out / f"{rater}-{seed}-reward.json").read_text("utf-8"))
    found["minutes"] = (before["seconds"] + found["seconds"]) / 60
    return found | {"reward_accuracy": before["accuracy"]}


def succeeded(row: dict[str, Any]) -> bool:
    """Issue's bar: beyond the 95th percentile, near, varied, of the same length."""
    return bool(
        row["reward_end_mean"] >= row["reward_start_p95"] and row["kl_nats"] <= 15
        and row["distinct2_ratio"] >= 0.6 and 0.5 <= row["length_ratio"] <= 2
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", metavar="RUN")
    parser.add_argument("--out", default="runs/policies", metavar="DIR")
    parser.add_argument("--raters", nargs="+", default=["politeness", "sentiment"])
    parser.add_argument("--methods", nargs="+", default=[*METHODS, "dpo"])
    parser.add_argument("--seeds", type=int, default=5, metavar="N")
    parser.add_argument("--looked", type=int, default=Alignment().looked, metavar="N",
                        help="answers a look; with 1024, gain_share is worth reading, "
                        "and minutes are not")  # fmt: skip
    args = parser.parse_args()
    out, rows = Path(args.out), list[dict[str, Any]]()
    for seed in range(args.seeds):
        for rater in args.raters:
            for method in args.methods:
                file = out / f"{rater}-{seed}-{method}.json"
                if not file.exists():
                    found = policy(args.base, out, rater, method, seed,
                                   args.looked)  # fmt: skip
                    found |= {"rater": rater, "method": method, "seed": seed}
                    files.write_text(file, json.dumps(found))
                rows.append(json.loads(file.read_text(encoding="utf-8")))
                print(rows[-1], flush=True)
    print("\n| rater | method | seed | " + " | ".join(SHOWN) + " | all of it |")
    print("|" + "---|" * (len(SHOWN) + 4))
    for row in rows:
        names = [row["rater"], row["method"], str(row["seed"])]
        cells = [f"{row[name]:.2f}" if name in row else "" for name in SHOWN]
        whole = "yes" if succeeded(row) else "no"
        print("| " + " | ".join([*names, *cells, whole]) + " |")
    print("\n| rater | method | end, mean ± spread over seeds | KL | succeeded |")
    print("|" + "---|" * 5)
    for rater in args.raters:
        for method in args.methods:
            some = [r for r in rows if (r["rater"], r["method"]) == (rater, method)]
            ends = np.array([r["reward_end_mean"] for r in some])
            far = np.mean([r["kl_nats"] for r in some])
            done = f"{sum(map(succeeded, some))} of {len(some)}"
            end = f"{ends.mean():.2f} ± {ends.std():.2f}"
            print(f"| {rater} | {method} | {end} | {far:.1f} | {done} |")


if __name__ == "__main__":
    main()
