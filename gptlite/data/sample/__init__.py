"""The texts that ship in the package; SOURCES.md says where each is from."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources


@lru_cache(maxsize=1)
def _names() -> list[str]:
    return sorted(file.name for file in resources.files(__name__).iterdir())


def sample_files(kind: str) -> list[str]:
    """Names of the files of a kind: shakespeare, rights, encyclopedia, dialogue, …"""
    return [n for n in _names() if n.startswith(kind) and not n.endswith(".LICENSE")]


def sample_file(name: str) -> str:
    """The text of a file."""
    return (resources.files(__name__) / name).read_text(encoding="utf-8")
