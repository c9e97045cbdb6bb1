"""A corpus: nothing is lost, nothing leaks, the same seed gives the same files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gptlite.config import CorpusConfig
from gptlite.corpus import build, shards
from gptlite.corpus.build import build_corpus
from gptlite.corpus.corpus import is_corpus, open_corpus, read_header
from gptlite.corpus.documents import Document
from gptlite.corpus.mixture import GPT3, GPT3_TOKENS, epochs
from gptlite.corpus.readers import sample_documents
from gptlite.corpus.report import table
from gptlite.corpus.shards import ShardWriter, Tokens, token_type
from gptlite.errors import ConfigError, DataError
from gptlite.text.tokenizer import ByteTokenizer, Tokenizer, load_tokenizer

CONFIG = CorpusConfig(vocab_size=300, validation=0.2)
MARK = "<|endoftext|>"


def made_up(n: int, seed: int = 0, whole: int = 0) -> Iterator[Document]:
    """Distinct documents; `whole`: so many of them are parts of one."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        text = f"number {seed}.{i} " + " ".join(
            f"w{x}" for x in rng.integers(0, 99, 30)
        )
        yield Document(text, f"whole {i // whole}" if whole else "")


def documents_of(folder: Path, split: str, name: str = "") -> list[str]:
    """The texts in the shards."""
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    found = []
    for source in read_header(folder)["sources"]:
        if name in ("", source["name"]):
            files = [folder / f for f in source[split]["shards"]]
            tokens = Tokens.open(files, source[split]["tokens"])
            found += tokenizer.decode(tokens[:]).split(MARK)[:-1]
    return found


def test_every_document_is_in_one_split_and_unchanged(tmp_path: Path) -> None:
    sources = {"a": list(made_up(60, 1)), "b": list(made_up(50, 2))}
    header = build_corpus(tmp_path / "c", sources, CONFIG)
    for name, documents in sources.items():
        train, validation = (
            documents_of(tmp_path / "c", split, name) for split in build.SPLITS
        )
        assert not set(train) & set(validation)
        assert sorted(train + validation) == sorted(d.text for d in documents)
        assert 2 < len(validation) < 25
    for source in header["sources"]:
        counted = source["train"]["bytes"] + source["validation"]["bytes"]
        assert counted == sum(len(d.text.encode()) for d in sources[source["name"]])


def test_a_text_is_on_the_same_side_whatever_else_is_there(tmp_path: Path) -> None:
    some = list(made_up(80))
    build_corpus(tmp_path / "one", {"x": some}, CONFIG)
    build_corpus(tmp_path / "two", {"y": [*made_up(40, 5), *some[::-1]]}, CONFIG)
    texts = {d.text for d in some}
    for split in build.SPLITS:
        one, two = (set(documents_of(tmp_path / n, split)) for n in ("one", "two"))
        assert one == two & texts


