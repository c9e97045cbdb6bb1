"""A tokenizer's file that is wrong is one clear line."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gptlite.cli import main
from gptlite.errors import DataError
from gptlite.text.vocabularies import tokenizer
from tests.text.test_bad_input import END, PNG, TRAINED, Said, assert_refused

Capture = pytest.CaptureFixture[bytes]
Change = Callable[[dict[str, Any]], Any]  # of what a tokenizer.json holds
MISSING: dict[str, Change] = {
    "model": lambda d: d.pop("model") and d.update(pre_tokenizer=None, model=None),
    "vocab": lambda d: d["model"].update(vocab=["a", "b"]),
    "merges": lambda d: d["model"].update(merges=None),
    "pre_tokenizer": lambda d: d.pop("pre_tokenizer"),
    "added_tokens": lambda d: d.update(added_tokens=None),
    "id": lambda d: d["added_tokens"][0].update(id="7"),
    "content": lambda d: d["added_tokens"][0].update(content=7),
}
WRONG: list[tuple[Change, str]] = [
    (lambda d: d["model"]["merges"].insert(0, ["q", "zz"]), "['q', 'zz'] (merge 0)"),
    (lambda d: d["model"]["merges"].append("t h e"), "['t', 'h', 'e'] (merge "),
    (lambda d: d["model"]["merges"].append(7), "got 7 (merge "),
    (lambda d: d["model"]["vocab"].update(a=98), "b'a' and b'b' for 98"),
    (lambda d: d["model"]["vocab"].update(a=97.5), "got 97.5 for b'a'"),
    (lambda d: d["model"]["vocab"].update(a=-1), "got -1 for b'a'"),
    (lambda d: d["model"]["vocab"].update(zq=10**30), "for b'zq'"),
    (lambda d: d["model"]["vocab"].update({"漢": 400}), "byte characters, got '漢'"),
    (lambda d: d["model"]["vocab"].pop("q"), "got none for 113"),
    (lambda d: d["model"].update(type="Unigram"), "of type 'Unigram'"),
    (lambda d: d["model"].update(end_of_word_suffix="</w>"), "end_of_word_suffix"),
    (lambda d: d.update(normalizer={"type": "NFC"}), '"NFC"'),
    (lambda d: d.update(pre_tokenizer={"type": "Whitespace"}), '"Whitespace"'),
    (lambda d: d.update(pre_tokenizer={"pretokenizers": [1, {"pattern": "x"}]}), '"x"'),
    (lambda d: d.update(pre_tokenizer={"pretokenizers": 7}), "cuts text as gpt2"),
    (lambda d: d["added_tokens"].append(7), "added tokens as objects, got 7"),
    (lambda d: d["added_tokens"][0].update(content=""), "a text in Unicode"),
    (lambda d: d["added_tokens"][0].update(content="\ud800"), "a text in Unicode"),
    (lambda d: d["added_tokens"][0].update(id=-1), "got -1 for the special token"),
    (lambda d: d["added_tokens"][0].update(id=10**12), "got 1000000000000 for"),
    (lambda d: d["added_tokens"][0].update(id=97), "got 97, which is that of b'a'"),
    (lambda d: d["added_tokens"].append({"content": "<x>", "id": END}),
     "that of b'<|end|>'"),
]  # fmt: skip


def compare_by(capsysbinary: Capture, path: Path, content: bytes) -> Said:
    path.write_bytes(content)
    code = main(["tokenizer", "compare", __file__, "--tokenizers", str(path), "--json"])
    return code, *capsysbinary.readouterr()


@pytest.mark.parametrize("part", MISSING)
def test_a_file_that_lacks(part: str, capsysbinary: Capture, tmp_path: Path) -> None:
    described = TRAINED.to_json()
    MISSING[part](described)
    content = json.dumps(described).encode()
    found = compare_by(capsysbinary, tmp_path / "t.json", content)
    assert_refused(found, "t.json: wanted a", f"as '{part}', got", "whole tokenizer")


@pytest.mark.parametrize(("change", "said"), WRONG)
def test_a_file_that_is_wrong(
    change: Change, said: str, capsysbinary: Capture, tmp_path: Path
) -> None:
    described = TRAINED.to_json()
    change(described)
    content = json.dumps(described).encode()
    found = compare_by(capsysbinary, tmp_path / "t.json", content)
    assert_refused(found, "cannot read the tokenizer", "t.json", said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (json.dumps(TRAINED.to_json()).encode()[:900], "is the file cut short"),
        (b"", "Expecting value"),
        (b"the cat", "Expecting value"),
        (PNG, "can't decode byte 0x89"),
        (b"[" * 100_000, "recursion"),
        (b"[1, 2]", "a JSON object, got [1, 2]"),
        (b"null", "a JSON object, got None"),
    ],
)
def test_a_file_that_is_no_tokenizer(
    content: bytes, said: str, capsysbinary: Capture, tmp_path: Path
) -> None:
    found = compare_by(capsysbinary, tmp_path / "t.json", content)
    assert_refused(found, "cannot read the tokenizer", "t.json", said)


def test_a_vocabulary_may_have_holes(tmp_path: Path) -> None:
    """That of GPT-4o has; an id there is no token."""
    described = TRAINED.to_json()
    described["added_tokens"][0]["id"] = 400
    path = tmp_path / "t.json"
    path.write_text(json.dumps(described), encoding="utf-8")
    found = tokenizer(str(path))
    assert found.decode([400, 97]) == "<|end|>a"
    with pytest.raises(DataError, match="0 … 400 that are in use, got 399"):
        found.decode([399])


RANKS = [base64.b64encode(bytes([b])) + b" %d" % b for b in range(256)]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([*RANKS[:5], b"", *RANKS[5:]], "got b'' in line 6"),
        ([*RANKS[:5], b"dGg=", *RANKS[5:]], "got b'dGg=' in line 6"),
        ([*RANKS, b"dGg= x"], "in line 257"),
        ([*RANKS, b"d!g= 256"], "in line 257"),
        ([*RANKS, b"dG= 256"], "in line 257"),  # a length that base64 cannot have
        ([*RANKS, b"YQ== 256"], "each once"),  # a, again
        ([*RANKS, b"dGg= 255"], r"b'\xff' and b'th' for 255"),
        ([*RANKS, b"dGg= -3"], "got -3 for b'th'"),
        ([*RANKS, b"dGg= 99999999999999999999"], "got 99999999999999999999 for"),
        (RANKS[:200], "got none for 200"),
        ([], "got none for 0"),
        ([PNG], r"b'\x89PNG' in line 1"),
    ],
)
def test_ranks_that_are_damaged(
    lines: list[bytes], said: str, capsysbinary: Capture, tmp_path: Path
) -> None:
    found = compare_by(capsysbinary, tmp_path / "t.tiktoken", b"\n".join(lines))
    assert_refused(found, "cannot read the tokenizer", "t.tiktoken", said)


def test_ranks_with_the_line_ends_of_windows(tmp_path: Path) -> None:
    path = tmp_path / "t.tiktoken"
    path.write_bytes(b"\r\n".join(RANKS))
    assert tokenizer(str(path)).encode("the").tolist() == list(b"the")
