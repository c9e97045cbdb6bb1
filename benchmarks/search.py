"""Finding an article by its one-line description: plain mean against SIF.

    python benchmarks/search.py [--json]

Word vectors are learned from the English encyclopedia's extracts; each description is
a query, and the article that it belongs to should come first. Needs
`gptlite data fetch encyclopedia`.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from gptlite.config import SkipGram
from gptlite.data.fetch import data_folder
from gptlite.data.sources import source
from gptlite.text.skipgram import learn_word_vectors, words_of
from gptlite.text.text_vectors import TextVectors

PLAIN = 1e6  # a so large that all words weigh the same


def ranks(queries: np.ndarray, articles: np.ndarray) -> np.ndarray:
    """(n,): how many other articles are at least as near to each query as its own.

    All are, to a query without a known word: it finds nothing.
    """
    scores = queries @ articles.T  # [n, D] @ [D, n]
    return (scores >= np.diag(scores)[:, None]).sum(axis=1) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    folder = data_folder(source("encyclopedia"))
    path = next(folder.rglob("summaries_en-us.json"))
    entries = [e for e in json.loads(path.read_text(encoding="utf-8")).values()
               if e.get("description")]  # fmt: skip
    articles = [entry["extract"] for entry in entries]
    queries = [entry["description"] for entry in entries]
    words = learn_word_vectors(words_of("\n".join(articles)), SkipGram(epochs=10))
    rows = []
    for name, a, common in (("mean", PLAIN, True), ("weighted mean", 1e-3, True),
                            ("SIF", 1e-3, False)):  # fmt: skip
        vectors = TextVectors(words, articles, a)
        if common:  # nothing is taken away
            vectors.common = np.zeros_like(vectors.common)
        found = ranks(vectors.embed(queries), vectors.embed(articles))
        rows.append({
            "method": name, "first": round(float((found == 0).mean()), 3),
            "among_10": round(float((found < 10).mean()), 3),
            "mean_reciprocal_rank": round(float((1 / (1 + found)).mean()), 3),
        })  # fmt: skip
    result = {"articles": len(articles), "rows": rows}
    if args.json:
        print(json.dumps(result))
        return
    print(f"{len(articles):,} descriptions, each with its article among as many")
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
