"""When this process began: for benchmarks whose clock starts there."""

from __future__ import annotations

import os
import time
from pathlib import Path

_IMPORTED = time.perf_counter()


def process_started() -> float:
    """The value of `time.perf_counter()` when this process began.

    Linux tells (to 10 ms); elsewhere it is when this file was imported.
    """
    try:
        fields = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
        since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot
        return time.perf_counter() - age
    except (OSError, AttributeError, IndexError, ValueError):
        return _IMPORTED
