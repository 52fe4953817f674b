"""The signals of processes that a test starts."""

from __future__ import annotations

import sys

# What is ignored stays ignored in a new program, and what is not stays at its default.
_EXEC = (
    "import os, signal, sys;"
    " [signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)];"
    " os.execv(sys.argv[1], sys.argv[1:])"
)


def with_default_signals(*command: str) -> list[str]:
    """``command``, begun with SIGINT, SIGTERM and SIGHUP at their defaults; it keeps its process id.

    Without this a child ignores what whoever runs the tests ignores: SIGINT in a job in the background of a script,
    SIGHUP under ``nohup``. The command must name its program by a whole path, such as ``sys.executable``.
    """
    if sys.platform == "win32":
        return list(command)
    # Not the `preexec_fn` of `subprocess`: it needs a real fork, in which gRPC's threads may crash the child.
    return [sys.executable, "-I", "-S", "-c", _EXEC, *command]
