"""gptlite: how a ChatGPT is made, brick by brick, in NumPy and Numba.

Importing it is cheap: each name below is loaded when it is first used.

>>> import gptlite as gl
>>> gl.preset("baby")[0].n_embd
128
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Arena": "arena",
    "BPETokenizer": "text.bpe",
    "Batch": "batch",
    "Block": "arena",
    "ByteTokenizer": "text.tokenizer",
    "CharTokenizer": "text.tokenizer",
    "Chat": "assistant.chat",
    "Completion": "models.generate",
    "CorpusConfig": "config",
    "Dataset": "text.dataset",
    "FinetuneConfig": "config",
    "GPT": "models.gpt",
    "GPTConfig": "config",
    "GptliteError": "errors",
    "KVCache": "models.cache",
    "LoRA": "models.lora",
    "Optimizer": "training.optimizer",
    "Run": "training.run",
    "Sampling": "models.sampling",
    "SkipGram": "config",
    "TextVectors": "text.text_vectors",
    "TrainConfig": "config",
    "Trainer": "training.step",
    "WordVectors": "text.word_vectors",
    "WorkerPool": "parallel.pool",
    "Workspace": "models.workspace",
    "build_corpus": "corpus.build",
    "conversation": "text.chat",
    "evaluate_task": "assistant.evaluate",
    "finetune": "training.finetune",
    "generate": "models.generate",
    "gradient_check": "gradcheck",
    "learn_word_vectors": "text.skipgram",
    "load_task": "tasks.registry",
    "preset": "config",
    "pretrain": "training.pretrain",
    "rate": "alignment.rate",
    "read_text": "text.dataset",
    "stream": "models.generate",
    "train_bpe": "text.learn",
    "words_of": "text.skipgram",
}
_MODULES = {"kernels": "ops.kernels", "plots": "plots", "reference": "ops.reference"}

__all__ = sorted([*_HOME, *_MODULES, "load"])


def load(run: str) -> Any:
    """(model, tokenizer) of the run in the folder `run`, or "mini" in the package."""
    from gptlite.training.run import open_run

    return open_run(run).load()


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = importlib.import_module(f"gptlite.{_MODULES[name]}")
    elif name in _HOME:
        module = importlib.import_module(f"gptlite.{_HOME[name]}")
        value = getattr(module, name)
    else:
        raise AttributeError(f"module 'gptlite' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
