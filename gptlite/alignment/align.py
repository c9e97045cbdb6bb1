"""A policy trained on rewards, as a run: measured before and after, watched between.

RUN/config.json tokenizer.json checkpoint/last.safetensors rounds.jsonl rounds.png
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from gptlite import files, plots
from gptlite.alignment.experience import sample_answers
from gptlite.alignment.measure import Judges, best_of, measure, truth_at
from gptlite.alignment.ppo import PPO
from gptlite.alignment.settings import Alignment, PPOConfig
from gptlite.alignment.watch import alarms, damaged
from gptlite.config import TrainConfig
from gptlite.errors import TrainingError
from gptlite.models.head import with_head
from gptlite.models.lora import LoRA, fingerprint
from gptlite.parallel.pool import WorkerPool, available_cores
from gptlite.text.chat import Conversation
from gptlite.training.loop import interruptible
from gptlite.training.run import Run, open_run

SHOWN = 5  # prompts whose answers are looked at throughout
EVERY = 10  # rounds between such looks

Rows = list[dict[str, Any]]


def align(
    base: str, out: str, prompts: Sequence[Conversation],
    asked: Sequence[Conversation], judges: Judges,
    config: PPOConfig = PPOConfig(),  # noqa: B008 - frozen
    what: Alignment = Alignment(),  # noqa: B008 - frozen
    method: type[PPO] = PPO, resume: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:  # fmt: skip
    """Train the run `base` as the run `out` on rewards, and say what became of them.

    prompts: to learn from. asked: to be measured on. A round with numbers that are none
    ends the training; the checkpoint is then of the last good round. resume: go on with
    the run in `out`, to the same bits; so may whoever stopped it by Ctrl-C.
    """
    source, run = open_run(base), Run(out)
    run.check_apart(source)
    model, tokenizer = source.load()
    rng = np.random.default_rng(what.seed)
    policy = with_head(LoRA(model, what.rank, rng=rng) if what.rank else model)
    known = fingerprint(model)
    described = {
        "base": str(source.folder.absolute()), "base_sha256": known,
        "alignment": dataclasses.asdict(config) | dataclasses.asdict(what),
        "method": method.__name__.lower(),
    }  # fmt: skip
    with WorkerPool(what.workers or available_cores()) as pool:
        ppo = method(policy, model, tokenizer, judges.rate, config, pool, rng=rng,
                     truth=judges.truth)  # fmt: skip
        training = TrainConfig(learning_rate=config.learning_rate, seed=what.seed)
        if resume:
            run.check_same("base_sha256", known)
            rounds, before = _resumed(ppo, run)
        else:
            if earlier := run.set_aside():
                say(f"the earlier run is now {earlier}")
            run.clear()
            rounds, before = Rows(), 0.0
            _write(run, rounds)
            run.save_state(ppo.trainer, ppo.rng, 0.0)
            run.describe("", model.config, training, tokenizer, **described)
        start = time.perf_counter() - before
        _train(ppo, run, rounds, prompts, what, start, say)
        seconds = time.perf_counter() - start
        asking = (tokenizer, asked, judges, config.longest)
        first = measure(model, *asking, pool)
        last = measure(policy, *asking, pool, ppo.reference)
        stopped = len(rounds) < what.rounds and not what.seconds
        found = compared(first, last) | {
            "rounds": len(rounds), "seconds": seconds, "interrupted": stopped,
        }  # fmt: skip
        if what.best_of > 1:
            found |= _beside(best_of(model, *asking, what.best_of, pool), first, rounds)
    return {"out": out} | found


def compared(first: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    """Before and after, in the names that the command prints."""
    return {
        "reward_start_mean": first["mean"], "reward_start_p95": first["p95"],
        "reward_end_mean": last["mean"], "learned_start_mean": first["learned"],
        "learned_end_mean": last["learned"], "kl_nats": last["kl"],
        "distinct2_ratio": last["distinct_2"] / max(first["distinct_2"], 1e-9),
        "length_ratio": last["length"] / max(first["length"], 1e-9),
    }  # fmt: skip


def _beside(
    best: dict[str, float], first: dict[str, Any], rounds: Rows
) -> dict[str, Any]:
    """The best of n beside the policy where that had gone as far, and was paid for it.

    gain_share: what the policy had gained there, of what the best of n gains.
    """
    gained = truth_at(rounds, best["kl"]) - first["mean"]
    return {
        "best_of_mean": best["mean"], "best_of_kl_nats": best["kl"],
        "gain_share": gained / max(best["mean"] - first["mean"], 1e-9),
    }  # fmt: skip


def _train(
    ppo: PPO, run: Run, rounds: Rows, prompts: Sequence[Conversation],
    what: Alignment, start: float, say: Callable[[str], None],
) -> None:  # fmt: skip
    """The rounds that are left; each is a row of `rounds` and of rounds.jsonl."""
    known: set[str] = set()
    with interruptible() as stopped:
        while len(rounds) < what.rounds and not stopped.is_set():
            if 0 < what.seconds < time.perf_counter() - start:
                break
            picked = ppo.rng.integers(0, len(prompts), ppo.prompts_each)
            row = {"round": len(rounds)} | ppo.update([prompts[i] for i in picked])
            if wrong := damaged(row):
                raise TrainingError(
                    f"wanted finite numbers in round {len(rounds)}, got "
                    f"{', '.join(wrong)} that are none; {run.checkpoint_file} holds "
                    "the round before: --resume from it with a lower --learning-rate"
                )
            rounds.append(row)
            last = len(rounds) == what.rounds
            if row["round"] % EVERY == 0 or last:
                row["samples"] = _samples(ppo, prompts)
            _write(run, rounds)  # first: a row that no checkpoint holds is dropped
            run.save_state(ppo.trainer, ppo.rng, time.perf_counter() - start)
            _tell(rounds, known, say)


def _tell(rounds: Rows, known: set[str], say: Callable[[str], None]) -> None:
    """A line on the last round, and, once each, what goes wrong."""
    row = rounds[-1]
    say(f"round {row['round']}: reward {row['reward']:.2f}, true {row['truth']:.2f}, "
        f"kl {row['kl']:.2f}, entropy {row['entropy']:.2f}, "
        f"length {row['length']:.1f}")  # fmt: skip
    for alarm in alarms(rounds):
        if alarm.name not in known:
            known.add(alarm.name)
            say(f"careful: {alarm.name}. Likely {alarm.cause}.")
            say(f"what to do: {alarm.turn}")


def _write(run: Run, rounds: Rows) -> None:
    """rounds.jsonl, and now and then the picture of it."""
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rounds)
    files.write_text(run.folder / "rounds.jsonl", "".join(lines))
    if rounds and "samples" in rounds[-1]:
        files.write_bytes(run.folder / "rounds.png", plots.png(plots.rounds(rounds)))


def read_rounds(run: str | Path) -> Rows:
    """What happened in each round of a policy's run, from rounds.jsonl."""
    text = (Path(run) / "rounds.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _resumed(ppo: PPO, run: Run) -> tuple[Rows, float]:
    """The rounds whose steps are in the checkpoint, and the seconds they took."""
    seconds = run.load_state(ppo.trainer, ppo.rng)
    rows = read_rounds(run.folder)
    done = ppo.trainer.optimizer.steps
    steps = accumulate(row["steps"] for row in rows)
    rows = [row for row, so_far in zip(rows, steps, strict=True) if so_far <= done]
    if rows:
        ppo.kl_weight = rows[-1]["kl_weight"]
    return rows, seconds


def _samples(ppo: PPO, prompts: Sequence[Conversation]) -> list[dict[str, str]]:
    """The answers to the same prompts with the same dice, to see them change."""
    dice, longest = np.random.default_rng(0), ppo.config.longest
    found = sample_answers(
        ppo.policy, ppo.tokenizer, prompts[:SHOWN], longest, rng=dice
    )
    return [{"prompt": c[-2].content, "answer": c[-1].content}
            for c in found.conversations]  # fmt: skip
