"""A policy trained on rewards, as a run: measured before and after, watched between.

RUN/config.json tokenizer.json checkpoint/last.safetensors rounds.jsonl rounds.png
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from gptlite import files, plots
from gptlite.alignment.measure import Judges, best_of, measure, samples, truth_at
from gptlite.alignment.ppo import PPO
from gptlite.alignment.rounds import Rows, read_rounds, write_rounds
from gptlite.alignment.settings import Alignment, PPOConfig
from gptlite.alignment.watch import alarms, damaged
from gptlite.config import TrainConfig
from gptlite.errors import TrainingError
from gptlite.models.gpt import GPT
from gptlite.models.head import with_head
from gptlite.models.lora import LoRA, fingerprint
from gptlite.parallel.pool import WorkerPool, available_cores
from gptlite.text.chat import Conversation, render
from gptlite.training.loop import interruptible
from gptlite.training.run import Run, open_run

EVERY, DRAWN = 5, 10  # rounds between looks at the policy, and between pictures
RISE = 0.8  # share of the training after which the target stays: the mean catches up

Renew = Callable[[GPT, bool], Judges]  # policy, whether it was asked before


def align(
    base: str, out: str, prompts: Sequence[Conversation],
    asked: Sequence[Conversation], judges: Judges,
    config: PPOConfig = PPOConfig(),  # noqa: B008 - frozen
    what: Alignment = Alignment(),  # noqa: B008 - frozen
    method: type[PPO] = PPO, resume: bool = False,
    renew: Renew | None = None,
    say: Callable[[str], None] = lambda text: None,
    known: Mapping[str, Any] = {},
) -> dict[str, Any]:  # fmt: skip
    """Train the run `base` as the run `out` on rewards, and say what became of them.

    prompts: to learn from. asked: to be measured on. A round with numbers that are none
    ends the training; the checkpoint is then of the last good round. resume: go on with
    the run in `out`, to the same bits; so may whoever stopped it by Ctrl-C. renew: is
    asked for other judges, who may have seen the policy's answers, when half is done.
    known: what config.json is to say of the judges, such as `judged_by`.
    """
    source, run = open_run(base), Run(out)
    run.check_apart(source)
    model, tokenizer = source.load()
    rng = np.random.default_rng(what.seed)
    policy = with_head(LoRA(model, what.rank, rng=rng) if what.rank else model)
    described: dict[str, Any] = {
        "base": str(source.folder.absolute()), "base_sha256": fingerprint(model),
        "alignment": dataclasses.asdict(config) | dataclasses.asdict(what),
        "method": method.__name__.lower(), **known,
    }  # fmt: skip
    with WorkerPool(what.workers or available_cores()) as pool:
        ppo = method(policy, model, tokenizer, judges.rate, config, pool, rng=rng,
                     truth=judges.truth, read=judges.read)  # fmt: skip
        training = TrainConfig(learning_rate=config.learning_rate, seed=what.seed)
        rounds, seconds = Rows(), 0.0

        def load() -> None:
            nonlocal rounds, seconds
            rounds, seconds = _resumed(ppo, run)

        def save() -> None:
            _write(run, rounds, draw=False)
            _save(ppo, run, seconds)

        if earlier := run.begin(resume, load, save, "", model.config, training,
                                tokenizer, **described):  # fmt: skip
            say(f"the earlier run is now {earlier}")
        start = time.perf_counter() - seconds
        judges = _train(ppo, run, rounds, prompts, asked, what, start, say, judges,
                        renew)  # fmt: skip
        seconds = time.perf_counter() - start
        asking = (tokenizer, asked, judges, config.longest)
        first = measure(model, *asking, pool)
        with ppo.averaged():
            last = measure(policy, *asking, pool, ppo.reference)
        found = compared(first, last) | {
            "rounds": len(rounds), "seconds": seconds,
            "interrupted": _progress(what, len(rounds), seconds) < 1,
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
    looks = [row["look"] for row in rounds if "look" in row]
    gained = truth_at(looks, best["kl"]) - first["mean"]
    return {
        "best_of_mean": best["mean"], "best_of_kl_nats": best["kl"],
        "gain_share": gained / max(best["mean"] - first["mean"], 1e-9),
    }  # fmt: skip


def _train(
    ppo: PPO, run: Run, rounds: Rows, prompts: Sequence[Conversation],
    asked: Sequence[Conversation], what: Alignment, start: float,
    say: Callable[[str], None], judges: Judges, renew: Renew | None,
) -> Judges:  # fmt: skip
    """The rounds that are left; each is a row of `rounds` and of rounds.jsonl."""
    known: set[str] = set()
    renewed = bool(rounds) and rounds[-1].get("renewed", False)
    if renewed and renew:
        judges = renew(ppo.policy, True)
    with interruptible() as stopped:
        while not stopped.is_set():
            done = _progress(what, len(rounds), time.perf_counter() - start)
            if done >= 1:
                break
            if done >= 0.5 and renew and not renewed:
                judges, renewed = renew(ppo.policy, False), True
            ppo.rate, ppo.read = judges.rate, judges.read
            ppo.kl_target = ppo.config.kl_target * min(1.0, done / RISE)
            picked = ppo.rng.integers(0, len(prompts), ppo.prompts_each)
            row = {"round": len(rounds), "renewed": renewed}
            row |= ppo.update([prompts[i] for i in picked])
            if wrong := damaged(row) or _destroyed(ppo, prompts[0]):
                raise TrainingError(
                    f"wanted finite numbers in round {len(rounds)}, got "
                    f"{', '.join(wrong)} that are none; {run.checkpoint_file} holds "
                    "the round before: --resume from it with a lower --learning-rate"
                )
            rounds.append(row)
            if row["round"] % EVERY == 0:
                _look(ppo, row, prompts, asked, judges, what.looked)
            # first: a row that no checkpoint holds is dropped
            _write(run, rounds, draw=row["round"] % DRAWN == 0)
            _save(ppo, run, time.perf_counter() - start)
            _tell(rounds, known, say)
    if rounds:
        _look(ppo, rounds[-1], prompts, asked, judges, what.looked)
        _write(run, rounds, draw=True)
    return judges


def _destroyed(ppo: PPO, prompt: Conversation) -> list[str]:
    """Names of what the policy cannot say any more of a text.

    A round's numbers are from before its last step; what that did to the weights is
    seen only if they are used.
    """
    ids = render(prompt, ppo.tokenizer).ids[None]
    found = zip(
        ("log-probabilities", "values"),
        ppo.reader.read(ids, np.ones(ids.shape, bool)),
        strict=True,
    )
    return [name for name, numbers in found if not np.isfinite(numbers).all()]


def _look(
    ppo: PPO, row: dict[str, Any], prompts: Sequence[Conversation],
    asked: Sequence[Conversation], judges: Judges, n: int,
) -> None:  # fmt: skip
    """Add to a round's row what the policy, as it would be handed over, now says, and
    what that is worth."""
    model, tokenizer, longest = ppo.policy, ppo.tokenizer, ppo.config.longest
    with ppo.averaged():
        row["samples"] = samples(model, tokenizer, prompts, longest)
        row["look"] = measure(model, tokenizer, asked, judges, longest,
                              ppo.pool, ppo.reference, n=n)  # fmt: skip


def _save(ppo: PPO, run: Run, seconds: float) -> None:
    """A checkpoint: whoever loads it has the mean of the weights."""
    with ppo.averaged() as last:
        run.save_state(ppo.trainer, ppo.rng, seconds, {"last": last})


def _progress(what: Alignment, rounds: int, seconds: float) -> float:
    """The share of the training that is done, 0 … 1."""
    return max(rounds / what.rounds, seconds / what.seconds if what.seconds else 0)


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


def _write(run: Run, rounds: Rows, draw: bool) -> None:
    """rounds.jsonl, and the picture of it."""
    write_rounds(run.folder, rounds)
    if draw:
        files.write_bytes(run.folder / "rounds.png", plots.png(plots.rounds(rounds)))


def _resumed(ppo: PPO, run: Run) -> tuple[Rows, float]:
    """The rounds whose steps are in the checkpoint, and the seconds they took."""
    last = ppo.mean.copy()
    seconds = run.load_state(ppo.trainer, ppo.rng, {"last": last})
    ppo.mean[...], ppo.policy.params.flat[...] = ppo.policy.params.flat, last
    rows = read_rounds(run.folder)
    done = ppo.trainer.optimizer.steps
    steps = accumulate(row["steps"] for row in rows)
    rows = [row for row, so_far in zip(rows, steps, strict=True) if so_far <= done]
    if rows:
        ppo.kl_weight, ppo.rounds = rows[-1]["kl_weight"], len(rows)
    return rows, seconds
