"""Are our word vectors as good as gensim's? The same text, settings, and questions.

    pip install -e '.[bench]'
    gptlite data fetch encyclopedia books definitions
    python benchmarks/word_quality.py [--seeds 3] [--workers 0] [--in-order] [--json]

Learns on 11 million characters of English (some minutes), then asks for the odd one out
of four: three words directly below one meaning of WordNet, and one from elsewhere that
is about as frequent as one of them. Guessing is right in a quarter of all cases.

The lines are mixed, the same way for both. In order, an encyclopedia comes first, with
long lines, then plays, with short ones; gensim lowers its learning rate by the lines it
has gone through, word2vec.c and we by the words, so that the encyclopedia, which most
questions are about, gets a higher rate from gensim.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gensim.models import Word2Vec

from gptlite.config import SkipGram
from gptlite.corpus.readers import article, books
from gptlite.data.fetch import data_folder, is_fetched
from gptlite.data.sources import source
from gptlite.errors import DataError
from gptlite.output import print_result
from gptlite.parallel.pool import available_cores
from gptlite.text.skipgram import learn_word_vectors, vocabulary, words_of
from gptlite.text.word_vectors import WordVectors

LEAST = 10  # a question's words occur this often
QUESTIONS = 4000
PROBES, NEAREST = 500, 10  # words whose nearest neighbours are compared
FILES = ("data.noun", "data.verb", "data.adj", "data.adv")  # of WordNet


class Meaning(NamedTuple):
    key: str  # where it stands in its file
    field: str  # animal, food, person … as a number
    words: list[str]
    above: list[str]  # keys of the meanings that it is a kind of


def folder(name: str) -> Path:
    found = source(name)
    if not is_fetched(found):
        raise DataError(f"wanted {name}, got nothing; run `gptlite data fetch {name}`")
    return data_folder(found)


def sentences(in_order: bool) -> list[list[str]]:
    """The lines of the English encyclopedia and of Shakespeare's plays."""
    path = next(folder("encyclopedia").rglob("summaries_en-us.json"))
    entries = json.loads(path.read_text(encoding="utf-8")).values()
    articles = [article(entry["title"], entry["extract"]) for entry in entries]
    lines = words_of("\n".join([*articles, *books(folder("books"))]))
    if not in_order:
        random.Random(0).shuffle(lines)
    return lines


def meanings(path: Path) -> Iterator[Meaning]:
    """The lines of a WordNet file (its format: the manual page wndb(5)).

    key, field, kind, number of words (hexadecimal), (word, number) …, number of
    pointers, (symbol, key, kind, which words) … | definition. "@": is a kind of.
    """
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):  # the licence
            continue
        key, field, _, n, *rest = line.split(" | ")[0].split()
        end = 2 * int(n, 16)
        words = [word.split("(")[0].lower() for word in rest[:end:2]]
        pointers = rest[end + 1 :]
        above = [k for s, k in zip(pointers[::4], pointers[1::4], strict=False)
                 if s == "@"]  # fmt: skip
        yield Meaning(key, field, words, above)


def kinds(counts: dict[str, int]) -> tuple[list[list[str]], dict[str, str]]:
    """(groups of nouns of one kind, the field of each noun), of clear nouns only.

    A clear noun has one meaning in all of WordNet, so that nobody has to know which of
    its meanings the text is about.
    """
    files = [list(meanings(folder("definitions") / "package" / "dict" / name))
             for name in FILES]  # fmt: skip
    senses = Counter(w for file in files for m in file for w in set(m.words))
    below, field = defaultdict(set), {}
    for meaning in files[0]:
        if not meaning.above:  # a name: an instance of something, not a kind of it
            continue
        for word in meaning.words:
            if senses[word] == 1 and counts.get(word, 0) >= LEAST and word.isalpha():
                field[word] = meaning.field
                for key in meaning.above:
                    below[key].add(word)
    return [sorted(below[k]) for k in sorted(below) if len(below[k]) >= 3], field


def questions(counts: dict[str, int], seed: int = 0) -> list[list[str]]:
    """Four words each, the odd one last; no question twice."""
    rng = np.random.default_rng(seed)
    groups, field = kinds(counts)
    found: dict[tuple[str, ...], None] = {}  # a set that keeps its order
    while len(found) < QUESTIONS:
        group = groups[rng.integers(len(groups))]
        three = sorted(rng.choice(group, 3, replace=False).tolist())
        like = counts[three[rng.integers(3)]]
        fields = {field[word] for word in three}
        others = [word for word in field if field[word] not in fields
                  and like / 1.25 <= counts[word] <= like * 1.25]  # fmt: skip
        if others:
            found[(*three, others[rng.integers(len(others))])] = None
    return [list(words) for words in found]


