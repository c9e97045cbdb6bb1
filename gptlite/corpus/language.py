"""Which language a text is in, by its runs of three bytes.

Each language has a profile: how often each trigram of bytes occurs in the Universal
Declaration of Human Rights, which ships in the package in these languages. A text is
given to the language under which its trigrams are likeliest (naive Bayes; Dunning 1994,
"Statistical Identification of Language").
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from gptlite.corpus.kernels import trigrams
from gptlite.data.sample import sample_file, sample_files
from gptlite.errors import ConfigError

SEEN = 1024  # characters from the beginning of a text that are looked at
CLASSES = 2**16  # classes of trigrams: a trigram's hash
SMALLEST = 0.5  # what every class is counted more, since texts are short
LEAST = 16  # bytes of letters; shorter texts are in no known language
UNKNOWN = "?"


@lru_cache(maxsize=1)
def languages() -> tuple[str, ...]:
    """The languages that are told apart, by their two-letter codes (ISO 639-1)."""
    return tuple(n[len("rights-") : -len(".txt")] for n in sample_files("rights"))


@lru_cache(maxsize=1)
def _profiles() -> np.ndarray:
    """(CLASSES, L) float32: log probability of each class in each language."""
    counts = np.full((CLASSES, len(languages())), SMALLEST)
    for column, code in enumerate(languages()):
        text = sample_file(f"rights-{code}.txt").lower()
        counted = np.zeros(CLASSES, np.int64)
        trigrams.count(counted, np.frombuffer(text.encode(), np.uint8))
        counts[:, column] += counted
    return np.log(counts / counts.sum(axis=0)).astype(np.float32)


def language(text: str) -> str:
    """The code of the language that `text` is most likely in, "?" if it is too short.

    >>> language("All human beings are born free"), language("Tous les hommes sont nés")
    ('en', 'fr')
    """
    data = np.frombuffer(text[:SEEN].lower().encode("utf-8", "replace"), np.uint8)
    scores = np.empty(len(languages()), np.float32)
    if trigrams.scores(scores, data, _profiles()) < LEAST:
        return UNKNOWN
    return languages()[int(np.argmax(scores))]


def check_languages(codes: str) -> list[str]:
    """The codes in "en,fr"; an unknown one is an error."""
    wanted = [code for code in codes.replace(",", " ").split() if code]
    for code in wanted:
        if code not in languages():
            known = ", ".join(languages())
            raise ConfigError(f"wanted languages among {known}, got {code!r}")
    return wanted
