"""A policy trained on rewards, as a run: measured before and after, watched between.

RUN/config.json tokenizer.json checkpoint/last.safetensors rounds.jsonl
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gptlite.alignment.experience import Reader, sample_answers
from gptlite.alignment.ppo import PPO, Rate
from gptlite.alignment.settings import Alignment, PPOConfig
from gptlite.alignment.watch import alarms, damaged
from gptlite.config import TrainConfig
from gptlite.errors import TrainingError
from gptlite.models.gpt import GPT
from gptlite.models.head import with_head
from gptlite.models.lora import LoRA
from gptlite.parallel.pool import WorkerPool, available_cores
from gptlite.tasks.metrics import distinct_n
from gptlite.text.chat import Conversation
from gptlite.text.tokenizer import Tokenizer
from gptlite.training.run import Run, open_run

MEASURED = 256  # answers, before and after
AT_A_TIME = 64  # of these
SHOWN = 5  # prompts whose answers are looked at throughout
EVERY = 10  # rounds between such looks


def measure(
    model: GPT, tokenizer: Tokenizer, prompts: Sequence[Conversation], rate: Rate,
    longest: int, reference: Reader | None = None, seed: int = 1,
) -> dict[str, Any]:  # fmt: skip
    """MEASURED answers, sampled as the policy is: their rewards, lengths, variety, and
    how far they are from the reference, in nats an answer."""
    rng = np.random.default_rng(seed)
    rewards, lengths, kl, texts = [], [], [], []
    for _ in range(MEASURED // AT_A_TIME):
        some = [prompts[i] for i in rng.integers(0, len(prompts), AT_A_TIME)]
        found = sample_answers(model, tokenizer, some, longest, rng=rng)
        rewards.append(rate(found.conversations))
        lengths.append(found.mask.sum(axis=1))
        texts += [c[-1].content for c in found.conversations]
        if reference:
            logp, _ = reference.read(found.ids, found.mask)
            kl.append(((found.logp - logp) * found.mask).sum(axis=1))
    all_rewards = np.concatenate(rewards)
    return {
        "mean": float(all_rewards.mean()), "p95": float(np.percentile(all_rewards, 95)),
        "length": float(np.concatenate(lengths).mean()),
        "distinct_2": distinct_n(texts, 2),
        "kl": float(np.concatenate(kl).mean()) if kl else 0.0,
    }  # fmt: skip


def align(
    base: str, out: str, prompts: Sequence[Conversation], rate: Rate, truth: Rate,
    config: PPOConfig = PPOConfig(),  # noqa: B008 - frozen
    what: Alignment = Alignment(),  # noqa: B008 - frozen
    method: type[PPO] = PPO,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:  # fmt: skip
    """Train the run `base` as the run `out` on rewards, and say what became of them.

    rate: what is learned from, such as a reward model's. truth: what was meant, which
    the figures are of; the same where nothing else is known. A round with numbers that
    are none ends the training; the checkpoint is then of the last good round.
    """
    source, run = open_run(base), Run(out)
    run.check_apart(source)
    model, tokenizer = source.load()
    rng = np.random.default_rng(what.seed)
    policy = with_head(LoRA(model, what.rank, rng=rng) if what.rank else model)
    started = time.perf_counter()
    run.set_aside()
    run.clear()
    training = TrainConfig(learning_rate=config.learning_rate, seed=what.seed)
    run.describe("", model.config, training, tokenizer,
                 base=str(source.folder.absolute()),
                 alignment=dataclasses.asdict(config))  # fmt: skip
    with WorkerPool(what.workers or available_cores()) as pool:
        ppo = method(policy, model, tokenizer, rate, config, pool, rng=rng)
        run.save_state(ppo.trainer, ppo.rng, 0.0)
        before = measure(policy, tokenizer, prompts, truth, config.longest)
        rounds = _rounds(ppo, run, prompts, what, started, say)
        after = measure(policy, tokenizer, prompts, truth, config.longest,
                        ppo.reference)  # fmt: skip
    return {
        "out": out, "rounds": len(rounds), "seconds": time.perf_counter() - started,
        "reward_start_mean": before["mean"], "reward_start_p95": before["p95"],
        "reward_end_mean": after["mean"], "kl_nats": after["kl"],
        "distinct2_ratio": after["distinct_2"] / max(before["distinct_2"], 1e-9),
        "length_ratio": after["length"] / max(before["length"], 1e-9),
    }  # fmt: skip


def _rounds(
    ppo: PPO, run: Run, prompts: Sequence[Conversation], what: Alignment,
    started: float, say: Callable[[str], None],
) -> list[dict[str, Any]]:  # fmt: skip
    """The training itself; a line of rounds.jsonl for each round."""
    rounds: list[dict[str, Any]] = []
    known: set[str] = set()
    path = run.folder / "rounds.jsonl"
    path.unlink(missing_ok=True)
    for number in range(what.rounds):
        if 0 < what.seconds < time.perf_counter() - started:
            break
        picked = ppo.rng.integers(0, len(prompts), ppo.prompts_each)
        row = ppo.update([prompts[i] for i in picked])
        if wrong := damaged(row):
            raise TrainingError(
                f"wanted finite numbers in round {number}, got {', '.join(wrong)} that "
                f"are none; {run.checkpoint_file} holds the round before. Lower "
                "learning_rate"
            )
        rounds.append(row)
        if number % EVERY == 0 or number == what.rounds - 1:
            row["samples"] = _samples(ppo, prompts)
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"round": number, **row}, ensure_ascii=False) + "\n")
        run.save_state(ppo.trainer, ppo.rng, time.perf_counter() - started)
        say(f"round {number}: reward {row['reward']:.2f}, kl {row['kl']:.2f}, "
            f"entropy {row['entropy']:.2f}, length {row['length']:.1f}")  # fmt: skip
        for alarm in alarms(rounds):
            if alarm.name not in known:
                known.add(alarm.name)
                say(f"careful: {alarm.name}. Likely {alarm.cause}.")
                say(f"what to do: {alarm.turn}")
    return rounds


def _samples(ppo: PPO, prompts: Sequence[Conversation]) -> list[dict[str, str]]:
    """The answers to the same prompts with the same dice, to see them change."""
    dice, longest = np.random.default_rng(0), ppo.config.longest
    found = sample_answers(
        ppo.policy, ppo.tokenizer, prompts[:SHOWN], longest, rng=dice
    )
    return [{"prompt": c[-2].content, "answer": c[-1].content}
            for c in found.conversations]  # fmt: skip
