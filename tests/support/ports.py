"""Ports for servers that come back on the same one."""

from __future__ import annotations

import random
import socket


def lasting_port() -> int:
    """A free port that the system gives to nobody else meanwhile.

    It is below those that outgoing connections come from. While nobody listens on one of these, a client that tries to
    connect to it may be given that very port as its own: it is then connected to itself, and keeps the server from it.
    """
    while True:
        port = random.randint(15_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
