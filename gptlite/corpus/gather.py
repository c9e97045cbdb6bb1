"""The first half of a corpus: documents cleaned, repeats found, each given its split.

Documents stream through once; what grows with their number is on disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gptlite.config import CorpusConfig
from gptlite.corpus.clean import clean
from gptlite.corpus.documents import Document
from gptlite.corpus.language import check_languages, language
from gptlite.corpus.repeats import EXACT, KEPT, NEAR, Repeats, text_hash
from gptlite.errors import DataError

BLOCK = 2**12  # documents whose records are in memory at a time
SPLITS = ("train", "validation")
# bytes of the text, number of its source, hash of the whole that it is a part of
RECORD = np.dtype([("size", np.int64), ("source", np.int32), ("whole", np.uint64)])


class Kept(NamedTuple):
    """A document that is in the corpus."""

    source: int
    split: str
    whole: int
    text: bytes


def in_validation(document: Document, config: CorpusConfig) -> bool:
    """Whether any corpus of this configuration has the document in its validation part,
    whatever else is in it. (Of a part of a whole, it is the whole that decides.)"""
    return text_hash(clean(document.text), config.seed) <= _share(config)


def _share(config: CorpusConfig) -> int:
    return int(config.validation * 2**63) * 2


class Gathering:
    """Sources are added one by one; then `kept` goes through what is left of them."""

    def __init__(self, folder: Path, config: CorpusConfig) -> None:
        self.config = config
        self.sources: list[str] = []
        self.seen: list[Counter[str]] = []  # of each source: documents, and left out
        self.languages: list[Counter[str]] = []
        self._wanted = check_languages(config.languages)
        self._texts_file, self._records_file = folder / "texts", folder / "records"
        self._texts_file.touch()
        self._records_file.touch()
        self._repeats = Repeats(folder, config.similarity, config.seed)

    @property
    def documents(self) -> int:
        """How many were put aside, repeats among them."""
        return self._repeats.documents

    @property
    def bytes(self) -> int:
        return self._texts_file.stat().st_size

    def add(self, name: str, documents: Iterable[Document]) -> None:
        """Clean the documents of a source and put aside those in a wanted language."""
        number, seen, languages = len(self.sources), Counter[str](), Counter[str]()
        self.sources.append(name)
        self.seen.append(seen)
        self.languages.append(languages)
        whole, key = "", 0
        with open(self._texts_file, "ab") as texts, \
             open(self._records_file, "ab") as records:  # fmt: skip
            for document in documents:
                seen["documents"] += 1
                text = clean(document.text)
                found = language(text)
                if not text:
                    seen["broken lines" if document.broken else "empty"] += 1
                    continue
                if self._wanted and found not in self._wanted:
                    seen["other language"] += 1
                    continue
                languages[found] += 1
                if not document.whole or document.whole != whole:
                    whole, key = document.whole, text_hash(text, self.config.seed)
                self._repeats.add(text)
                data = text.encode("utf-8")
                texts.write(data)
                records.write(np.array([(len(data), number, key)], RECORD).tobytes())

    def finish(self) -> None:
        """Find the repeats, and where each source's documents are split."""
        self._flags = self._repeats.found()
        lowest = np.full(len(self.sources), 2**64 - 1, np.uint64)
        highest = np.zeros(len(self.sources), np.uint64)
        for records, flags in self._blocks():
            for i, seen in enumerate(self.seen):
                mine = flags[records["source"] == i]
                seen["exact repeats"] += int(np.sum(mine == EXACT))
                seen["near repeats"] += int(np.sum(mine == NEAR))
            left = records[flags == KEPT]
            np.minimum.at(lowest, left["source"], left["whole"])
            np.maximum.at(highest, left["source"], left["whole"])
        share = np.uint64(_share(self.config))
        # of two documents or more, at least one is for validation
        self._limits = np.where(lowest < highest, np.maximum(share, lowest), 0)
        if self.documents and not (self._limits < highest).any():
            raise DataError(
                "wanted documents to train on, got all of them for validation; lower "
                f"--validation ({self.config.validation:g}), or give more documents"
            )
        if self.documents and not self._limits.any():
            raise DataError(
                "wanted two documents of one source or more, to have one for "
                "validation, got one text; give a file a document or JSON lines, or "
                "train on the text itself: `gptlite pretrain --text FILE` keeps its "
                "last tenth for validation"
            )

    def _blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        with open(self._records_file, "rb") as file:
            for start in range(0, self.documents, BLOCK):
                records = np.fromfile(file, RECORD, BLOCK)
                yield records, self._flags[start : start + BLOCK]

    def kept(self) -> Iterator[Kept]:
        """All documents but the repeats, in the order in which they came.

        A hash below the limit of its source is for validation: so the same text, and
        all parts of one whole, are on the same side, whatever else is in the corpus
        (but in a source so small that no hash is low enough: there it is the lowest).
        """
        with open(self._texts_file, "rb") as texts:
            for records, flags in self._blocks():
                for record, flag in zip(records, flags, strict=True):
                    text = texts.read(record["size"])
                    if flag == KEPT:
                        source, whole = int(record["source"]), int(record["whole"])
                        split = SPLITS[whole <= int(self._limits[source])]
                        yield Kept(source, split, whole, text)

    def close(self) -> None:
        self._repeats.close()
