"""A run to learn from ratings with, small enough for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gptlite.config import GPTConfig, TrainConfig
from gptlite.models.gpt import GPT
from gptlite.parallel.pool import WorkerPool
from gptlite.training.run import Run
from gptlite.training.step import Trainer
from tests.alignment.test_reward import TOKENIZER

CONFIG = GPTConfig(2, 2, 16, context_length=64, vocab_size=TOKENIZER.vocab_size)


@pytest.fixture
def base(tmp_path: Path) -> str:
    """A run with random weights."""
    run, training = Run(tmp_path / "base"), TrainConfig()
    with WorkerPool(1) as pool:
        trainer = Trainer(GPT(CONFIG), training, pool)
        run.save_state(trainer, np.random.default_rng(0), 0.0)
    run.describe("", CONFIG, training, TOKENIZER)
    return str(run.folder)
