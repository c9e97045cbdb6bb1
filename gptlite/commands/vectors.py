"""`gptlite vectors …`: learn vectors of words or of tokens, and ask them."""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from typing import Any

from gptlite.commands import Commands, add_defaults, given
from gptlite.config import SkipGram
from gptlite.errors import ConfigError

ENOUGH = 2_000_000  # words to read: with fewer, all vectors lie in one bundle


def vectors_train(args: argparse.Namespace) -> dict[str, Any]:
    from gptlite.text.dataset import read_text
    from gptlite.text.skipgram import learn_word_vectors, words_of
    from gptlite.text.token_vectors import tokens_of
    from gptlite.text.vocabularies import tokenizer

    cut, unit = words_of, "words"
    if args.tokenizer is not None:
        cut, unit = partial(tokens_of, tokenizer=tokenizer(args.tokenizer)), "tokens"
    sentences = [part for path in args.texts for part in cut(read_text(path))]
    count, start = sum(map(len, sentences)), time.perf_counter()
    vectors = learn_word_vectors(sentences, given(args, SkipGram))
    seconds = time.perf_counter() - start
    if count * args.epochs < ENOUGH:
        print(f"{count:,} {unit} are few: more passes may help, such as --epochs "
              f"{-(-ENOUGH // count)}", file=sys.stderr)  # fmt: skip
    vectors.save(args.out, args.binary)
    return {"out": args.out, unit: count, "vocabulary": len(vectors.words),
            "size": args.size, "seconds": round(seconds, 2),
            f"{unit}_per_s": round(count * args.epochs / seconds)}  # fmt: skip


def _load(args: argparse.Namespace) -> Any:
    from gptlite.text.word_vectors import WordVectors

    return WordVectors.load(args.vectors, args.binary)


def _rows(found: list[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"word": word, "cosine": cosine} for word, cosine in found]


def vectors_similar(args: argparse.Namespace) -> dict[str, Any]:
    near = _load(args).most_similar(args.word, args.n)
    return {"word": args.word, "nearest": _rows(near)}


def vectors_analogy(args: argparse.Namespace) -> dict[str, Any]:
    a, b, c = args.words
    found = _load(args).analogy(a, b, c, args.n)
    return {"asked": f"{b} is to {a} as ? to {c}", "nearest": _rows(found)}


def vectors_plot(args: argparse.Namespace) -> dict[str, Any]:
    from gptlite import plots

    if len(args.words) < 3:
        raise ConfigError(f"wanted at least 3 words to draw, got {len(args.words)}")
    places = _load(args).plane(args.words)
    plots.save(plots.word_map(places, args.words), args.out)
    return {"out": args.out, "words": len(args.words)}


def add(commands: Commands) -> None:
    """Enter these commands."""
    group = commands.group("vectors", "word vectors: learn them, ask them, draw them")
    train = group.add("train", vectors_train, "learn word vectors from texts")
    train.add_argument("texts", nargs="+", metavar="FILE", help="- is standard input")
    train.add_argument("--out", default="vectors.txt", metavar="FILE")
    train.add_argument("--tokenizer", metavar="NAME", help="learn vectors of tokens, "
                       "not of words: a name, such as gpt2, or a file")  # fmt: skip
    add_defaults(train, SkipGram)
    similar = group.add("similar", vectors_similar, "the words nearest to one")
    analogy = group.add("analogy", vectors_analogy, "B is to A as what is to C?")
    plot = group.add("plot", vectors_plot, "words on a plane, as PNG")
    for parser in (similar, analogy, plot):
        parser.add_argument("vectors", metavar="FILE", help="word2vec's format")
    similar.add_argument("word")
    analogy.add_argument("words", nargs=3, metavar="WORD", help="A, B and C")
    plot.add_argument("words", nargs="+", metavar="WORD")
    plot.add_argument("--out", default="vectors.png", metavar="PNG")
    for parser in (similar, analogy):
        parser.add_argument("-n", type=int, default=10, help="how many")
    for parser in (train, similar, analogy, plot):
        parser.add_argument("--binary", action="store_true", help="the binary format")
