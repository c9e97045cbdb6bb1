"""The road, stage by stage: what each did, in a few lines and at last in a table."""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path
from typing import Any

from gptlite.assistant.evaluate import evaluate_task
from gptlite.config import CorpusConfig, FinetuneConfig, SkipGram, TrainConfig, preset
from gptlite.corpus.build import build_corpus
from gptlite.corpus.corpus import is_corpus, open_corpus
from gptlite.corpus.readers import sample_documents
from gptlite.corpus.report import table
from gptlite.demo.preferences import learn_preferences
from gptlite.output import print_table
from gptlite.tasks.registry import load_task
from gptlite.text.skipgram import learn_word_vectors, words_of
from gptlite.text.token_vectors import token_names
from gptlite.text.tokenizer import Tokenizer, load_tokenizer
from gptlite.training.finetune import finetune
from gptlite.training.pretrain import Result, pretrain
from gptlite.training.report import write_report

BARS = "▁▂▃▄▅▆▇█"
VOCABULARY = 2048
SENTENCE = "Shall I compare thee to a summer's day? I computed 2,048 tokens."
ASKED = ("king", "city", "music")
TAUGHT, TESTED = "translate=2,chat=1", 60  # tasks, and words it is then asked


def sparkline(values: list[float]) -> str:
    """The values as a row of bars, the smallest a thin one, the largest a whole one.

    >>> sparkline([4.0, 2.0, 1.0])
    '█▃▁'
    """
    low, span = min(values), max(values) - min(values)
    return "".join(BARS[round(7 * (v - low) / span) if span else 0] for v in values)


def build_demo_corpus(folder: Path) -> dict[str, Any]:
    """The English texts in the package as a corpus, in the place of an earlier one."""
    if is_corpus(folder):
        shutil.rmtree(folder)
    return build_corpus(
        folder, sample_documents(), CorpusConfig(VOCABULARY, languages="en")
    )


def cut(tokenizer: Tokenizer, text: str) -> str:
    """The text with a bar between its tokens."""
    return "|".join(tokenizer.decode([i]) for i in tokenizer.encode(text).tolist())


def neighbours() -> tuple[int, list[str]]:
    """How many words got a vector, and lines with some words' nearest ones."""
    text = "\n".join(d.text for name, documents in sample_documents().items()
                     if name != "rights" for d in documents)  # fmt: skip
    vectors = learn_word_vectors(words_of(text), SkipGram(epochs=10))
    lines = []
    for word in ASKED:
        near = vectors.most_similar(word, 4) if word in vectors else []
        lines.append(f"{word:>8}: {', '.join(name for name, _ in near)}")
    return len(vectors.words), lines


def token_vectors(corpus: Path, tokenizer: Tokenizer, file: Path, size: int) -> None:
    """Skip-gram vectors of the corpus' training tokens, in a file."""
    dataset, _ = open_corpus(corpus, context_length=1)
    names = token_names(tokenizer)
    sentence = [names[i] for i in dataset.train[:].tolist()]
    learn_word_vectors([sentence], SkipGram(size=size)).save(file)


def run_demo(out: str, seconds: float | None, asks: bool = False) -> Result:
    """Walk the road, show what happened at each stage, write the report.

    asks: whether a person is there to rate answers, if he wants to.
    """
    changes: dict[str, Any] = {} if seconds is None else {"seconds": seconds}
    model, training = preset("demo", **changes)
    corpus, vectors = Path(out) / "corpus", Path(out) / "token_vectors.txt"
    rows: list[dict[str, Any]] = []

    def stage(name: str, start: float, result: str) -> None:
        took = f"{time.perf_counter() - start:.1f}"
        rows.append({"stage": name, "seconds": took, "result": result})

    start = time.perf_counter()
    print("1. Corpus: plays, articles, chats and documents, cleaned, without repeats …",
          flush=True)  # fmt: skip
    row = table(build_demo_corpus(corpus))[-1]
    stage("corpus", start, f"{row['documents']:,} documents in, {row['kept']:,} kept")
    stage("tokens", time.perf_counter(), f"{row['words']:,} words, {row['tokens']:,} "
          f"tokens: {row['tokens a word']} a word")  # fmt: skip
    tokenizer = load_tokenizer(corpus / "tokenizer.json")
    print(f"\n2. Tokens: {tokenizer.vocab_size:,} learned from it.\n   "
          f"{cut(tokenizer, SENTENCE)}")  # fmt: skip

    start = time.perf_counter()
    print("\n3. Word vectors, learned without labels. Nearest to …", flush=True)
    n, lines = neighbours()
    print(*lines, sep="\n")
    token_vectors(corpus, tokenizer, vectors, model.n_embd)
    stage("vectors", start, f"of {n:,} words, and of the tokens")

    start = time.perf_counter()
    print(f"\n4. Pretraining: a small GPT, whose embedding starts from vectors of the "
          f"tokens, for {training.seconds:.0f} s …", flush=True)  # fmt: skip
    result = pretrain(out, str(corpus), model, training, replace=True,
                      init_embeddings=str(vectors))  # fmt: skip
    stage("pretraining", start, show_training(result))
    write_report(result.run, result.summary, result.model.n_params, "gptlite demo")

    start = time.perf_counter()
    print(f"\n5. Fine-tuning: it is shown words with their translation "
          f"and chats, for {training.seconds / 3:.0f} s …", flush=True)  # fmt: skip
    stage("fine-tuning", start, teach(result, out, training))
    learn_preferences(assistant_of(out), out, training.seconds, asks, stage)
    print()
    print_table(rows)
    print(f"\nThe learning curve and all samples: {result.run.report_file}")
    return result


def assistant_of(out: str) -> str:
    return f"{out}/assistant"


def teach(base: Result, out: str, training: TrainConfig) -> str:
    """Fine-tune on tasks, show answers before and after; the scores of one as text."""
    task, config = load_task("translate"), dataclasses.replace(
        training, seconds=training.seconds / 3, eval_every=0, sample_every=0,
        warmup_steps=20,
    )  # fmt: skip
    before = evaluate_task(task, base.model, base.tokenizer, TESTED)
    what = FinetuneConfig(TAUGHT, conversations=30_000)
    tuned = finetune(out, assistant_of(out), config, what, replace=True)
    after = evaluate_task(task, tuned.model, tuned.tokenizer, TESTED)
    for old, new in list(zip(before["samples"], after["samples"], strict=True))[:4]:
        print(
            f"   {new['asked']}\n      before: {_short(old['answer'])}\n"
            f"      after:  {_short(new['answer'])}   (right: {new['right']})"
        )
    return f"chrF {before['score']:.2f} → {after['score']:.2f}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) < 50 else text[:49] + "…"


def show_training(result: Result) -> str:
    """Print the curve and the first and last sample; the loss in a few words."""
    measured = [r["val_loss"] for r in result.run.metrics() if "val_loss" in r]
    summary, said = result.summary, "no evaluation"
    if measured:
        ends = dict.fromkeys(f"{loss:.2f}" for loss in (measured[0], measured[-1]))
        said = f"loss {' → '.join(ends)} nats a token"
        print(f"validation {said.replace('loss ', f'loss  {sparkline(measured)}  ')}")
    print(f"{summary.steps:,} steps, {summary.tokens_per_s:,.0f} tokens a second, "
          f"{result.model.n_params:,} parameters")  # fmt: skip
    if result.run.samples_file.exists():
        text = result.run.samples_file.read_text(encoding="utf-8")
        samples = text.split("── step ")[1:]
        for sample in dict.fromkeys([samples[0], samples[-1]]):
            print(f"\n── step {sample.strip()}")
    return said
