"""Checkpoints come back to the bit; what is damaged or foreign is told in one line."""

from __future__ import annotations

import dataclasses
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gptlite import files
from gptlite.errors import CheckpointError
from gptlite.models import checkpoint
from gptlite.models.gpt import GPT
from gptlite.text.tokenizer import CharTokenizer
from gptlite.training.run import Run
from tests.helpers import FAST, TINY, assert_same_bits, child_environment


def store(path: Path, model: GPT) -> None:
    described = {"model": dataclasses.asdict(model.config), "steps": 7}
    checkpoint.save(path, checkpoint.model_tensors(model.params), described)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a" / "last.safetensors"
    store(path, GPT(TINY))
    return path


def message_of(call: Callable[[], object]) -> str:
    """The message of the CheckpointError: one line, and not endless."""
    with pytest.raises(CheckpointError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and 20 < len(text) < 500, text
    return text


@pytest.mark.parametrize("bias", [False, True])
def test_a_model_comes_back_to_the_last_bit(tmp_path: Path, bias: bool) -> None:
    config = dataclasses.replace(TINY, bias=bias)
    model = GPT(config, rng=np.random.default_rng(5))
    store(tmp_path / "x.safetensors", model)
    again = checkpoint.load_model(tmp_path / "x.safetensors")
    assert again.config == config
    assert_same_bits(again.params.flat, model.params.flat)
    assert checkpoint.metadata(tmp_path / "x.safetensors")["steps"] == 7


def test_another_library_reads_the_same_tensors(path: Path) -> None:
    model, found = GPT(TINY), load_file(path)
    assert set(found) == {name for name, _ in model.params.tensors()}
    for name, tensor in model.params.tensors():
        assert_same_bits(found[name], tensor)


def test_saving_leaves_only_the_checkpoint_in_the_folder(path: Path) -> None:
    store(path, GPT(TINY))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    text = message_of(lambda: checkpoint.load_model(tmp_path / "no.safetensors"))
    assert "no.safetensors" in text


@pytest.mark.parametrize("share", [0.0, 0.001, 0.05, 0.5, 0.999])
def test_a_file_cut_short_is_refused_wherever_it_was_cut(
    path: Path, share: float
) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert str(path) in message_of(lambda: checkpoint.load_model(path))


@pytest.mark.parametrize("size", [1, 7, 8, 9, 1000, 100_000])
def test_random_bytes_are_refused(path: Path, size: int) -> None:
    for seed in range(5):
        path.write_bytes(np.random.default_rng(seed).bytes(size))
        message_of(lambda: checkpoint.load_model(path))


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, 10**8 + 1])
def test_a_header_that_claims_to_be_huge_is_refused(path: Path, length: int) -> None:
    data = path.read_bytes()
    path.write_bytes(struct.pack("<Q", length) + data[8:])
    message_of(lambda: checkpoint.load_model(path))


def test_a_flipped_bit_in_the_header_never_crashes(path: Path) -> None:
    """It is refused, or harmless; nothing but a CheckpointError comes out."""
    data = path.read_bytes()
    header = struct.unpack("<Q", data[:8])[0]
    rng, refused = np.random.default_rng(0), 0
    for at in rng.integers(0, 8 + header, 150).tolist():
        damaged = bytearray(data)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            checkpoint.load_model(path)
        except CheckpointError:
            refused += 1
    assert refused > 100


def test_a_foreign_safetensors_file_is_refused(path: Path) -> None:
    save_file({"weight": np.zeros((2, 2), np.float32)}, path)
    assert "another program" in message_of(lambda: checkpoint.load_model(path))
    save_file({"weight": np.zeros(2, np.float32)}, path, {"format": "pt"})
    message_of(lambda: checkpoint.load_model(path))


def test_a_file_without_one_of_the_tensors_is_refused_by_name(path: Path) -> None:
    tensors = dict(checkpoint.model_tensors(GPT(TINY).params))
    tensors["layers.1.other"] = tensors.pop("layers.1.fc_weight")
    checkpoint.save(path, tensors, {"model": dataclasses.asdict(TINY)})
    text = message_of(lambda: checkpoint.load_model(path))
    assert "layers.1.fc_weight" in text


@pytest.mark.parametrize(
    "change", [{"vocab_size": 10}, {"n_embd": 8}, {"context_length": 11}]
)
def test_another_shape_is_refused_with_both_shapes(
    path: Path, change: dict[str, int]
) -> None:
    other = GPT(dataclasses.replace(TINY, **change))
    before = other.params.flat.copy()
    text = message_of(
        lambda: checkpoint.load_into(path, checkpoint.model_tensors(other.params))
    )
    assert ("shape" in text and "(11, 16)" in text) or "(12, 16)" in text
    assert_same_bits(other.params.flat, before)  # compared before anything is read


