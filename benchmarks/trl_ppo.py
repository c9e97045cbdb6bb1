"""Episodes a second of TRL's PPO trainer, at the shape of `gptlite bench ppo`.

    pip install -e . trl==1.12.0 torch==2.13.0    # in an environment of its own
    python benchmarks/trl_ppo.py [--rounds 7]

A random GPT-2 of transformers at the same shape, as many prompts, answers, epochs and
minibatches. Two differences cannot be switched off. TRL gives the values to a second
model of the same size, and so trains twice the layers; and it computes figures to look
at, such as entropies. It lies in trl.experimental, which says that it may change.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from types import SimpleNamespace
from typing import Any

import torch
import transformers
import trl
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainerCallback,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer

from gptlite.bench.ppo import CONFIG, MODEL, PROMPT

END, PAD = MODEL.vocab_size - 1, MODEL.vocab_size  # the model does not know PAD


class Rater(torch.nn.Module):
    """A reward that costs nothing, in the form that TRL wants: layers, then a score."""

    base_model_prefix = "layers"

    def __init__(self) -> None:
        super().__init__()
        self.score = torch.nn.Identity()

    def layers(self, input_ids: torch.Tensor, **unused: Any) -> SimpleNamespace:
        """At every position, the share of small tokens in the whole answer."""
        small = (input_ids[:, PROMPT:] < MODEL.vocab_size // 2).float().mean(dim=1)
        return SimpleNamespace(
            hidden_states=[small[:, None, None].expand(-1, input_ids.shape[1], 1)]
        )


class Clock(TrainerCallback):
    """When each round ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *unused: Any, **also: Any) -> None:
        self.times.append(time.perf_counter())


class Complete(GPT2LMHeadModel):
    """The policy; answers that are not of full length are an error."""

    def generate(self, input_ids: torch.Tensor, **settings: Any) -> Any:
        found = super().generate(input_ids=input_ids, **settings)
        wanted = PROMPT + CONFIG.longest
        if found.sequences.shape != (CONFIG.answers, wanted):
            raise SystemExit(
                f"wanted {CONFIG.answers} rows of {wanted} tokens, got "
                f"{tuple(found.sequences.shape)}; was it another version of TRL?"
            )
        return found


def words() -> PreTrainedTokenizerFast:
    """A tokenizer, since one must be given; the prompts are ids already."""
    ids = {str(i): i for i in range(MODEL.vocab_size)} | {"end": END, "pad": PAD}
    del ids[str(END)]
    plain = Tokenizer(WordLevel(ids, unk_token="0"))
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, eos_token="end", pad_token="pad"
    )


def trainer(rounds: int, folder: str, clock: Clock) -> PPOTrainer:
    """TRL's trainer, at the shape of CONFIG."""
    shape = GPT2Config(
        vocab_size=MODEL.vocab_size, n_positions=MODEL.context_length,
        n_embd=MODEL.n_embd, n_layer=MODEL.n_layer, n_head=MODEL.n_head,
        bos_token_id=END, eos_token_id=END, pad_token_id=None, num_labels=1,
    )  # fmt: skip
    config = PPOConfig(
        output_dir=folder, use_cpu=True, bf16=False, gradient_checkpointing=False,
        report_to="none", save_strategy="no", disable_tqdm=True,
        num_sample_generations=0,
        per_device_train_batch_size=CONFIG.answers, gradient_accumulation_steps=1,
        num_mini_batches=CONFIG.answers // CONFIG.minibatch,
        local_rollout_forward_batch_size=CONFIG.answers,
        total_episodes=rounds * CONFIG.answers, num_ppo_epochs=CONFIG.epochs,
        response_length=CONFIG.longest, temperature=1.0, kl_coef=CONFIG.kl_weight,
        learning_rate=CONFIG.learning_rate, gamma=CONFIG.gamma, lam=CONFIG.lam,
        cliprange=CONFIG.clip, cliprange_value=CONFIG.value_clip,
        vf_coef=CONFIG.value_weight,
    )  # fmt: skip
    ids = torch.randint(END, (CONFIG.answers, PROMPT)).tolist()
    found = PPOTrainer(
        config, words(), Complete(shape), None, Rater(),
        Dataset.from_dict({"input_ids": ids}), GPT2ForSequenceClassification(shape),
        eval_dataset=Dataset.from_dict({"input_ids": ids}), callbacks=[clock],
    )  # fmt: skip
    found.remove_callback(PrinterCallback)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    rounds, clock = parser.parse_args().rounds, Clock()
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    with tempfile.TemporaryDirectory() as folder:
        trainer(rounds + 1, folder, clock).train()  # the first round warms up
    pairs = zip(clock.times, clock.times[1:], strict=False)
    seconds = statistics.median(b - a for a, b in pairs)
    found = {
        "benchmark": "trl", "cores": cores, "trl": trl.__version__,
        "torch": torch.__version__, "transformers": transformers.__version__,
        "rounds": rounds, "episodes_per_s": round(CONFIG.answers / seconds, 2),
        "round_s": round(seconds, 3),
    }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
