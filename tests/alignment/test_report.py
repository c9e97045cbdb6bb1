"""A reward model's page: all figures are on it, and nothing that was said runs."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gptlite.alignment.health import health
from gptlite.alignment.report import write_report
from gptlite.errors import GptliteError
from tests.alignment.test_health import PAIRS, pair, polite

ROWS = [{"n": 125, "accuracy": 0.615, "interval": [0.571, 0.657]},
        {"n": 2000, "accuracy": 0.843, "interval": [0.808, 0.872]}]  # fmt: skip


def measured(truth: bool = True) -> dict[str, Any]:
    """Of one who likes polite answers and is wrong about one pair."""
    pairs = [*PAIRS, pair("<script>alert(1)</script>\nno", "please & please")]
    return health(lambda cs: np.array([polite(c) for c in cs]), pairs,
                  polite if truth else None)  # fmt: skip


def written(folder: Path, *args: Any, title: str = "a title") -> str:
    write_report(folder / "report.html", title, *args)
    return (folder / "report.html").read_text(encoding="utf-8")


def fact(page: str, name: str) -> str:
    [value] = re.findall(f"<th>{re.escape(name)}</th><td>([^<]*)</td>", page)
    return str(value)


def test_the_figures_are_on_the_page(tmp_path: Path) -> None:
    found = measured()
    page = written(tmp_path, found)
    low, high = found["interval"]
    right = f"{100 * 100 / 101:.1f} % ({100 * low:.1f} … {100 * high:.1f} %)"
    assert fact(page, "in the right order") == right
    assert fact(page, "ordered as the truth does").startswith("100.0 % (")
    assert fact(page, "held-out pairs") == "101"
    assert fact(page, "calibration error") == f"{found['calibration_error']:.3f}"
    length = f"{found['length_correlation']:+.2f}"
    assert fact(page, "correlation of reward and length") == length
    longer = f"in {100 * found['longer_preferred']:.1f} %"
    assert fact(page, "the longer answer was preferred") == longer
    spread = f"{found['reward_mean']:.2f}, {found['reward_spread']:.2f}"
    assert fact(page, "rewards, mean and spread") == spread


def test_a_truth_or_a_curve_that_is_not_known_is_not_mentioned(tmp_path: Path) -> None:
    page = written(tmp_path, measured(truth=False))
    assert "truth" not in page and "How many ratings" not in page
    assert page.count("<img") == 1
    page = written(tmp_path, measured(), ROWS)
    assert fact(page, "125 ratings") == "61.5 % (57.1 … 65.7 %)"
    assert fact(page, "2,000 ratings") == "84.3 % (80.8 … 87.2 %)"
    assert page.count("<img") == 2


def test_the_pictures_are_inside_and_nothing_is_fetched(tmp_path: Path) -> None:
    page = written(tmp_path, measured(), ROWS)
    found = re.findall(r'src="([^"]*)"', page)
    assert len(set(found)) == 2
    for source in found:
        data = source.removeprefix("data:image/png;base64,")
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")
    assert not re.search("https?:|<link|<script", page)


def test_what_was_said_is_text_and_the_worst_pair_is_shown(tmp_path: Path) -> None:
    page = written(tmp_path, measured(), title="<b>")
    assert "<script" not in page and "<b>" not in page
    assert "<td>&lt;script&gt;alert(1)&lt;/script&gt;\nno</td>" in page
    assert "<td>please &amp; please</td>" in page and "<td>-2.00</td>" in page
    assert page.count("<th>better</th>") == 1  # the others are in the right order


def test_who_is_never_wrong_has_no_wrong_pairs(tmp_path: Path) -> None:
    page = written(
        tmp_path, health(lambda cs: np.array([polite(c) for c in cs]), PAIRS)
    )
    assert "None is in the wrong order" in page and "<th>better</th>" not in page


def test_a_page_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()  # in the way
    with pytest.raises(GptliteError, match=r"report\.html"):
        written(tmp_path, measured())
