"""Documents from files: whole, in order, whatever their size; bad input is named."""

from __future__ import annotations

import io
import json
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.corpus import documents
from gptlite.corpus.clean import clean
from gptlite.corpus.documents import cut, read_documents
from gptlite.corpus.language import language, languages
from gptlite.corpus.readers import paragraphs, play
from gptlite.data.sample import sample_file
from gptlite.errors import ConfigError, DataError


def texts(path: str | Path, bad_lines: str = "stop") -> list[str]:
    return [document.text for document in read_documents(path, bad_lines)]


def test_a_folder_gives_its_files_in_order_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "b.txt").write_text("second")
    (tmp_path / "a.md").write_text("first")
    (tmp_path / "inner" / "c.jsonl").write_text('{"text": "third"}\n\n{"text": "last"}')
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\0\0")
    assert texts(tmp_path) == ["first", "second", "third", "last"]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
       st.integers(4, 40))  # fmt: skip
def test_cutting_loses_nothing_and_keeps_characters_whole(text: str, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "LONGEST", size)
        parts = [document.text for document in cut(text, "whole")]
    assert "".join(parts) == text
    assert all(0 < len(part.encode()) <= size for part in parts)


def test_a_file_is_read_as_a_text_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "LONGEST", 100)
    text = "Mañana, 漢字 and 😀 again.\n" * 30 + "x" * 250
    (tmp_path / "long.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    found = list(read_documents(tmp_path / "long.txt"))
    assert [d.text for d in found] == [d.text for d in cut(text)]
    assert len({d.whole for d in found}) == 1


def test_standard_input_is_text_or_json_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    for data, wanted in (
        (b"some text\nof two lines", ["some text\nof two lines"]),
        (b'{"text": "one"}\n{"text": "two"}\n', ["one", "two"]),
        (b"", []),
    ):
        standard = io.TextIOWrapper(io.BufferedReader(io.BytesIO(data)))  # type: ignore[type-var]
        monkeypatch.setattr("sys.stdin", standard)
        assert texts("-") == wanted


@pytest.mark.parametrize(
    "line", ["{broken", '{"no text": 1}', '{"text": 5}', "[1, 2]", "[" * 100_000]
)
def test_a_broken_line_stops_with_its_number_or_is_counted(
    tmp_path: Path, line: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "good"}\n' + line + '\n{"text": "also"}\n')
    with pytest.raises(DataError, match=r"line 2 of .*rows.jsonl.*--bad-lines skip"):
        texts(path)
    found = list(read_documents(path, "skip"))
    assert [d.text for d in found if not d.broken] == ["good", "also"]
    assert sum(d.broken for d in found) == 1


def test_bad_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 au lait, " * 100_000)
    with pytest.raises(DataError, match=r"latin.txt, got 0xe9 at byte 3"):
        texts(tmp_path / "latin.txt")
    (tmp_path / "late.txt").write_bytes(b"fine\n" * 300_000 + b"\xff")
    with pytest.raises(DataError, match=r"0xff at byte 1,500,000"):
        texts(tmp_path / "late.txt")
    (tmp_path / "picture.txt").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000))
    with pytest.raises(DataError, match="looks binary"):
        texts(tmp_path / "picture.txt")
    with pytest.raises(DataError, match="No such file"):
        texts(tmp_path / "nowhere.txt")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"end in .txt, .md, .jsonl, got none"):
        texts(tmp_path / "none")
    (tmp_path / "wide.txt").write_bytes("Unicode in UTF-16".encode("utf-16"))
    with pytest.raises(DataError, match="looks binary"):
        texts(tmp_path / "wide.txt")


def test_a_single_nul_is_dropped_not_refused(tmp_path: Path) -> None:
    (tmp_path / "nul.txt").write_text("a" * 1000 + "\0" + "b")
    assert clean(texts(tmp_path / "nul.txt")[0]) == "a" * 1000 + "b"


NOISE = st.sampled_from(
    ["a", "é", "e\u0301", " ", "\t", "\n", "\r", "\r\n", "\0", "\u200b", "\u200d", "😀",
     "\ufeff", "\u2028", "漢", "©", "All rights reserved", "Copyright 1999",
     "*** START OF THE PROJECT GUTENBERG EBOOK X ***\n",
     "\n*** END OF THE PROJECT GUTENBERG EBOOK X ***", "\u0344", "\u1e9b\u0323"]
)  # fmt: skip


@given(st.lists(NOISE, max_size=30).map("".join) | st.text(max_size=60))
def test_cleaning_leaves_no_control_character_and_one_form(text: str) -> None:
    once = clean(text)
    assert unicodedata.is_normalized("NFC", once)
    assert not any(ord(c) < 32 and c not in "\t\n" for c in once)


