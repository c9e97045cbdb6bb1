"""From word vectors to a GPT: vectors of *tokens*, learned without labels.

Skip-gram does not care what a word is. Fed with the tokens of a tokenizer, it learns a
row for each of them, which is what the embedding matrix of a GPT holds as well.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from gptlite.errors import ConfigError, DataError
from gptlite.text.formats import to_characters
from gptlite.text.tokenizer import Tokenizer
from gptlite.text.word_vectors import WordVectors


def token_names(tokenizer: Tokenizer) -> dict[int, str]:
    """How each token is written in a file of vectors: its bytes, in visible characters.

    Those of GPT-2, as in tokenizer.json: no blank is among them, any byte survives.

    >>> from gptlite.text.tokenizer import CharTokenizer
    >>> token_names(CharTokenizer("\\n aé"))
    {0: 'Ċ', 1: 'Ġ', 2: 'a', 3: 'Ã©'}
    """
    names = {}
    for i in range(tokenizer.vocab_size):
        try:
            names[i] = to_characters(tokenizer.decode_bytes([i]))
        except DataError:  # an id that no token uses
            continue
    return names


def tokens_of(text: str, tokenizer: Tokenizer) -> list[list[str]]:
    """The names of a text's tokens, as one sentence: so a GPT reads it too.

    >>> from gptlite.text.tokenizer import ByteTokenizer
    >>> tokens_of("to be", ByteTokenizer())
    [['t', 'o', 'Ġ', 'b', 'e']]
    """
    names = token_names(tokenizer)
    return [[names[i] for i in tokenizer.encode(text).tolist()]]


def read_vectors(path: str | Path) -> WordVectors:
    """word2vec's file, text or binary: in a text, digits follow the first word."""
    try:
        with open(path, "rb") as file:
            file.readline()  # how many, of which size
            written = re.fullmatch(rb"\S+( [-+.e\dnaif]+)+\s*", file.readline())
        return WordVectors.load(path, binary=written is None)
    except OSError as error:
        raise DataError(
            f"wanted a file of vectors, got {path}: {error.strerror}; "
            "`gptlite vectors train --tokenizer` makes one"
        ) from error


def set_rows(table: np.ndarray, vectors: WordVectors, tokenizer: Tokenizer) -> int:
    """Put the vectors (…, C) of tokens into their rows of `table` (V, C).

    All are multiplied by one number, so that their root mean square is that of the
    rows they replace. Tokens that `vectors` does not know keep their row. Returns how
    many rows were set.

    >>> from gptlite.text.tokenizer import CharTokenizer
    >>> table = np.full((3, 2), 0.5, np.float32)
    >>> known = WordVectors(["c", "a", "z"], np.array([[8, 0], [0, 8], [1, 1]]))
    >>> set_rows(table, known, CharTokenizer("abc"))
    2
    >>> print(table.round(2))
    [[0.   0.71]
     [0.5  0.5 ]
     [0.71 0.  ]]
    """
    size, C = vectors.vectors.shape[1], table.shape[1]
    if size != C:
        raise ConfigError(
            f"wanted vectors of n_embd = {C} numbers, got vectors of {size}; learn "
            f"them with `gptlite vectors train --size {C}`, or take --n-embd {size}"
        )
    known = {i: name for i, name in token_names(tokenizer).items() if name in vectors}
    if not known:
        raise DataError(
            f"wanted vectors of this tokenizer's tokens, got none among "
            f"{len(vectors.words)}: {', '.join(vectors.words[:5])} …; learn them with "
            "`gptlite vectors train --tokenizer` and the tokenizer of this run"
        )
    ids = list(known)
    rows = vectors.vectors[[vectors.index(name) for name in known.values()]]
    length = _root_mean_square(rows)
    if length == 0:
        raise DataError(
            "wanted finite vectors, not all 0, got zeros; is the file whole?"
        )
    table[ids] = rows * (_root_mean_square(table[ids]) / length)
    return len(ids)


def _root_mean_square(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))
