"""Byte-level BPE: the scanner is the pattern, merges are the definition."""

from __future__ import annotations

import base64
import collections
import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.errors import ConfigError, DataError
from gptlite.text import formats
from gptlite.text.bpe import BPETokenizer
from gptlite.text.kernels.scan import piece_ends
from gptlite.text.learn import PieceCounter, train_bpe
from gptlite.text.patterns import PATTERNS, split
from gptlite.text.tokenizer import tokenizer_from_json

NAMES = st.sampled_from(list(PATTERNS))
# what patterns treat differently: case, contractions, digits, kinds of space, marks,
# letters that are both or neither of capital and small, signs, four-byte characters
SPECIMENS = [
    *"aAbBzZ  \n\r\t'sStTmMdDlLvErRe09.,!/-_é É漢字かなकि़ாঅั์ſK̈ǅʰªⅷ²😀👩İı\0",
    "\u200d", "\u00a0", "\u3000", "\u2028", "\u0085",
]  # fmt: skip
TEXTS = st.text(st.sampled_from(SPECIMENS) | st.characters(exclude_categories=["Cs"]))
BYTES = [bytes([b]) for b in range(256)]


def pieces(text: str, pattern: str) -> list[str]:
    data = text.encode()
    ends = piece_ends(np.frombuffer(data, np.uint8), pattern).tolist()
    return [data[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]


@given(TEXTS, NAMES)
def test_the_scanner_cuts_where_the_pattern_does(text: str, pattern: str) -> None:
    assert pieces(text, pattern) == split(text, pattern)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_scanner_cuts_every_text_of_three_specimens(pattern: str) -> None:
    rng = np.random.default_rng(0)
    text_of = np.array(SPECIMENS)[rng.integers(0, len(SPECIMENS), (20_000, 7))]
    for row in text_of:
        text = "".join(row)
        assert pieces(text, pattern) == split(text, pattern)


@given(st.binary())
def test_the_scanner_reaches_the_end_of_any_bytes(data: bytes) -> None:
    for pattern in PATTERNS:
        ends = piece_ends(np.frombuffer(data, np.uint8), pattern)
        assert (np.diff(ends, prepend=0) > 0).all()
        assert len(data) == 0 or ends[-1] == len(data)


def slow_merges(texts: list[str], n: int, least: int) -> list[tuple[int, int, int]]:
    """The definition: count all pairs, merge the commonest, count all again."""
    words: dict[tuple[int, ...], int] = collections.Counter()
    for text in texts:
        for piece in split(text):
            words[tuple(piece.encode())] += 1
    merges: list[tuple[int, int, int]] = []
    for new in range(256, 256 + n):
        pairs: dict[tuple[int, int], int] = collections.Counter()
        for word, count in words.items():
            for pair in itertools.pairwise(word):
                pairs[pair] += count
        if not pairs or max(pairs.values()) < least:
            break
        (a, b), _ = min(pairs.items(), key=lambda item: (-item[1], item[0]))
        merges.append((a, b, new))
        after: dict[tuple[int, ...], int] = collections.Counter()
        for word, count in words.items():
            merged, i = [], 0
            while i < len(word):
                both = word[i : i + 2] == (a, b)
                merged.append(new if both else word[i])
                i += 2 if both else 1
            after[tuple(merged)] += count
        words = after
    return merges


@given(st.lists(st.text(st.sampled_from("aab  bc\nß1"), max_size=60), max_size=3),
       st.integers(0, 40), st.integers(1, 3))  # fmt: skip
def test_training_equals_counting_all_pairs_anew(
    texts: list[str], n: int, least: int
) -> None:
    assert train_bpe(texts, 256 + n, least=least).merges == slow_merges(texts, n, least)


def test_a_large_vocabulary_makes_the_tables_grow() -> None:
    rng = np.random.default_rng(0)
    text = " ".join("".join(map(chr, w)) for w in rng.integers(97, 123, (30_000, 9)))
    tokenizer = train_bpe([text], 40_000, least=1)
    assert tokenizer.vocab_size == 40_000
    assert tokenizer.decode(tokenizer.encode(text)) == text
    counter = PieceCounter()
    counter.add(text)
    assert sum(counter.counts().values()) == 30_000


def merged_by_definition(tokenizer: BPETokenizer, piece: bytes) -> list[int]:
    ranks = {(a, b): (i, new) for i, (a, b, new) in enumerate(tokenizer.merges or [])}
    ids = list(piece)
    while True:
        pairs = enumerate(itertools.pairwise(ids))
        found = [(ranks[pair][0], i) for i, pair in pairs if pair in ranks]
        if not found:
            return ids
        _, i = min(found)
        ids[i : i + 2] = [ranks[ids[i], ids[i + 1]][1]]


TRAINED = train_bpe(["the cat sat on the mat, the cats that sat: aaaa aaa"] * 3, 300)


@given(st.text(st.sampled_from("thecasmnoi ,:\n"), max_size=200))
def test_encoding_merges_the_lowest_rank_first(text: str) -> None:
    wanted = []
    for piece in split(text):
        wanted += merged_by_definition(TRAINED, piece.encode())
    assert TRAINED.encode(text).tolist() == wanted


def test_a_long_piece_is_merged_as_a_short_one_is() -> None:
    """A heap and a linked list there, a look at all pairs here."""
    for n in (47, 48, 49, 63, 64, 65, 500):
        for word in ("a" * n, "thecat" * n, "sat" * n):
            ids = TRAINED.encode(word).tolist()
            assert ids == merged_by_definition(TRAINED, word.encode())
            assert TRAINED.encode(word).tolist() == ids  # and when it is remembered


@given(st.binary(max_size=300))
def test_any_bytes_come_back(data: bytes) -> None:
    assert TRAINED.decode_bytes(TRAINED.encode_bytes(data)) == data


@given(TEXTS)
def test_any_text_comes_back(text: str) -> None:
    for pattern in PATTERNS:
        tokenizer = BPETokenizer([*BYTES, b"th", b"the"], pattern=pattern)
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_special_tokens_are_only_made_where_they_are_asked_for() -> None:
    tokenizer = train_bpe(["abab"] * 3, 270, special=["<|end|>", "<|end|>er"])
    plain = tokenizer.encode("a<|end|>er<|end|>").tolist()
    marked = tokenizer.encode("a<|end|>er<|end|>", special=True).tolist()
    ids = tokenizer.special
    assert not set(plain) & set(ids.values())
    assert marked == [97, ids["<|end|>er"], ids["<|end|>"]]
    assert tokenizer.decode(marked) == "a<|end|>er<|end|>"


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_tokenizer_is_the_same_after_a_file(pattern: str) -> None:
    text = "It's the cat that sat, isn't it? " * 3
    one = train_bpe([text], 300, pattern, special=["<|end|>"])
    two = BPETokenizer(one.tokens[:-1], pattern=pattern, special=one.special)
    for tokenizer in (one, two):
        again = tokenizer_from_json(json.loads(json.dumps(tokenizer.to_json())))
        assert isinstance(again, BPETokenizer)
        assert (again.tokens, again.merges) == (tokenizer.tokens, tokenizer.merges)
        assert (again.special, again.pattern) == (one.special, pattern)
        assert again.encode(text).tolist() == tokenizer.encode(text).tolist()


def test_tiktoken_s_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "ranks.tiktoken"
    tokens = [*BYTES, b"th", b"the", b" the"]
    lines = [base64.b64encode(t) + b" %d" % i for i, t in enumerate(tokens)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    tokenizer = BPETokenizer(formats.read_tiktoken(path))
    assert tokenizer.encode("the the then").tolist() == [257, 258, 258, 110]
    path.write_bytes(b"dGg= 0\nno base64!\n")
    with pytest.raises(DataError, match="line 2"):
        formats.read_tiktoken(path)


def test_gpt2_s_files_are_read(tmp_path: Path) -> None:
    names = [formats.to_characters(t) for t in [*BYTES, b"th", b"the"]]
    ids = {name: i for i, name in enumerate(names)} | {"<|endoftext|>": 258}
    (tmp_path / "encoder.json").write_text(json.dumps(ids), encoding="utf-8")
    (tmp_path / "vocab.bpe").write_text("#version: 0.2\nt h\nth e\n", encoding="utf-8")
    parts = formats.read_gpt2(tmp_path / "encoder.json", tmp_path / "vocab.bpe")
    tokenizer = BPETokenizer(**parts)
    found = tokenizer.encode("the<|endoftext|>", special=True).tolist()
    assert found == [257, 258] and tokenizer.vocab_size == 259


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ConfigError, match="at least 257 tokens"):
        train_bpe(["text"], 256, special=["<|end|>"])
    with pytest.raises(DataError, match="got none for 255"):
        BPETokenizer(BYTES[:255])
    with pytest.raises(DataError, match="got 300"):
        TRAINED.decode([300])
    with pytest.raises(DataError, match="got -1"):
        TRAINED.decode([-1])
    with pytest.raises(ConfigError, match="wanted a pattern among"):
        split("text", "gpt5")
    for damage in ({"type": "Unigram"}, {"byte_fallback": True}):
        described = TRAINED.to_json()
        described["model"] |= damage
        with pytest.raises(DataError, match="byte-level BPE"):
            formats.from_description(described)
    described = TRAINED.to_json()
    described["model"]["merges"][3] = ["Ġ", "zzz"]
    with pytest.raises(DataError, match="merge 3"):
        formats.from_description(described)


def test_threads_may_share_a_tokenizer() -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("thecasmno "), 3000)) for _ in range(8)]
    wanted = [TRAINED.encode(text).tolist() for text in texts]
    fresh = BPETokenizer(TRAINED.tokens, TRAINED.merges)  # nothing remembered yet
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda text: fresh.encode(text).tolist(), texts * 4))
    assert found == wanted * 4


def test_a_special_text_may_look_like_another_token() -> None:
    """The letter a, and the one that GPT-2 writes for a byte, are tokens already."""
    special = ["é", "a", "<|x|>"]
    trained = train_bpe(["héllo a b"] * 5, 300, special=special)
    loaded = tokenizer_from_json(json.loads(json.dumps(trained.to_json())))
    text = "héllo a<|x|>"
    assert loaded.special == trained.special
    for special_too in (False, True):
        ids = trained.encode(text, special_too)
        assert np.array_equal(loaded.encode(text, special_too), ids)
        assert loaded.decode(ids) == text
