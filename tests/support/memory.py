"""The memory of processes."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path


def resident(pid: int) -> int:
    """Bytes of a process in RAM."""
    rows = dict(row.split(":", 1) for row in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(rows["VmRSS"].split()[0]) * 1024


def in_use() -> int:
    """Bytes of this process in RAM, once its allocator has given back what it keeps at hand, as far as that can do so.

    What is kept goes up and down by a tenth with what was on the way at once, which hides what a leak adds.
    """
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc, not of musl
    if give_back is not None:
        give_back(0)
    return resident(os.getpid())
