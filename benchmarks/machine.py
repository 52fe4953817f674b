"""The line that tells on what a run was measured."""

from __future__ import annotations

import os
import platform
import sqlite3
import tempfile
import time
from importlib.metadata import version
from statistics import median

from benchmarks.event_loop import NAME

SYNCS = 50


def line() -> str:
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "?"
    parts = (
        f"{_processor()}, {os.cpu_count()} cores, load {load}",
        f"Python {platform.python_version()}",
        NAME,
        f"grpcio {version('grpcio')}",
        f"SQLite {sqlite3.sqlite_version}",
        f"fsync {_sync_millis():.2f} ms",
    )
    return "; ".join(parts)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            return next(row.partition(":")[2].strip() for row in info if row.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _sync_millis() -> float:
    """What making 4 KiB durable takes where the databases lie."""
    took = []
    with tempfile.TemporaryFile() as file:
        for _ in range(SYNCS):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return median(took) * 1000
