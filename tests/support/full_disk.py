"""A server process to which every write fails, as on a full disk."""

from __future__ import annotations

import resource
import sys

import pytest

from flowstate_server.testing.server_process import ServerProcess

CAN_FAIL_WRITES = sys.platform == "linux"
linux = pytest.mark.skipif(not CAN_FAIL_WRITES, reason="prlimit")


def fail_writes(server: ServerProcess) -> None:
    """No file may grow: not what the store keeps, and not the log either."""
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def let_write(server: ServerProcess) -> None:
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