@pytest.mark.parametrize(
    "unit",
    ["\n", " ", "*", "*\n", ",,,,\n", ". ", "\t\n", "©\n", "a  \n", "e\u0301\u0302",
     "\u0301", "isbn --", "*** START OF THE PROJECT GUTENBERG\n", "\u00a0 "],
)  # fmt: skip
def test_cleaning_takes_time_in_proportion_to_the_text(unit: str) -> None:
    """What was quadratic took a hundred times as long at ten times the length."""

    def seconds(n: int) -> float:
        text = "a" + unit * (n // len(unit)) + "b\n"
        start = time.perf_counter()
        clean(text)
        return time.perf_counter() - start

    seconds(1000)
    short = min(seconds(20_000) for _ in range(3))
    assert seconds(200_000) < 30 * short + 0.02


def test_a_file_of_several_books_keeps_them_all() -> None:
    book = ("*** START OF THE PROJECT GUTENBERG EBOOK {0} ***\ntext of {0}\n"
            "*** END OF THE PROJECT GUTENBERG EBOOK {0} ***\nlicence\n")  # fmt: skip
    whole = clean("header\n" + book.format("one") + book.format("two"))
    assert whole.split() == ["text", "of", "one", "text", "of", "two"]
    essay = "An essay.\n\nEnd of Project Gutenberg's monopoly: a dream.\n\nThe rest."
    assert clean(essay) == essay
    assert clean("x = 1\n\n    # Copyright (c) 2020 X\n    y") == "x = 1\n\n    y"


def test_what_publishers_put_around_a_text_goes() -> None:
    text = (
        "The Project Gutenberg eBook of Emma\nProduced by volunteers\n"
        "*** START OF THE PROJECT GUTENBERG EBOOK EMMA ***\n\nEmma Woodhouse, handsome"
        "\n\n\n\n\nand rich.\n*** END OF THE PROJECT GUTENBERG EBOOK EMMA ***\nLicence"
    )
    assert clean(text) == "Emma Woodhouse, handsome\n\n\nand rich."
    page = "Skip to main content\nOwls hunt at night.\n© 2020 The Owl Society\n"
    assert clean(page) == "Owls hunt at night."
    assert clean("We copyright our songs.") == "We copyright our songs."


@pytest.mark.parametrize("code", languages())
def test_each_language_is_known_by_a_sentence_of_its_own(code: str) -> None:
    """Seen in learning, but the profile is of the whole, and these are short."""
    lines = [x for x in sample_file(f"rights-{code}.txt").split("\n") if len(x) > 30]
    assert len(lines) > 20
    right = sum(language(line) == code for line in lines)
    assert right / len(lines) > 0.95


def test_other_texts_are_told_apart_too() -> None:
    for text, code in (
        ("The owl and the pussy-cat went to sea in a pea-green boat", "en"),
        ("Longtemps, je me suis couché de bonne heure.", "fr"),
        ("En un lugar de la Mancha, de cuyo nombre no quiero acordarme", "es"),
        ("Wer reitet so spät durch Nacht und Wind?", "de"),
        ("吾輩は猫である。名前はまだ無い。", "ja"),
        ("学而时习之，不亦说乎？有朋自远方来", "zh"),
        ("Все счастливые семьи похожи друг на друга", "ru"),
        ("12345 67890 !!! ???", "?"),
        ("", "?"),
    ):
        assert language(text) == code, text


def test_an_unknown_language_is_an_error() -> None:
    from gptlite.corpus.language import check_languages

    assert check_languages("en, fr") == ["en", "fr"]
    with pytest.raises(ConfigError, match=r"wanted languages among .*en.* got 'xx'"):
        check_languages("en,xx")


def test_markdown_and_pages_become_plain_text() -> None:
    assert (
        play("# Act I\n\n_Enter A_\n\n**A**  \nHo!  ")
        == "Act I\n\n[Enter A]\n\nA:\nHo!\n"
    )
    page = (
        "<h1>Rights &amp; duties</h1><script>no</script><p>All <b>human</b>\nbeings</p>"
    )
    assert paragraphs(page) == "Rights & duties\nAll human beings"


def test_a_json_line_may_be_longer_than_a_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "LONGEST", 64)
    text = "word " * 100
    (tmp_path / "x.jsonl").write_text(json.dumps({"text": text}))
    found = list(read_documents(tmp_path / "x.jsonl"))
    assert "".join(d.text for d in found) == text
    assert len(found) > 5
    assert len({d.whole for d in found}) == 1