def test_the_parts_of_a_whole_stay_together(tmp_path: Path) -> None:
    build_corpus(tmp_path / "c", {"x": made_up(60, whole=4)}, CONFIG)
    train, validation = (documents_of(tmp_path / "c", s) for s in build.SPLITS)
    number = [
        {int(t.split()[1].split(".")[1]) // 4 for t in s} for s in (train, validation)
    ]
    assert number[1]
    assert not number[0] & number[1]


def test_a_small_source_has_a_document_for_validation(tmp_path: Path) -> None:
    config = CorpusConfig(vocab_size=270, validation=1e-9)
    header = build_corpus(tmp_path / "c", {"x": made_up(3), "y": made_up(1, 7)}, config)
    x, y = header["sources"]
    assert (x["train"]["documents"], x["validation"]["documents"]) == (2, 1)
    assert (y["train"]["documents"], y["validation"]["documents"]) == (1, 0)


def test_repeats_across_sources_stay_in_the_first(tmp_path: Path) -> None:
    some = list(made_up(20))
    near = [Document(d.text.upper()) for d in some[:5]]
    sources = {"first": some, "second": [*some[:3], *near, *made_up(10, 9)]}
    header = build_corpus(tmp_path / "c", sources, CONFIG)
    assert header["sources"][0]["left_out"] == {}
    left_out = header["sources"][1]["left_out"]
    assert left_out == {"exact repeats": 3, "near repeats": 5}


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    english = "All human beings are born free and equal in dignity and rights. "
    french = "Tous les êtres humains naissent libres et égaux en dignité et en droits. "
    documents = [
        *(Document(f"{english} {i}") for i in range(30)), Document(" \n\0"),
        Document("", broken=True), Document(french), Document(french + "Encore."),
    ]  # fmt: skip
    config = CorpusConfig(vocab_size=270, languages="en", similarity=0.999)
    header = build_corpus(tmp_path / "c", {"x": documents}, config)
    found = header["sources"][0]
    assert found["left_out"] == {"empty": 1, "broken lines": 1, "other language": 2}
    assert found["languages"] == {"en": 30}
    row, total = table(header)
    assert row["kept"] == total["kept"] == 30
    assert row["share"] == total["share"] == 1.0


def test_one_text_alone_has_nothing_to_validate_on(tmp_path: Path) -> None:
    parts = [Document(d.text, "one book") for d in made_up(9)]
    with pytest.raises(DataError, match=r"got one text.*pretrain --text FILE"):
        build_corpus(tmp_path / "c", {"x": parts}, CONFIG)
    nearly_all = CorpusConfig(vocab_size=270, validation=1 - 1e-12)
    with pytest.raises(DataError, match=r"got all of them for validation"):
        build_corpus(tmp_path / "c", {"x": made_up(9)}, nearly_all)
    assert not (tmp_path / "c").exists()


def test_what_cannot_be_is_said_before_anything_is_read(tmp_path: Path) -> None:
    def never() -> Iterator[Document]:
        raise AssertionError("it was read")
        yield

    for config, weights in (
        (CorpusConfig(vocab_size=256), None),
        (CorpusConfig(languages="en,xx"), None),
        (CONFIG, {"y": 1.0}),
    ):
        with pytest.raises(ConfigError):
            build_corpus(tmp_path / "c", {"x": never()}, config, weights=weights)


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "x" * 200, "\udcff"])
def test_a_source_whose_name_is_no_file_name_is_refused(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(DataError, match="wanted names of sources"):
        build_corpus(tmp_path / "c", {name: made_up(9)}, CONFIG)


def test_names_with_signs_of_mathematics_are_drawn_as_they_are(tmp_path: Path) -> None:
    build_corpus(tmp_path / "c", {"a$x_$b": made_up(9)}, CONFIG)
    assert (tmp_path / "c" / "corpus.png").exists()


def test_a_place_that_is_no_folder_is_refused_and_an_empty_one_is_used(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for place in ("file", "link", "file/below"):
        with pytest.raises(DataError):
            build_corpus(tmp_path / place, {"x": made_up(9)}, CONFIG)
    (tmp_path / "empty").mkdir()
    build_corpus(tmp_path / "empty", {"x": made_up(9)}, CONFIG)
    assert (tmp_path / "empty" / "corpus.json").exists()
    assert not (tmp_path / "empty.1").exists()


def test_a_corpus_that_cannot_be_drawn_from_is_refused(tmp_path: Path) -> None:
    sources = {"tiny": made_up(3, 1), "big": made_up(50, 2)}
    weights = {"tiny": 1.0, "big": 0.0}
    build_corpus(tmp_path / "c", sources, CONFIG, weights=weights)
    with pytest.raises(DataError, match=r"a source with a share"):
        open_corpus(tmp_path / "c", context_length=400)
    tokenizer = json.loads((tmp_path / "c" / "tokenizer.json").read_text())
    (tmp_path / "c" / "tokenizer.json").write_text(json.dumps(tokenizer, indent=1))
    with pytest.raises(DataError, match=r"got another tokenizer\.json"):
        open_corpus(tmp_path / "c", context_length=8)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("other", 1)):
        config = CorpusConfig(vocab_size=300, seed=seed)
        build_corpus(tmp_path / name, {"x": made_up(50), "y": made_up(40, 3)}, config)
    a, b, other = (files_of(tmp_path / n) for n in ("a", "b", "other"))
    assert a == b
    assert a["x-train-00000.npy"] != other["x-train-00000.npy"]


def test_shards_are_cut_anywhere_and_read_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD", 7)
    writer = ShardWriter(tmp_path, "x", token_type(70_000))
    wanted = np.random.default_rng(0).integers(0, 70_000, 100)
    for start in range(0, 100, 9):
        writer.add(wanted[start : start + 9])
    writer.close()
    assert len(writer.files) == 15
    tokens = Tokens.open([tmp_path / f for f in writer.files], 100)
    at = np.random.default_rng(1).integers(0, 100, (5, 8))
    assert np.array_equal(tokens[at], wanted[at])
    assert np.array_equal(tokens[10:90:3], wanted[10:90:3])
    assert isinstance(tokens.shards[0], np.memmap)
    assert token_type(65_536) == np.uint16


def test_training_draws_each_source_by_its_share(tmp_path: Path) -> None:
    sources = {"large": made_up(300, 1), "small": made_up(30, 2)}
    build_corpus(tmp_path / "c", sources, CONFIG, ByteTokenizer(),
                 {"large": 1, "small": 3})  # fmt: skip
    dataset, tokenizer = open_corpus(tmp_path / "c", context_length=16)
    rng = np.random.default_rng(0)
    n_large = read_header(tmp_path / "c")["sources"][0]["train"]["tokens"]
    starts = dataset._starts(20_000, 16, rng)
    assert abs((starts < n_large).mean() - 0.25) < 0.02
    assert starts.max() <= len(dataset.train) - 17
    crossing = (starts < n_large) & (starts + 16 >= n_large)
    assert not crossing.any()
    batch = dataset.random_batch(4, 16, rng=rng)
    assert batch.ids.dtype == np.int64
    assert np.array_equal(batch.ids[:, 1:], batch.targets[:, :-1])
    header = read_header(tmp_path / "c")
    n_bytes = sum(s["validation"]["bytes"] for s in header["sources"])
    assert dataset.bytes_per_token == n_bytes / len(dataset.validation)
    assert tokenizer.kind == "byte"


def test_epochs_follow_the_published_mixture() -> None:
    """But for WebText2, whose row in the paper does not agree with itself."""
    _, tokens, shares, stated = zip(*GPT3, strict=True)
    found = epochs(tokens, shares, GPT3_TOKENS)
    for (name, *_), computed, paper in zip(GPT3, found, stated, strict=True):
        if name == "WebText2":
            assert abs(computed - 3.47) < 0.01
            assert paper == 2.9
        else:
            assert abs(computed / paper - 1) < 0.13, name


def test_a_corpus_that_was_there_is_renamed_and_other_files_are_safe(
    tmp_path: Path,
) -> None:
    build_corpus(tmp_path / "c", {"x": made_up(20)}, CONFIG)
    before = files_of(tmp_path / "c")
    build_corpus(tmp_path / "c", {"x": made_up(20, 5)}, CONFIG)
    assert files_of(tmp_path / "c.1") == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="other files in it"):
        build_corpus(tmp_path / "mine", {"x": made_up(20)}, CONFIG)
    assert list(files_of(tmp_path / "mine")) == ["thesis.txt"]


