"""MinHash estimates the Jaccard index, and repeats are found by it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.corpus import similar
from gptlite.corpus.repeats import EXACT, KEPT, NEAR, Repeats
from gptlite.corpus.similar import band_keys, hash_functions, signature, similarity

FUNCTIONS = hash_functions(0)
MASK = 2**64 - 1


def mixed(h: int, value: int) -> int:
    h = (h ^ value) * 0x100000001B3 & MASK
    return h ^ (h >> 29)


def word_hashes(text: str) -> list[int]:
    """The definition: runs of letters and digits, larger characters one by one."""
    pattern = re.compile(rb"[a-z0-9\x80-\xdf]+|[\xe0-\xff][\x80-\xbf]*")
    plain = re.sub("[\u0080-\u00bf\u2000-\u207f\u3000-\u303f]", " ", text.lower())
    found = []
    for word in pattern.findall(plain.encode()):
        h = 0xCBF29CE484222325
        for byte in word:
            h = mixed(h, byte)
        found.append(h)
    return found


def shingles(text: str) -> set[int]:
    words = word_hashes(text)
    runs = [words[i : i + 5] for i in range(max(1, len(words) - 4))] if words else []
    out = set()
    for run in runs:
        h = 0xCBF29CE484222325
        for word in run:
            h = mixed(h, word)
        out.add(h)
    return out


def slow_signature(text: str) -> list[int]:
    a, b = FUNCTIONS.tolist()
    hashes = shingles(text)
    return [
        min(((a[k] * x + b[k] & MASK) >> 32 for x in hashes), default=2**32 - 1)
        for k in range(similar.K)
    ]


PARTS = [
    "the",
    "Cat",
    "é",
    "漢字",
    "😀",
    "9",
    ",",
    "Ünd",
    "-",
    "’s",
    "。",
    "—",
    "Å",
    "\xa0",
]
WORDS = st.lists(st.sampled_from(PARTS))


@given(WORDS.map(" ".join) | st.text(st.characters(exclude_categories=["Cs"])))
def test_the_kernel_is_the_definition(text: str) -> None:
    assert signature(text, FUNCTIONS).tolist() == slow_signature(text)


def test_signatures_estimate_the_share_of_common_shingles() -> None:
    rng = np.random.default_rng(1)
    words = [f"w{i}" for i in range(5000)]
    differences = []
    for _ in range(100):
        a = rng.choice(words, 400).tolist()
        b = list(a)
        for at in rng.integers(0, 400, rng.integers(1, 40)).tolist():
            b[at] = "other"
        sets = shingles(" ".join(a)), shingles(" ".join(b))
        true = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
        found = similarity(*(signature(" ".join(x), FUNCTIONS) for x in (a, b)))
        differences.append((found - true) / np.sqrt(true * (1 - true) / similar.K))
    assert abs(np.mean(differences)) < 0.35  # of a standard deviation, ± 0.1
    assert 0.8 < np.std(differences) < 1.25


def test_texts_meet_as_often_as_the_formula_says() -> None:
    """Over random signatures that agree in a share J of their numbers."""
    rng = np.random.default_rng(2)
    for jaccard in (0.6, 0.8):
        met = 0
        for _ in range(400):
            a = rng.integers(0, 2**32, similar.K, np.uint32)
            b = np.where(rng.random(similar.K) < jaccard, a, a + np.uint32(1))
            met += bool((band_keys(a) == band_keys(b)).any())
        assert abs(met / 400 - similar.chance_to_meet(jaccard)) < 0.08


def flags(folder: Path, texts: list[str], similarity: float = 0.8) -> list[int]:
    repeats = Repeats(folder, similarity, seed=0)
    for text in texts:
        repeats.add(text)
    found = repeats.found().tolist()
    repeats.close()
    return found


def test_later_ones_of_the_same_are_repeats(tmp_path: Path) -> None:
    sentence = " ".join(f"word{i}" for i in range(100))
    texts = [
        sentence, "something else", sentence, sentence.upper() + "!",
        sentence + " and a little more", "x " + sentence[:200], "", "!!!", "???",
        "something else", "Something, else?",
    ]  # fmt: skip
    assert flags(tmp_path, texts) == [
        KEPT, KEPT, EXACT, NEAR, NEAR, KEPT, KEPT, KEPT, KEPT, EXACT, NEAR,
    ]  # fmt: skip


def test_case_and_signs_do_not_count() -> None:
    plain = "les hommes naissent libres - et egaux, l'etre humain"
    typeset = "LES HOMMES NAISSENT LIBRES — ET EGAUX, L’ETRE HUMAIN…"
    assert similarity(*(signature(x, FUNCTIONS) for x in (plain, typeset))) == 1.0
    accents = "Élève à l'école"
    assert (
        similarity(*(signature(x, FUNCTIONS) for x in (accents, accents.upper())))
        == 1.0
    )


def test_distinct_texts_are_all_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(map(str, row)) for row in rng.integers(0, 3000, (500, 30))]
    assert not any(flags(tmp_path, texts))


@pytest.mark.parametrize("copies", [2, 50])
def test_every_copy_but_the_first_is_found_among_many(
    tmp_path: Path, copies: int
) -> None:
    rng = np.random.default_rng(copies)
    texts, wanted = [], []
    for number in range(40):
        words = [f"w{i}" for i in rng.integers(0, 10_000, 200)]
        for copy in range(copies):
            words[rng.integers(0, 200)] = f"changed{number}-{copy}"
            texts.append(" ".join(words))
            wanted.append(copy > 0)
    found = np.array(flags(tmp_path, texts, 0.8)) > 0
    assert (found == wanted).mean() > 0.99
    assert not found[~np.array(wanted)].any()
