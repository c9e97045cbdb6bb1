"""The ids are those of tiktoken, on what its Unicode tables know."""

from __future__ import annotations

import importlib.util
import random
import unicodedata

import pytest

from gptlite.data.fetch import is_fetched
from gptlite.data.sources import source
from gptlite.text.bpe import BPETokenizer
from gptlite.text.vocabularies import KNOWN, tokenizer

SOURCES = ("gpt2-vocabulary", "gpt-vocabularies")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("tiktoken") is None, reason="tiktoken is in [bench]"
    ),
    pytest.mark.skipif(
        not all(is_fetched(source(name)) for name in SOURCES),
        reason="vocabularies are fetched by gptlite data fetch " + " ".join(SOURCES),
    ),
]
# tiktoken's own patterns (openai_public.py), which it runs by another engine
PATTERNS = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$"
    r"|\s+(?!\S)|\s",
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}


@pytest.mark.parametrize("name", KNOWN)
def test_ten_thousand_random_strings_have_the_ids_of_tiktoken(name: str) -> None:
    import tiktoken

    ours = tokenizer(name)
    assert isinstance(ours, BPETokenizer)
    special = set(ours.special.values())
    ranks = {t: i for i, t in enumerate(ours.tokens)
             if t is not None and i not in special}  # fmt: skip
    theirs = tiktoken.Encoding(
        name, pat_str=PATTERNS[name], mergeable_ranks=ranks, special_tokens={}
    )
    # Python's own table of characters is no newer than tiktoken's
    known = [chr(c) for c in range(1, 0x20000)
             if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]  # fmt: skip
    usual = "aAeE  tTsS'nN\n\r 019.,-/漢かй"
    rng = random.Random(0)
    for _ in range(10_000):
        length = rng.randint(1, 40)
        text = "".join(
            rng.choice(known if rng.random() < 0.4 else usual) for _ in range(length)
        )
        assert ours.encode(text).tolist() == theirs.encode_ordinary(text), repr(text)