def units(vectors: WordVectors, words: Iterable[str]) -> np.ndarray:
    """(n, D): the directions of `words`."""
    rows = np.array([vectors[word] for word in words])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def accuracy(vectors: WordVectors, asked: list[list[str]]) -> float:
    """How often the word least like the other three is the odd one."""
    rows = units(vectors, itertools.chain.from_iterable(asked))
    rows = rows.reshape(len(asked), 4, -1)
    cosines = rows @ rows.transpose(0, 2, 1)  # [n, 4, D] @ [n, D, 4]
    return float((cosines.sum(axis=2).argmin(axis=1) == 3).mean())


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """The correlation of the ranks of two arrays of numbers without ties."""
    ranks = [x.ravel().argsort().argsort() for x in (a, b)]
    return float(np.corrcoef(ranks)[0, 1])


def agreement(a: WordVectors, b: WordVectors, words: list[str]) -> tuple[float, float]:
    """Spearman of the cosines (of any two words, of nearest neighbours) in a and b.

    Neighbours are those in a, then those in b; the mean of both is given.
    """
    rows = [units(vectors, words) for vectors in (a, b)]
    some = np.random.default_rng(0).choice(len(words), PROBES, replace=False)
    cosines = [x[some] @ x.T for x in rows]  # [probes, D] @ [D, words]
    near = []
    for own in cosines:
        nearest = (-own).argsort(axis=1)[:, 1 : NEAREST + 1]  # the first is itself
        near.append(spearman(*(np.take_along_axis(c, nearest, 1) for c in cosines)))
    rest = np.arange(len(words)) != some[:, None]
    return spearman(cosines[0][rest], cosines[1][rest]), float(np.mean(near))


def ours(text: list[list[str]], config: SkipGram) -> WordVectors:
    return learn_word_vectors(text, config)


def gensims(text: list[list[str]], config: SkipGram) -> WordVectors:
    model = Word2Vec(
        text, sg=1, vector_size=config.size, window=config.window,
        negative=config.negatives, epochs=config.epochs, min_count=config.least,
        sample=config.subsample, alpha=config.learning_rate,
        min_alpha=config.final_learning_rate, ns_exponent=config.noise_power,
        workers=config.workers or available_cores(), seed=config.seed,
    )  # fmt: skip
    return WordVectors(model.wv.index_to_key, model.wv.vectors)


SIDES: dict[str, Callable[..., WordVectors]] = {"gptlite": ours, "gensim": gensims}


def measure(seeds: int, workers: int, in_order: bool) -> dict[str, Any]:
    text = sentences(in_order)
    counts = vocabulary(text, LEAST)
    asked = questions(counts)
    learned = {
        name: [learn(text, SkipGram(seed=s, workers=workers)) for s in range(seeds)]
        for name, learn in SIDES.items()
    }
    scores = {name: [accuracy(v, asked) for v in found]
              for name, found in learned.items()}  # fmt: skip
    mean = {name: float(np.mean(found)) for name, found in scores.items()}
    spread = {name: float(np.std(found, ddof=1)) for name, found in scores.items()}
    noise = 2 * np.hypot(*spread.values()) / seeds**0.5  # of the means' difference
    rows = [{"vectors": name, "odd_one_out": round(mean[name], 4),
             "spread": round(spread[name], 4)} for name in SIDES]  # fmt: skip
    return {
        "benchmark": "word quality", "words": sum(map(len, text)),
        "questions": len(asked), "seeds": seeds, "workers": workers,
        "in_order": in_order, "rows": rows,
        "difference": round(mean["gptlite"] - mean["gensim"], 4),
        "noise": round(float(noise), 4),
        "met": bool(mean["gptlite"] >= mean["gensim"] - noise),
        "spearman": agreements(learned, list(counts)),
    }  # fmt: skip


def agreements(
    learned: dict[str, list[WordVectors]], words: list[str]
) -> list[dict[str, Any]]:
    """A row for each two sides: the mean over pairs of different seeds."""
    rows = []
    for one, two in (("gptlite", "gensim"), ("gensim", "gensim"),
                     ("gptlite", "gptlite")):  # fmt: skip
        pairs = itertools.combinations(range(len(learned[one])), 2)
        found = [agreement(learned[one][i], learned[two][j], words) for i, j in pairs]
        any_two, near = np.mean(found, axis=0)
        rows.append({"of": f"{one}, {two}", "any_two_words": round(float(any_two), 3),
                     "neighbours": round(float(near), 3)})  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--seeds", type=int, default=3, help="of each side, 2 or more")
    parser.add_argument("--workers", type=int, default=0, help="0: one a core")
    parser.add_argument("--in-order", action="store_true", help="lines as they stand")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    print_result(measure(args.seeds, args.workers, args.in_order), args.json)


if __name__ == "__main__":
    main()
