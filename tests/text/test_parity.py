"""The ids are those of tiktoken, on what its Unicode tables know."""

from __future__ import annotations

import html
import importlib.util
import json
import os
import random
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptlite.data.fetch import data_folder, is_fetched
from gptlite.data.sources import source
from gptlite.text.bpe import BPETokenizer
from gptlite.text.kernels.scan import piece_ends
from gptlite.text.vocabularies import KNOWN, tokenizer
from tests.helpers import PACKAGE

SOURCES = ("gpt2-vocabulary", "gpt-vocabularies")


def needs(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        not all(is_fetched(source(name)) for name in names),
        reason="fetched by gptlite data fetch " + " ".join(names),
    )


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("tiktoken") is None, reason="tiktoken is in [bench]"
    ),
    needs(*SOURCES),
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
# a language of the declaration for each script, by the name that Unicode gives letters
SCRIPTS = {
    "eng": "LATIN", "vie": "LATIN", "rus": "CYRILLIC", "ell_polytonic": "GREEK",
    "arb": "ARABIC", "urd": "ARABIC", "heb": "HEBREW", "aii": "SYRIAC",
    "div": "THAANA", "hin": "DEVANAGARI", "ben": "BENGALI", "pan": "GURMUKHI",
    "guj": "GUJARATI", "tam": "TAMIL", "tel": "TELUGU", "kan": "KANNADA",
    "mal": "MALAYALAM", "sin": "SINHALA", "san_gran": "GRANTHA", "ccp": "CHAKMA",
    "tha": "THAI", "lao": "LAO", "blt": "TAI VIET", "kkh_lana": "TAI THAM",
    "bod": "TIBETAN", "mya": "MYANMAR", "khm": "KHMER", "jav_java": "JAVANESE",
    "kat": "GEORGIAN", "hye": "ARMENIAN", "amh": "ETHIOPIC", "zgh": "TIFINAGH",
    "vai": "VAI", "fuf_adlm": "ADLAM", "khk_mong": "MONGOLIAN", "kor": "HANGUL",
    "cmn_hans": "CJK", "cmn_hant": "CJK", "jpn": "HIRAGANA", "iii": "YI",
    "chr_cased": "CHEROKEE", "chr_uppercase": "CHEROKEE", "ike": "CANADIAN",
}  # fmt: skip
UNKNOWN = ("Cn", "Cs", "Co")  # Python's own table is no newer than tiktoken's
KNOWN_CHARACTERS = st.characters(exclude_categories=UNKNOWN)


class Both(NamedTuple):
    ours: BPETokenizer
    theirs: Any  # tiktoken.Encoding

    def agree(self, texts: Iterable[str]) -> int:
        """Every text has the same ids, and comes back; returns how many ids."""
        count = 0
        for text in texts:
            ids = self.ours.encode(text).tolist()
            assert ids == self.theirs.encode_ordinary(text), repr(text[:200])
            assert self.ours.decode(ids) == text
            count += len(ids)
        return count


@pytest.fixture(scope="module", params=KNOWN)
def both(request: pytest.FixtureRequest) -> Both:
    import tiktoken

    ours = tokenizer(request.param)
    assert isinstance(ours, BPETokenizer)
    special = set(ours.special.values())
    ranks = {t: i for i, t in enumerate(ours.tokens)
             if t is not None and i not in special}  # fmt: skip
    return Both(ours, tiktoken.Encoding(
        request.param, pat_str=PATTERNS[ours.pattern], mergeable_ranks=ranks,
        special_tokens={},
    ))  # fmt: skip


def declaration(code: str) -> str:
    folder = data_folder(source("rights")) / "package" / "declaration"
    page = (folder / f"{code}.html").read_text(encoding="utf-8")
    body = page[page.index("<body>") :]
    return html.unescape(re.sub(r"<[^>]*>", "", body))


def is_known(text: str) -> bool:
    return not any(unicodedata.category(c) in UNKNOWN for c in text)


