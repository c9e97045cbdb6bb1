"""Pictures: drawn where asked, large enough to read, with what the data holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")

from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from gptlite import plots  # noqa: E402
from gptlite.errors import DataError  # noqa: E402

METRICS: list[dict[str, Any]] = [
    *({"step": s, "loss": 4.0 - s / 50, "lr": 1e-3} for s in range(1, 101)),
    {"step": 50, "val_loss": 3.2, "bits_per_byte": 4.0},
    {"step": 100, "val_loss": 2.25, "bits_per_byte": 3.2},
]


def texts(ax: Axes) -> list[str]:
    return [t.get_text() for t in ax.texts]


def test_a_learning_curve_shows_training_and_validation() -> None:
    ax = plots.learning_curve(METRICS)
    assert isinstance(ax, Axes)
    raw, mean, measured = ax.lines
    assert raw.get_xdata().tolist() == list(range(1, 101))
    assert len(mean.get_xdata()) == 100 - 20 + 1
    np.testing.assert_allclose(mean.get_ydata()[0], 4.0 - np.arange(1, 21).mean() / 50)
    assert measured.get_ydata().tolist() == [3.2, 2.25]
    assert texts(ax) == ["2.25"]  # the last value, as a number
    assert ax.get_xlabel() == "step" and "loss" in ax.get_ylabel()
    legend = ax.get_legend()
    assert legend
    assert [t.get_text() for t in legend.get_texts()] == [
        "training",
        "validation (a sample)",
    ]


@pytest.mark.parametrize("rows", [[], METRICS[:1], METRICS[:5], METRICS[100:]])
def test_a_run_that_just_began_can_be_drawn(rows: list, tmp_path: Path) -> None:
    ax = plots.learning_curve(rows)
    plots.save(ax, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_letters_and_lines_are_large_enough_for_the_last_row() -> None:
    ax = plots.learning_curve(METRICS)
    assert ax.xaxis.label.get_fontsize() >= 14
    assert all(line.get_linewidth() >= 1 for line in ax.lines)
    ax.figure.draw_without_rendering()
    assert min(t.get_fontsize() for t in ax.get_xticklabels()) >= 12


@pytest.mark.parametrize("draw", ["learning_curve", "attention_map"])
def test_it_draws_where_it_is_asked_to(draw: str) -> None:
    data = {"learning_curve": METRICS, "attention_map": np.eye(3)}[draw]
    mine = Figure().subplots()
    assert getattr(plots, draw)(data, ax=mine) is mine
    assert mine.lines or mine.images


def test_the_user_s_own_settings_are_left_alone() -> None:
    before = dict(matplotlib.rcParams)
    plots.learning_curve(METRICS)
    plots.attention_map(np.eye(2))
    assert dict(matplotlib.rcParams) == before


def test_an_attention_map_names_its_tokens() -> None:
    weights = np.tril(np.ones((3, 5)))
    ax = plots.attention_map(weights, ["a", " ", "\n", "d", "e"])
    shown = [t.get_text() for t in ax.get_xticklabels()]
    assert shown == ["a", " ", "\\n", "d", "e"]
    # fewer queries than keys: they are the last ones
    assert [t.get_text() for t in ax.get_yticklabels()] == ["\\n", "d", "e"]
    [image] = ax.images
    np.testing.assert_array_equal(image.get_array(), weights)


def test_without_a_screen_no_window_is_kept_in_memory() -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    for _ in range(3):
        plots.learning_curve(METRICS)
    assert pyplot.get_fignums() == before


def test_mean_curves_show_the_mean_and_the_whole_spread() -> None:
    steps = np.array([50, 100])
    losses = np.array([[5.0, 4.0], [6.0, 4.5], [7.0, 4.25]])  # three seeds
    ax = plots.mean_curves(steps, {"one": losses, "other": losses - 1})
    assert [line.get_ydata().tolist() for line in ax.lines] == [[6, 4.25], [5, 3.25]]
    assert all(line.get_xdata().tolist() == [50, 100] for line in ax.lines)
    band = ax.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (4.0, 7.0)
    legend = ax.get_legend()
    assert legend
    assert [t.get_text() for t in legend.get_texts()] == [
        "one: 4.250 ± 0.250",
        "other: 3.250 ± 0.250",
    ]


def test_labels_of_words_that_lie_close_do_not_cover_one_another() -> None:
    places = np.array([[0, 0], [0.01, 0.01], [0.02, -0.01], [1, 1], [-1, 0.5]])
    ax = plots.word_map(places, ["macbeth", "banquo", "lady$a$", "sword", "king"])
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


TOKENS = [b"<|user|>", b"an", b" owl", b"\n", b"\xf0\x9f", "\N{OWL}", "<|", b"<|end|>"]
LEARNED = np.array([False, False, True, True, False, False, True, True])


def colors_of(ax: Axes) -> list[str]:
    """The colour of the box behind each token, and a * for a frame."""
    found = []
    for text in ax.texts:
        x, y = text.get_position()
        boxes = [
            p for p in ax.patches
            if p.get_x() < x < p.get_x() + p.get_width()
            and p.get_y() < y < p.get_y() + p.get_height()
        ]  # fmt: skip
        filled = [p for p in boxes if p.get_facecolor()[3]]
        assert len(filled) == 1
        name = "blue" if filled[0].get_facecolor()[:3] < (0.5,) else "grey"
        found.append(name + "*" * (len(boxes) - 1))
    return found


def test_a_token_is_blue_where_the_loss_counts_and_framed_if_it_is_special() -> None:
    ax = plots.token_mask(TOKENS, LEARNED)
    assert colors_of(ax) == ["grey*", "grey", "blue", "blue", "grey", "grey", "blue",
                             "blue*"]  # fmt: skip
    legend = ax.get_legend()
    assert legend
    assert [t.get_text() for t in legend.get_texts()] == [
        "the loss counts it", "it does not count", "special token",
    ]  # fmt: skip


def test_blanks_newlines_and_what_is_no_text_can_be_seen() -> None:
    ax = plots.token_mask(TOKENS, LEARNED)
    assert texts(ax) == [
        "<|user|>", "an", "␣owl", r"\n", r"\xf0\x9f", r"\U0001f989", "<|", "<|end|>",
    ]  # fmt: skip
    shown = texts(plots.token_mask(["", "$x$", "é", "\t", "a" * 99], np.zeros(5, bool)))
    assert shown[:4] == ["", "$x$", "é", r"\t"]
    assert shown[4].startswith("aaa") and shown[4].endswith("a…")


@pytest.mark.filterwarnings("error")  # such as: a letter that the font has not
@pytest.mark.parametrize("width", [None, 4.0])
def test_tokens_fit_into_their_boxes_and_stand_in_order(width: float | None) -> None:
    tokens = [*TOKENS, "x" * 99] * 20
    mine = Figure(figsize=(width, 9)).subplots() if width else None
    ax = plots.token_mask(tokens, np.tile([*LEARNED, True], 20), mine)
    assert mine is None or ax is mine
    ax.figure.draw_without_rendering()
    boxes = [p.get_window_extent() for p in ax.patches]
    shown = [text.get_window_extent() for text in ax.texts]
    for text in shown:
        assert any(b.x0 <= text.x0 and text.x1 <= b.x1 and b.y0 <= text.y0
                   and text.y1 <= b.y1 for b in boxes)  # fmt: skip
    order = [text.get_position()[::-1] for text in ax.texts]
    assert len(order) == 180 and order == sorted(order)
    assert len({line for line, _ in order}) == 40  # the long ones fill a line each


def test_a_conversation_of_any_length_can_be_drawn(tmp_path: Path) -> None:
    for n in (0, 1, 500):
        ax = plots.token_mask(["owl"] * n, np.ones(n, bool))
        assert len(ax.texts) == n
        assert all(text.get_fontsize() >= 18 for text in ax.texts)
        plots.save(ax, tmp_path / "mask.png")
        assert (tmp_path / "mask.png").read_bytes().startswith(b"\x89PNG")


def test_a_mask_of_another_conversation_is_an_error() -> None:
    with pytest.raises(DataError, match="truth values as tokens, got 3 and 2"):
        plots.token_mask(["a", "b"], np.ones(3, bool))


def test_a_reward_models_pictures_show_what_they_are_given() -> None:
    classes = [
        {"sure": 0.6, "right": 0.5, "n": 50},
        {"sure": 0.9, "right": 1.0, "n": 50},
    ]
    ax = plots.calibration_curve(classes)
    line = ax.lines[1]
    assert line.get_xdata().tolist() == [0.6, 0.9]
    ax = plots.learning_from_ratings([10, 100], [(0.6, 0.5, 0.7), (0.9, 0.8, 1.0)])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["10", "100"]


def test_rounds_have_a_panel_for_every_number_that_is_there() -> None:
    rows = [{"reward": i, "kl": 2 * i, "samples": []} for i in range(5)]
    figure = plots.rounds(rows).figure
    shown = [ax for ax in figure.axes if ax.lines]
    assert len(shown) == 2
    assert shown[1].lines[0].get_ydata().tolist() == [0, 2, 4, 6, 8]


def test_over_optimisation_is_drawn_over_the_root_of_the_distance() -> None:
    rows = [{"kl": k, "reward": k, "truth": -k} for k in (-0.1, 1.0, 4.0)]
    ax = plots.over_optimisation({"free": rows})
    assert ax.lines[0].get_xdata().tolist() == [0, 1, 2]
    assert ax.lines[1].get_ydata().tolist() == [0.1, -1.0, -4.0]


def test_rounds_are_whole_numbers() -> None:
    for n in (1, 2, 3, 40):
        ax = plots.rounds([{"reward": i, "kl": i} for i in range(n)])
        assert all(float(tick).is_integer() for tick in ax.get_xticks())


def ring_of_two() -> np.ndarray:
    """From `parallel.history.ring_history(2)`."""
    return np.array([[[1, 1], [2, 2]], [[3, 1], [2, 3]], [[3, 3], [3, 3]]])


def test_a_ring_shows_every_step_and_what_has_just_come() -> None:
    ax = plots.ring_steps(ring_of_two())
    shown = texts(ax)
    assert [t for t in shown if t.startswith("st")] == ["start", "step 1", "step 2"]
    assert shown.count("sum") == 2 + 4
    cells = [patch for patch in ax.patches if patch.get_fill()]
    frames = [patch for patch in ax.patches if not patch.get_fill()]
    assert len(cells) == 3 * 4 and len(frames) == 2 * 2
    assert min(t.get_fontsize() for t in ax.texts if t.get_text()) >= 14


@pytest.mark.parametrize("size", [2, 4, 6])
def test_rings_fit_their_figure(size: int, tmp_path: Path) -> None:
    history = np.full((2 * size - 1, size, size), 2**size - 1)
    plots.save(plots.ring_steps(history), tmp_path / "ring.png")  # warnings are errors


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 3, 3), (13, 7, 7)])
def test_what_is_no_history_of_a_ring_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"pass ring_history\(N\)"):
        plots.ring_steps(np.zeros(shape, int))


def test_a_step_of_workers_is_drawn_with_what_they_do() -> None:
    spans = [(3, "forward", 0.0, 1.0), (3, "all-reduce", 1.0, 2.0),
             (7, "forward", 0.0, 1.5)]  # fmt: skip
    ax = plots.gantt(spans)
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "worker 3", "worker 7"
    ]  # fmt: skip
    assert ax.get_legend_handles_labels()[1] == ["forward", "all-reduce"]
    assert ax.get_xlim()[1] > 1.9
    with pytest.raises(DataError, match="spans to draw"):
        plots.gantt([])
