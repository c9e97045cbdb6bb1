"""How much memory a corpus takes while it is built from a long stream of documents.

    python benchmarks/stream.py [--gigabytes 2] [--json]

The documents are made as they are asked for, all distinct: 300 words each, as frequent
as words of a language are (Zipf), from 50,000 made up of random letters. Prints the
peak of the process's resident memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gptlite.config import CorpusConfig
from gptlite.corpus.build import build_corpus
from gptlite.corpus.documents import Document


def stream(n_bytes: float, seed: int = 0) -> Iterator[Document]:
    """Distinct documents, until they have `n_bytes` together."""
    rng = np.random.default_rng(seed)
    letters = rng.integers(97, 123, (50_000, 9)).astype(np.uint8)
    lengths = rng.integers(2, 10, 50_000).tolist()
    words = [bytes(row[:n]).decode() for row, n in zip(letters, lengths, strict=True)]
    made = 0
    while made < n_bytes:
        ranks = (50_000 ** rng.random(300)).astype(int) - 1  # Zipf's law
        text = " ".join([words[i] for i in ranks.tolist()])
        made += len(text)
        yield Document(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        header = build_corpus(
            Path(folder, "corpus"), {"stream": stream(args.gigabytes * 1e9)},
            CorpusConfig(), quiet=not sys.stderr.isatty(),
        )  # fmt: skip
    source = header["sources"][0]
    # the kernel counts in KiB on Linux
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    result = {"gigabytes": args.gigabytes, "documents": source["documents"],
              "left_out": source["left_out"], "tokens": source["train"]["tokens"],
              "seconds": round(time.perf_counter() - start),
              "peak_memory_MB": round(peak)}  # fmt: skip
    if args.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:<16}{value}")


if __name__ == "__main__":
    main()
