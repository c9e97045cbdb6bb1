"""What a corpus is made of, as rows for a table."""

from __future__ import annotations

from typing import Any

COUNTED = ("documents", "words", "bytes", "tokens")
LEFT_OUT = ("broken lines", "empty", "other language", "exact repeats", "near repeats")


def table(header: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each source, and one for all, from what is in corpus.json.

    documents: as they came. Words are what blanks separate. share: of the tokens that
    training draws.
    """
    rows = [_row(source) for source in header["sources"]]
    names = [name for name in LEFT_OUT if any(row[name] for row in rows)]
    total: dict[str, Any] = {key: sum(row[key] for row in rows)
                             for key in rows[0] if key != "source"}  # fmt: skip
    found = []
    for row in [*rows, {"source": "all", **total}]:
        columns = ("source", "documents", *names, "kept", "validation", "words",
                   "tokens", "MB")  # fmt: skip
        found.append({key: row[key] for key in columns} | {
            "MB": round(row["MB"], 2),
            "tokens a word": round(row["tokens"] / max(1, row["words"]), 2),
            "bytes a token": round(1e6 * row["MB"] / max(1, row["tokens"]), 2),
            "share": round(row["share"], 3),
        })  # fmt: skip
    return found


def _row(source: dict[str, Any]) -> dict[str, Any]:
    train, validation = source["train"], source["validation"]
    both = {key: train[key] + validation[key] for key in COUNTED}
    return {
        "source": source["name"], "documents": source["documents"],
        **{name: source["left_out"].get(name, 0) for name in LEFT_OUT},
        "kept": both["documents"], "validation": validation["documents"],
        "words": both["words"], "tokens": both["tokens"], "MB": both["bytes"] / 1e6,
        "share": source["share"],
    }  # fmt: skip