def test_what_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def broken() -> Iterator[Document]:
        yield from made_up(5)
        raise DataError("a broken line")

    with pytest.raises(DataError, match="a broken line"):
        build_corpus(tmp_path / "c", {"x": broken()}, CONFIG)
    with pytest.raises(DataError, match=r"some text to train on.*'empty': 1"):
        build_corpus(tmp_path / "c", {"x": [Document(" ")]}, CONFIG)
    with pytest.raises(DataError, match="got none"):
        build_corpus(tmp_path / "c", {}, CONFIG)
    with pytest.raises(ConfigError, match="vocabulary of at least 264"):
        build_corpus(tmp_path / "c", {"x": made_up(5)}, CorpusConfig(vocab_size=200))
    with pytest.raises(ConfigError, match="a weight for each of x or for none"):
        build_corpus(tmp_path / "c", {"x": made_up(5)}, CONFIG, weights={"y": 1})
    assert list(tmp_path.iterdir()) == []


def change(path: Path, **changes: Any) -> None:
    header = json.loads(path.read_text())
    header["sources"][0]["train"] |= changes
    path.write_text(json.dumps(header))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shards": ["../../secret.npy"]}, "a shard beside corpus.json"),
        ({"shards": ["nothing.npy"]}, "nothing.npy"),
        ({"shards": []}, "got 0"),
        ({"tokens": 7}, "wanted"),
        ({"tokens": "many"}, "damaged"),
        ({"shards": None}, "damaged"),
        ({"tokens": float("inf")}, "damaged"),
        ({"bytes": -1}, "damaged"),
    ],
)
def test_a_damaged_corpus_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    build_corpus(tmp_path / "c", {"x": made_up(20)}, CONFIG)
    assert is_corpus(tmp_path / "c")
    change(tmp_path / "c" / "corpus.json", **changes)
    with pytest.raises(DataError, match=message):
        open_corpus(tmp_path / "c", 8)


def test_other_formats_and_objects_are_refused(tmp_path: Path) -> None:
    build_corpus(tmp_path / "c", {"x": made_up(20)}, CONFIG)
    shard = tmp_path / "c" / "x-train-00000.npy"
    np.save(shard, np.array([{"pickled": 1}], object), allow_pickle=True)
    with pytest.raises(DataError, match="wanted shards of tokens"):
        open_corpus(tmp_path / "c", 8)
    (tmp_path / "c" / "corpus.json").write_text('{"format": "another"}')
    with pytest.raises(DataError, match="format 'another'"):
        open_corpus(tmp_path / "c", 8)


def test_the_sample_has_every_kind_and_is_small() -> None:
    found = {name: list(some) for name, some in sample_documents().items()}
    assert {n: len(some) for n, some in found.items()} == {
        "books": 5, "encyclopedia": 750, "dialogue": 296, "documents": 1, "rights": 27,
    }  # fmt: skip
    folder = Path(build.__file__).parents[1] / "data" / "sample"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2e6
    for kind in ("encyclopedia", "dialogue", "rights", "emoji"):
        assert (folder / f"{kind}.LICENSE").stat().st_size > 300


class Bytes(ByteTokenizer):
    special = {MARK: 256}  # noqa: RUF012 - read only
    vocab_size = 257


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(), Bytes()])
def test_documents_end_with_a_token_or_an_empty_line(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    build_corpus(tmp_path / "c", {"x": made_up(8)}, CONFIG, tokenizer)
    tokens = np.load(tmp_path / "c" / "x-train-00000.npy")
    end = [256] if isinstance(tokenizer, Bytes) else [10, 10]
    assert tokens[-len(end) :].tolist() == end