@pytest.mark.parametrize(
    "model",
    [
        None,
        [],
        "gpt",
        {},
        {"n_layer": 2},
        {**dataclasses.asdict(TINY), "n_head": 3},
        {**dataclasses.asdict(TINY), "n_layer": "2"},
        {**dataclasses.asdict(TINY), "n_layer": -1},
        {**dataclasses.asdict(TINY), "shiny": True},
        {**dataclasses.asdict(TINY), "n_embd": 2**40},  # no memory is taken for it
        {**dataclasses.asdict(TINY), "vocab_size": 2**60},
    ],
)
def test_a_description_of_no_possible_model_is_refused(
    path: Path, model: object
) -> None:
    tensors = checkpoint.model_tensors(GPT(TINY).params)
    checkpoint.save(path, tensors, {"model": model})
    message_of(lambda: checkpoint.load_model(path))


def test_metadata_that_is_no_json_is_refused(path: Path) -> None:
    save_file({"x": np.zeros(1, np.float32)}, path, {"model": "{not json"})
    message_of(lambda: checkpoint.load_model(path))


def run_with(folder: Path, characters: str) -> Run:
    run, tokenizer = Run(folder), CharTokenizer(characters)
    run.describe("sample", TINY, FAST, tokenizer)
    store(run.checkpoint_file, GPT(TINY))
    return run


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tmp_path: Path) -> None:
    run_with(tmp_path, "abcdefghijk").load()  # 11, as the model has
    text = message_of(run_with(tmp_path, "abcdefghijkl").load)
    assert "12" in text and "11" in text


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "{}", '{"kind": "char"}', '{"kind": 3}',
                '{"kind": "char", "characters": ""}',
                '{"kind": "char", "characters": "ba"}'],
)  # fmt: skip
def test_a_damaged_tokenizer_is_refused(tmp_path: Path, content: str) -> None:
    run = run_with(tmp_path, "abc")
    run.tokenizer_file.write_text(content)
    assert "tokenizer" in message_of(run.load)
    run.tokenizer_file.write_bytes(b"\xff\xfe{")
    message_of(run.load)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "3", "{}", '{"text": "x"}',
                '{"text": "x", "model": 3, "training": {}}'],
)  # fmt: skip
def test_a_damaged_configuration_is_refused(tmp_path: Path, content: str) -> None:
    run = run_with(tmp_path, "abc")
    run.config_file.write_text(content)
    assert "config.json" in message_of(run.read_config)
    run.config_file.write_bytes(b"\xff\xfe{")
    message_of(run.read_config)


def test_a_small_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.json"
    for text in ("a" * 1000, "é"):
        files.write_text(path, json.dumps(text))
        assert json.loads(path.read_text(encoding="utf-8")) == text
    assert [p.name for p in path.parent.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("dtype", "size"), [("BF16", 2), ("F8_E4M3", 1), ("C64", 8), ("I64", 8)]
)
def test_weights_of_a_type_that_numpy_or_the_model_lacks_are_refused(
    path: Path, dtype: str, size: int
) -> None:
    """Other libraries write bfloat16; integers are no weights."""
    header: dict[str, object] = {
        "__metadata__": {"model": json.dumps(dataclasses.asdict(TINY))}
    }
    end = 0
    for name, tensor in GPT(TINY).params.tensors():
        place = [end, end + size * tensor.size]
        header[name] = {
            "dtype": dtype, "shape": list(tensor.shape), "data_offsets": place
        }  # fmt: skip
        end = place[1]
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(max(end, 40_000)))
    if end < 40_000:  # one tensor more, so that the file is as long as it should be
        header["rest"] = {"dtype": "U8", "shape": [40_000 - end],
                          "data_offsets": [end, 40_000]}  # fmt: skip
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(40_000))
    message_of(lambda: checkpoint.load_model(path))
    message_of(
        lambda: checkpoint.load_into(path, checkpoint.model_tensors(GPT(TINY).params))
    )


SAVE_FOREVER = """
import sys
from pathlib import Path
import numpy as np
from gptlite.models import checkpoint
x = np.zeros(2_000_000, np.float32)
while True:
    checkpoint.save(Path(sys.argv[1]), {"x": x}, {"steps": 1})
"""


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_what_a_kill_left_behind_is_gone_after_the_next_checkpoint(
    tmp_path: Path,
) -> None:
    """Or a run that is killed now and then fills the disk with halves."""
    path = tmp_path / "folder" / "last.safetensors"
    halves = 0
    for _ in range(20):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVE_FOREVER, str(path)], env=child_environment()
        )
        end = time.monotonic() + 60
        while not path.exists() or len(os.listdir(path.parent)) < 2:
            assert process.poll() is None and time.monotonic() < end
        process.kill()
        process.wait()
        assert checkpoint.metadata(path) == {"steps": 1}  # whole, whatever else is
        halves = len(os.listdir(path.parent)) - 1
        if halves:
            break
    assert halves, "twenty kills, and none while a file was being written"
    checkpoint.save(path, {"x": np.zeros(1, np.float32)}, {"steps": 2})
    assert os.listdir(path.parent) == ["last.safetensors"]
