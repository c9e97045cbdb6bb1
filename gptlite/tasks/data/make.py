"""How facts.tsv, unknown.txt and the held-out titles were chosen, as a program.

    gptlite data fetch encyclopedia
    python -m gptlite.tasks.data.make

Known are 2,000 titles that the English and the French encyclopedia share, written in
common letters: those whose longer description is shortest. Unknown are titles of the
same form that only one of them has, or that were not among the 2,000; by their
checksum some are for training, others for the test, and the rest is left.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from gptlite.data.fetch import data_folder, is_fetched
from gptlite.data.sources import source
from gptlite.errors import DataError
from gptlite.files import write_text
from gptlite.tasks.data import plain
from gptlite.tasks.facts import PARTS, TEST_PART, TRAIN_PARTS
from gptlite.tasks.split import part

KNOWN = 2000
TITLE = re.compile(r"[A-Za-zÀ-ÖØ-öø-ÿ .'-]{2,30}")
DESCRIPTION = re.compile(r"[A-Za-zÀ-ÖØ-öø-ÿœ0-9 ,.'-]{4,80}")
EMPTY = re.compile(r"homonymie|Wikim")  # of pages that are about no thing

Entries = dict[str, str]  # title: description


def read_entries(language: str) -> Entries:
    """Titles and descriptions of the fetched encyclopedia: "en-us" or "fr-fr"."""
    found = source("encyclopedia")
    if not is_fetched(found):
        raise DataError(
            "wanted the source encyclopedia, which is not here yet; run "
            "`gptlite data fetch encyclopedia`"
        )
    path = next(data_folder(found).rglob(f"summaries_{language}.json"))
    entries = json.loads(path.read_text(encoding="utf-8")).values()
    return {e["title"]: plain(e.get("description") or "") for e in entries}


def known(english: Entries, french: Entries) -> list[tuple[str, str, str]]:
    """Rows (title, English, French) in the order of their titles."""
    rows = [
        (title, english[title], french[title])
        for title in english.keys() & french.keys()
        if TITLE.fullmatch(title)
    ]
    rows = [row for row in rows if all(map(_is_usable, row[1:]))]
    rows.sort(key=lambda row: (max(len(row[1]), len(row[2])), row[0]))
    return sorted(rows[:KNOWN])


def _is_usable(description: str) -> bool:
    return bool(DESCRIPTION.fullmatch(description)) and not EMPTY.search(description)


def unknown(english: Entries, french: Entries) -> tuple[list[str], list[str]]:
    """Titles for training, and titles for the test."""
    ours = {title for title, _, _ in known(english, french)}
    others = sorted((english.keys() | french.keys()) - ours)
    others = [title for title in others if TITLE.fullmatch(title)]
    training = [title for title in others if part(title, PARTS) in TRAIN_PARTS]
    return training, [title for title in others if part(title, PARTS) == TEST_PART]


def main() -> None:
    english, french = read_entries("en-us"), read_entries("fr-fr")
    here = Path(__file__).parent
    rows = ["\t".join(row) for row in known(english, french)]
    training, test = unknown(english, french)
    write_text(here / "facts.tsv", "\n".join([*rows, ""]))
    write_text(here / "unknown.txt", "\n".join([*training, ""]))
    path = here.parent / "held_out" / "facts.json"
    held_out = json.loads(path.read_text(encoding="utf-8")) | {"unknown": test}
    text = json.dumps(held_out, ensure_ascii=False, indent=1)
    write_text(path, text + "\n")


if __name__ == "__main__":
    main()
