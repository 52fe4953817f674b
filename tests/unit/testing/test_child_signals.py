"""A process that a test starts minds its signals, whatever is ignored where the tests run."""

from __future__ import annotations

import subprocess
import sys

from flowstate_server.testing.child_signals import with_default_signals

ASKED = """
import os, signal
numbers = signal.SIGHUP, signal.SIGINT, signal.SIGTERM
print(os.getpid(), *(signal.getsignal(number) is signal.SIG_IGN for number in numbers))
"""
IGNORING = """
import signal, subprocess, sys
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
print(child.communicate()[0], child.pid)
"""


def _asked(*command: str) -> list[str]:
    """What the command says when a process starts it that ignores all three, and the id that this one knows it by."""
    done = subprocess.run(
        [sys.executable, "-c", IGNORING, *command], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.split()


def test_w14_it_has_them_at_their_defaults_and_its_own_process_id() -> None:
    assert _asked(sys.executable, "-c", ASKED)[1:4] == ["True"] * 3, "else this proves nothing"
    own, *ignored, known = _asked(*with_default_signals(sys.executable, "-c", ASKED))
    assert ignored == ["False"] * 3
    assert own == known