@needs("rights")
@pytest.mark.parametrize("code", SCRIPTS)
def test_the_declaration_is_mostly_in_the_script_that_the_table_names(
    code: str,
) -> None:
    text = declaration(code)
    letters = [c for c in text if unicodedata.category(c)[0] in "LM"]
    named = [unicodedata.name(c, "").startswith(SCRIPTS[code]) for c in letters]
    assert len(letters) > 100 and sum(named) > len(letters) / 2
    assert is_known(text)


@needs("rights")
def test_the_declaration_of_human_rights_in_39_scripts(both: Both) -> None:
    assert len(set(SCRIPTS.values())) == 39
    assert both.agree(map(declaration, SCRIPTS)) > 100_000


def test_programs(both: Both) -> None:
    """Every third file of the standard library's first folder, and this package."""
    standard = sorted(Path(os.__file__).parent.glob("*.py"))[::3]
    own = sorted(PACKAGE.rglob("*.py"))
    assert len(standard) >= 50 and len(own) >= 80
    both.agree(path.read_text(encoding="utf-8") for path in standard + own)


@needs("emoji")
def test_all_emoji_alone_and_in_sentences(both: Both) -> None:
    """Flags, families, skin tones: sequences of up to ten code points."""
    path = data_folder(source("emoji")) / "package" / "en" / "data.json"
    entries = json.loads(path.read_text(encoding="utf-8"))
    entries += [skin for entry in entries for skin in entry.get("skins", [])]
    found = [entry["emoji"] for entry in entries if is_known(entry["emoji"])]
    assert len(found) > 3000 and max(map(len, found)) >= 8
    both.agree(found)
    both.agree(f"I {one}{one} it's{one} 2{one}\n" for one in found)
    both.agree(["".join(found), " ".join(found)])


def test_random_bytes_are_merged_as_tiktoken_merges_a_piece(both: Both) -> None:
    """tiktoken takes bytes in two ways, neither public.

    `_encode_single_piece` merges any bytes without cutting them. So every piece that
    the scanner makes of random bytes is compared: the merges, not the cuts, for which
    there is no rule where bytes are no text. `_encode_bytes` cuts the valid text in
    front, and takes its last piece with all that follows for one. The two are the same
    where nothing valid is there at all: bytes that only go on with a character.
    """
    rng = random.Random(0)
    for _ in range(2_000):
        data = rng.randbytes(rng.randint(1, 100))
        numbers = np.frombuffer(data, np.uint8)
        ends = piece_ends(numbers, both.ours.pattern).tolist()
        wanted = []
        for start, end in zip([0, *ends], ends, strict=False):
            wanted += both.theirs._encode_single_piece(data[start:end])
        assert both.ours.encode_bytes(data).tolist() == wanted, data
        data = bytes(rng.choices(range(0x80, 0xC0), k=rng.randint(1, 100)))
        assert both.ours.encode_bytes(data).tolist() == both.theirs._encode_bytes(data)


def test_bytes_that_are_text_have_the_ids_of_the_text(both: Both) -> None:
    """Here, and nowhere else, `_encode_bytes` is `encode_ordinary`."""
    data = "naïve 漢字, it's 1234 😀\r\n".encode()
    assert both.ours.encode_bytes(data).tolist() == both.theirs._encode_bytes(data)


def test_ten_thousand_random_strings(both: Both) -> None:
    known = [c for c in map(chr, range(1, 0x20000)) if is_known(c)]
    usual = "aAeE  tTsS'nN\n\r 019.,-/漢かй"
    rng = random.Random(0)
    for _ in range(10_000):
        length = rng.randint(1, 40)
        both.agree(
            ["".join(rng.choice(known if rng.random() < 0.4 else usual)
                     for _ in range(length))]
        )  # fmt: skip


@settings(max_examples=500)
@given(text=st.text(KNOWN_CHARACTERS))
def test_any_text(both: Both, text: str) -> None:
    both.agree([text])
