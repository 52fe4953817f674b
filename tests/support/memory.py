"""The memory of processes."""

from __future__ import annotations

from pathlib import Path


def resident(pid: int) -> int:
    """Bytes of a process in RAM."""
    rows = dict(row.split(":", 1) for row in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(rows["VmRSS"].split()[0]) * 1024
