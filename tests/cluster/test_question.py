"""The price of one question on this computer."""

from __future__ import annotations

import json

import pytest

from gptlite.cli import main
from gptlite.cluster.bill import Electricity
from gptlite.errors import ConfigError


def test_a_question_to_mini_has_a_price(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cluster", "question", "--watts", "60", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["model"] == "mini" and found["tokens"] > 0
    kwh = found["seconds"] / 3600 * 0.060
    assert found["cents"] == pytest.approx(30 * kwh, rel=0.02)
    assert found["cents"] < found["chatgpt_cents"] == 0.36


@pytest.mark.parametrize("watts", [-1.0, float("nan"), float("inf")])
def test_watts_are_a_number_of_at_least_0(watts: float) -> None:
    with pytest.raises(ConfigError, match="watts"):
        Electricity(watts)
