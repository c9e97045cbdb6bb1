"""Texts and words: corpora, tokens with their mask, attention, maps of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, findfont, get_font

from gptlite.errors import DataError
from gptlite.plots.style import BLUE, GREY, ORANGE, STYLE, new_axes, styled


@styled()
def attention_map(
    weights: np.ndarray, tokens: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """One head's attention (Tq, Tk): how much each query (row) takes of each key."""
    ax = ax or new_axes(7, 6)
    image = ax.imshow(weights, cmap="Blues", vmin=0, vmax=float(weights.max()))
    ax.grid(False)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8)
    bar.set_label("attention weight")
    if tokens is not None:
        shown = [repr(t)[1:-1] if t.isspace() else t for t in tokens]
        ax.set_xticks(range(weights.shape[1]), shown[: weights.shape[1]])
        ax.set_yticks(range(weights.shape[0]), shown[-weights.shape[0] :])
    ax.set(xlabel="key (looked at)", ylabel="query (looking)")
    return ax


def _place_labels(ax: Axes, places: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """(n, 2): where each label's lower left corner goes, in pixels from its point.

    One after another takes, of eight places around its point, the one that covers the
    least of the other points and of the labels that are there already.
    """
    size = STYLE["font.size"] * ax.figure.dpi / 72
    points = ax.transData.transform(places)  # (n, 2) pixels
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in points]

    def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
        width = min(a[2], b[2]) - max(a[0], b[0])
        return max(0.0, width) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))

    out = []
    for number, ((x, y), label) in enumerate(zip(points, labels, strict=True)):
        w, h, gap = 0.6 * size * len(label), 1.1 * size, 7
        others = taken[:number] + taken[number + 1 :]
        covered = {}
        for dx in (gap, -gap - w, -w / 2):
            for dy in (-h / 2, gap, -gap - h):
                if (dx, dy) != (-w / 2, -h / 2):  # not on the point itself
                    box = x + dx, y + dy, x + dx + w, y + dy + h
                    covered[box] = sum(overlap(box, other) for other in others)
        best = min(covered, key=lambda box: covered[box])
        taken.append(best)
        out.append((best[0] - x, best[1] - y))
    return np.array(out)


@styled()
def word_map(places: np.ndarray, words: Sequence[str], ax: Axes | None = None) -> Axes:
    """Words at their places (n, 2), such as those of `WordVectors.plane`."""
    ax = ax or new_axes(9, 6.5)
    ax.plot(*places.T, "o", color=BLUE)
    ax.margins(0.15)
    ax.autoscale_view()
    offsets = _place_labels(ax, places, words)
    for place, word, offset in zip(places, words, offsets, strict=True):
        ax.annotate(word, place, offset, textcoords="offset pixels", parse_math=False)
    ax.set(xlabel="first main direction", ylabel="second", title="Word vectors")
    return ax


@styled()
def corpus_picture(rows: Sequence[dict[str, Any]], ax: Axes | None = None) -> Axes:
    """What became of each source's documents, in percent, from `report.table`."""
    rows = rows[::-1]  # the first one on top
    ax = ax or new_axes(11, 1.8 + len(rows))
    looks = {
        "kept": BLUE, "exact repeats": ORANGE, "near repeats": "#E69F00",
        "other language": "#009E73", "empty": GREY, "broken lines": "#444444",
    }  # fmt: skip
    start = np.zeros(len(rows))
    for name in [name for name in looks if name in rows[0]]:
        documents = np.array([max(1, row["documents"]) for row in rows])
        share = 100 * np.array([row[name] for row in rows]) / documents
        ax.barh(range(len(rows)), share, left=start, color=looks[name], label=name)
        start += share
    labels = [
        f"{row['source']}\n{row['documents']:,} documents\n"
        f"{row['tokens'] / 1e6:.2f} M tokens, {row['tokens a word']:g} a word"
        for row in rows
    ]
    ax.set_yticks(range(len(rows)), labels, parse_math=False)
    ax.set(xlabel="% of the documents", xlim=(0, 100))
    ax.grid(False, axis="y")
    ax.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


LETTERS = "DejaVu Sans Mono"  # comes with matplotlib; all its letters are as wide
WIDE, HIGH = 0.602, 1.75  # a letter, and from line to line, in units of the font's size
IN_A_LINE = 60  # letters


def _visible(token: str | bytes) -> str:
    """A token as one can read it: blanks as ␣; escapes for bytes that are no text, for
    control characters, and for letters that the font has not."""
    if isinstance(token, bytes):
        token = token.decode("utf-8", "backslashreplace")
    known = get_font(findfont(FontProperties(family=LETTERS))).get_charmap()
    shown = "".join(
        c if c.isprintable() and ord(c) in known
        else c.encode("unicode_escape").decode()
        for c in token.replace(" ", "␣")
    )  # fmt: skip
    return shown if len(shown) < IN_A_LINE else shown[: IN_A_LINE - 2] + "…"


def _wrapped(widths: np.ndarray) -> np.ndarray:
    """(n, 2): column and line where each box begins, boxes side by side."""
    places, x, y = [], 0, 0
    for width in widths.tolist():
        if x + width > IN_A_LINE:
            x, y = 0, y + 1
        places.append((x, y))
        x += width
    return np.array(places, int).reshape(-1, 2)


@styled()
def token_mask(
    tokens: Sequence[str | bytes], learned: np.ndarray, ax: Axes | None = None
) -> Axes:
    """A conversation by tokens: blue where the loss counts them, grey where not.

    learned: (n,) bool, as in `text.chat.Rendered`. Special tokens, written <|…|>, have
    a frame. A newline is shown as \\n, a byte that is no text as \\xf0.
    """
    if len(tokens) != len(learned):
        raise DataError(
            f"wanted as many truth values as tokens, got {len(learned)} and "
            f"{len(tokens)}; pass ids and mask of the same conversation"
        )
    texts = [_visible(token) for token in tokens]
    widths = np.array([len(text) + 1 for text in texts], int)
    places = _wrapped(widths)
    lines, size = 1 + places[:, 1].max(initial=0), 20 / 72  # inches
    ax = ax or new_axes(IN_A_LINE * WIDE * size, lines * HIGH * size + 0.7)
    special = np.array([t[:2] == "<|" and t[2:].endswith("|>") for t in texts], bool)
    frame = {"facecolor": "none", "edgecolor": "black", "lw": 2}
    for name, which, looks in (
        ("the loss counts it", learned, {"color": BLUE}),
        ("it does not count", ~learned, {"color": "#DDDDDD"}),
        ("special token", special, frame),
    ):
        if which.any():
            x, y = places[which].T
            ax.barh(y, widths[which] - 0.2, 0.84, x, label=name, **looks)
    ax.set(xlim=(0, IN_A_LINE), ylim=(lines - 0.5, -0.5))
    ax.axis("off")
    if texts:
        ax.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    figure: Any = ax.figure
    figure.draw_without_rendering()  # now it is known how wide the axes are
    pixels = max(1, ax.get_window_extent().width // IN_A_LINE)  # hinting rounds these
    points = pixels / WIDE * 72 / figure.dpi
    for text, (x, y), width, white in zip(texts, places, widths, learned, strict=True):
        ax.text(
            x + width / 2 - 0.1, y, text, family=LETTERS, fontsize=points, ha="center",
            va="center_baseline", color="white" if white else "black", parse_math=False,
        )  # fmt: skip
    return ax
