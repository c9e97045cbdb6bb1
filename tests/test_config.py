"""Configurations: what cannot work is refused at once, with a hint that works."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from typing import Any

import pytest

from gptlite.config import (
    PRESETS,
    GPTConfig,
    TrainConfig,
    configs_from,
    preset,
)
from gptlite.errors import ConfigError, GptliteError
from gptlite.training.schedule import cosine_schedule, warmup


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid(name: str) -> None:
    model, training = preset(name)
    assert model.head_size * model.n_head == model.n_embd
    assert training.final_learning_rate <= training.learning_rate


def test_a_preset_s_fields_can_be_replaced_and_the_preset_stays() -> None:
    model, training = preset("nano", n_layer=5, steps=7)
    assert (model.n_layer, training.steps) == (5, 7)
    assert preset("nano")[0].n_layer == PRESETS["nano"]["n_layer"] != 5


def test_gpt2_is_gpt2() -> None:
    """124,439,808 parameters, as Radford et al. published."""
    c, _ = preset("gpt2")
    C, V, T, L = c.n_embd, c.vocab_size, c.context_length, c.n_layer
    assert c.bias
    per_layer = 12 * C * C + 13 * C
    assert V * C + T * C + L * per_layer + 2 * C == 124_439_808


@pytest.mark.parametrize(
    ("wrong", "right"), [("bbay", "baby"), ("nan", "nano"), ("gpt-2", "gpt2")]
)
def test_a_preset_misspelt_is_guessed(wrong: str, right: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean '{right}'"):
        preset(wrong)


def test_a_field_misspelt_is_guessed() -> None:
    with pytest.raises(ConfigError, match="did you mean 'n_layer'"):
        preset("baby", n_layers=3)
    with pytest.raises(ConfigError, match="gptlite info"):
        configs_from({"zzz": 1})


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (GPTConfig, {"n_layer": 0}),
        (GPTConfig, {"n_head": -1}),
        (GPTConfig, {"vocab_size": 0}),
        (GPTConfig, {"n_embd": 2.0}),
        (GPTConfig, {"n_embd": "128"}),
        (GPTConfig, {"n_layer": True}),
        (GPTConfig, {"context_length": None}),
        (TrainConfig, {"steps": 0}),
        (TrainConfig, {"batch_size": 0}),
        (TrainConfig, {"accumulation": 0}),
        (TrainConfig, {"learning_rate": 0.0}),
        (TrainConfig, {"learning_rate": math.nan}),
        (TrainConfig, {"weight_decay": math.inf}),
        (TrainConfig, {"weight_decay": -0.1}),
        (TrainConfig, {"grad_clip": -1.0}),
        (TrainConfig, {"beta1": 1.0}),
        (TrainConfig, {"beta2": -0.1}),
        (TrainConfig, {"workers": -1}),
        (TrainConfig, {"seed": -1}),
        (TrainConfig, {"optimizer": "sgd"}),
        (TrainConfig, {"tokenizer": "word"}),
        (TrainConfig, {"pool": "fibres"}),
        (TrainConfig, {"eps": "1e-8"}),
    ],
)
def test_what_cannot_work_is_refused_by_name(kind: Any, fields: dict[str, Any]) -> None:
    [(name, value)] = fields.items()
    with pytest.raises(ConfigError) as caught:
        kind(**fields)
    message = str(caught.value)
    assert name in message and str(value) in message
    assert message.startswith("wanted ") and "\n" not in message
    assert isinstance(caught.value, (GptliteError, ValueError))


@pytest.mark.parametrize(("n_embd", "n_head"), [(10, 4), (3, 4), (129, 128)])
def test_the_hint_for_the_width_works(n_embd: int, n_head: int) -> None:
    with pytest.raises(ConfigError) as caught:
        GPTConfig(n_embd=n_embd, n_head=n_head)
    found = re.search(r"try n_embd=(\d+)", str(caught.value))
    assert found
    GPTConfig(n_embd=int(found.group(1)), n_head=n_head)


def test_configurations_cannot_be_changed_by_accident() -> None:
    for config, name in ((GPTConfig(), "n_layer"), (TrainConfig(), "seed")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, name, 3)


def test_configurations_survive_their_fields() -> None:
    model, training = preset("small", seed=3)
    fields = {**dataclasses.asdict(model), **dataclasses.asdict(training)}
    assert configs_from(fields) == (model, training)


def test_the_two_configurations_share_no_field_name() -> None:
    names = [{f.name for f in dataclasses.fields(k)} for k in (GPTConfig, TrainConfig)]
    assert not names[0] & names[1]


def test_the_schedule_falls_from_one_to_its_end_and_stays() -> None:
    rates = [cosine_schedule(i / 100, 0.1) for i in range(121)]
    assert rates[0] == 1 and rates[100] == pytest.approx(0.1)
    assert all(a > b for a, b in itertools.pairwise(rates[:101]))
    assert rates[101:] == [rates[100]] * 20


def test_the_warm_up_rises_in_a_line_and_stays() -> None:
    assert warmup(0, 0) == 1
    rates = [warmup(i, 4) for i in range(8)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1])


@pytest.mark.parametrize("bias", ["no", 1, None])
def test_a_switch_is_true_or_false(bias: object) -> None:
    """config.json may be edited by hand; "no" would be taken for yes."""
    with pytest.raises(ConfigError, match="bias"):
        GPTConfig(bias=bias)  # type: ignore[arg-type]
