"""The shell of test_cli, for the commands of this part."""

from __future__ import annotations

from tests.test_cli import shell

__all__ = ["shell"]
