"""Vocabularies and word vectors: learning and encoding, against other libraries."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from gptlite.bench.timing import alternate, device, median, ratio
from gptlite.config import SkipGram
from gptlite.data.fetch import data_folder, is_fetched
from gptlite.data.sources import source
from gptlite.errors import ConfigError, DataError
from gptlite.text.bpe import BPETokenizer
from gptlite.text.learn import train_bpe
from gptlite.text.skipgram import learn_word_vectors, words_of
from gptlite.text.vocabularies import tokenizer

TRAINED_ON, ENCODED = 20_000_000, 5_000_000  # characters
VOCABULARY = 8192


def _texts(value: Any) -> Iterator[str]:
    """All texts in what a JSON file holds."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def corpus() -> str:
    """The encyclopedia and the books, which must be fetched."""
    missing = [n for n in ("encyclopedia", "books") if not is_fetched(source(n))]
    if missing:
        raise DataError(
            f"wanted {' and '.join(missing)} to measure on; "
            f"run `gptlite data fetch {' '.join(missing)}`"
        )
    parts: list[str] = []
    for path in sorted(data_folder(source("encyclopedia")).rglob("*.json")):
        if path.name.startswith("summaries"):
            parts += _texts(json.loads(path.read_text(encoding="utf-8")))
    for path in sorted(data_folder(source("books")).rglob("*.md")):
        parts.append(path.read_text(encoding="utf-8"))
    return "\n".join(parts)


def _peers() -> tuple[Any, Any]:
    try:
        import gensim  # noqa: F401
        import tiktoken
        import tokenizers
    except ImportError as error:
        raise ConfigError(
            f"wanted tokenizers, tiktoken and gensim to compare with ({error}); "
            "pip install 'gptlite[bench]'"
        ) from error
    return tokenizers, tiktoken


def _row(what: str, sides: list[Callable[[], Any]], peers: list[str], rounds: int,
         size: float, unit: str) -> dict[str, Any]:  # fmt: skip
    times = alternate(sides, rounds, burst=0.0)
    row: dict[str, Any] = {"what": what, unit: round(size / median(times[0]), 2)}
    for name, found in zip(peers, times[1:], strict=True):
        row[f"{name}_{unit}"] = round(size / median(found), 2)
        row[f"ratio_{name}"] = round(ratio(times[0], found), 3)
    return row


def bench_bpe(against: str | None = None, rounds: int = 3) -> dict[str, Any]:
    """Learning 8,192 tokens, and encoding with GPT-2's vocabulary on one thread.

    The peers learn on all cores (tokenizers) and encode on one (both).
    """
    text = corpus()
    learned, encoded = text[:TRAINED_ON], text[:ENCODED]
    gpt2 = tokenizer("gpt2")
    train: list[Callable[[], Any]] = [lambda: train_bpe([learned], VOCABULARY)]
    encode: list[Callable[[], Any]] = [lambda: gpt2.encode(encoded)]
    if against:
        tokenizers, tiktoken = _peers()
        lines = learned.splitlines(keepends=True)
        train.append(lambda: _their_training(tokenizers, lines))
        encode += _their_encoders(gpt2, tokenizers, tiktoken, encoded)
    megabytes = [len(x.encode()) / 1e6 for x in (learned, encoded)]
    names = ["tokenizers"] if against else []
    both = ["tiktoken", "tokenizers"] if against else []
    rows = [
        _row(f"learn {VOCABULARY} tokens", train, names, rounds, megabytes[0],
             "megabytes_per_s"),
        _row("encode, gpt2", encode, both, rounds, megabytes[1], "megabytes_per_s"),
    ]  # fmt: skip
    return {"benchmark": "bpe", "device": device(), "rows": rows}


def _their_training(tokenizers: Any, lines: list[str]) -> None:
    level = tokenizers.pre_tokenizers.ByteLevel
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = level(add_prefix_space=False)
    model.train_from_iterator(lines, tokenizers.trainers.BpeTrainer(
        vocab_size=VOCABULARY, initial_alphabet=level.alphabet(), show_progress=False
    ))  # fmt: skip


def _their_encoders(
    gpt2: Any, tokenizers: Any, tiktoken: Any, text: str
) -> list[Callable[[], Any]]:
    assert isinstance(gpt2, BPETokenizer)
    ranks = {t: i for i, t in enumerate(gpt2.tokens)
             if t is not None and i not in gpt2.special.values()}  # fmt: skip
    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$"
    theirs = tiktoken.Encoding(
        "gpt2", pat_str=pattern + r"|\s+(?!\S)|\s", mergeable_ranks=ranks,
        special_tokens={},
    )  # fmt: skip
    other = tokenizers.Tokenizer.from_str(json.dumps(gpt2.to_json()))
    wanted = gpt2.encode(text).tolist()
    if theirs.encode_ordinary(text) != wanted or other.encode(text).ids != wanted:
        raise DataError("wanted the same ids from all three, got different ones")
    return [lambda: theirs.encode_ordinary(text), lambda: other.encode(text)]


def bench_vectors(against: str | None = None, rounds: int = 3) -> dict[str, Any]:
    """Raw words a second of skip-gram: 100 numbers, window 5, 5 negatives, 2 epochs."""
    sentences = words_of(corpus())
    config = SkipGram(epochs=2)
    sides: list[Callable[[], Any]] = [lambda: learn_word_vectors(sentences, config)]
    if against:
        _peers()
        from gensim.models import Word2Vec

        sides.append(lambda: Word2Vec(
            sentences, vector_size=config.size, window=config.window, sg=1,
            negative=config.negatives, epochs=config.epochs, min_count=config.least,
            sample=config.subsample, workers=2,
        ))  # fmt: skip
    words = config.epochs * sum(map(len, sentences))
    row = _row("skip-gram", sides, ["gensim"] if against else [], rounds, words,
               "words_per_s")  # fmt: skip
    return {"benchmark": "vectors", "device": device(), "rows": [row]}
