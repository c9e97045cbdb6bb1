"""The tasks' own data: what is known, what is not. `make.py` says how it was chosen."""

from __future__ import annotations

import re
from importlib import resources

BRACKETS = re.compile(r"(\s*\([^()]*\))+$")


def data_file(name: str) -> str:
    """The text of a file that lies beside this one."""
    return (resources.files(__name__) / name).read_text(encoding="utf-8")


def plain(description: str) -> str:
    """A description without brackets at its end, with plain spaces and apostrophes.

    The brackets hold years of life, thousands of numbers that no reader would ask for.

    >>> plain("French poet (1854–1891)")
    'French poet'
    """
    text = description.replace("\xa0", " ").replace("’", "'")
    return BRACKETS.sub("", text).strip()
