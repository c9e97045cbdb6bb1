"""What held-out text costs: a run, gzip, xz and counted 5-grams, in bits a byte.

    python benchmarks/bits.py runs/mini/finetuned --corpus runs/mini/corpus

gzip -9 and xz -9 are given the held-out text as one file. The 5-gram model (Kneser-Ney)
has counted the training tokens of the same source, the run's own tokens; the run itself
reads windows of its context.
"""

from __future__ import annotations

import argparse
import gzip
import json
import lzma
import math
from pathlib import Path

import numpy as np

from gptlite.assistant.stages import bits_per_byte
from gptlite.corpus.corpus import open_corpus, read_header, validation_tokens
from gptlite.text.ngrams import KneserNey
from gptlite.text.tokenizer import Tokenizer
from gptlite.training.run import open_run

ORDER = 5


def training_tokens(corpus: Path, name: str) -> np.ndarray:
    """(n,) ids of one source."""
    dataset, _ = open_corpus(corpus, 1)
    start = 0
    for source in read_header(corpus)["sources"]:
        end = start + source["train"]["tokens"]
        if source["name"] == name:
            return np.asarray(dataset.train[start:end])
        start = end
    raise SystemExit(f"wanted a source of {corpus}, got {name}")


def rivals(corpus: Path, name: str, ids: np.ndarray, tokenizer: Tokenizer
           ) -> dict[str, float]:  # fmt: skip
    """Bits a byte of the tokens ids (n,), the first one left out for the 5-grams."""
    text = tokenizer.decode_bytes(ids)
    counted = KneserNey(training_tokens(corpus, name), tokenizer.vocab_size, ORDER)
    nats = -float(counted.log_probabilities(ids)[1:].sum())
    return {
        "gzip -9": 8 * len(gzip.compress(text, 9)) / len(text),
        "xz -9": 8 * len(lzma.compress(text, preset=9)) / len(text),
        f"{ORDER}-gram Kneser-Ney": nats / math.log(2)
        / len(tokenizer.decode_bytes(ids[1:])),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--corpus", required=True, metavar="CORPUS")
    parser.add_argument("--source", default="encyclopedia", metavar="NAME")
    args = parser.parse_args()
    model, tokenizer = open_run(args.run).load()
    corpus = Path(args.corpus)
    _, its_own = open_corpus(corpus, 1)
    if its_own.to_json() != tokenizer.to_json():
        raise SystemExit(f"wanted the corpus of {args.run}, got other tokens")
    ids = validation_tokens(corpus)[args.source]
    found = {args.run: bits_per_byte(model, tokenizer, ids)}
    found |= rivals(corpus, args.source, ids, tokenizer)
    print(json.dumps({name: round(bits, 4) for name, bits in found.items()}))


if __name__ == "__main__":
    main()
