"""The link of a worker to the process that started it, ``flowstate serve --workers``."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Any, Self

from flowstate_server.cli.announcement import Served
from flowstate_server.cli.process_end import HARD_STOPPED
from flowstate_server.cli.telling import json_line

VARIABLE = "_FLOWSTATE_WORKER"

OPENED = "opened"
LISTENING = "listening"
"""What a worker tells: all is there but the port; it listens."""


class Order(StrEnum):
    """What a worker is told, a line each."""

    LISTEN = "listen"
    STOP = "stop"
    """As at SIGTERM; all the others stop, too."""
    MAKE_ROOM = "make room"
    """The same, but the others go on."""
    URGE = "urge"


class WorkerLink:
    """What this worker is to do and where, and how it tells how far it is.

    The end of the parent is an order to make room: whoever takes the parent's place can have the port at once.
    """

    def __init__(self, end: socket.socket, number: int, listen: str) -> None:
        self.number = number
        self.listen = listen
        self.order: Order | None = None
        """To stop, of its parent. ``None`` where somebody else said so, of this worker or of all."""
        self._end = end
        self._may_listen = asyncio.Event()
        self._release: Callable[[], object] = self._may_listen.set
        self._urge: Callable[[], object] = lambda: os._exit(HARD_STOPPED)
        # By default it ends the process, and who signals to all processes of a service means the parent.
        signal.signal(signal.SIGUSR2, lambda number, frame: None)
        threading.Thread(target=self._obey, name="flowstate-worker-link", daemon=True).start()

    @classmethod
    def of_environment(cls) -> Self | None:
        """The link, if this process is a worker. Processes that it starts are none."""
        number, _, place = os.environ.pop(VARIABLE, "").partition(" ")
        if not place:
            return None
        descriptor, _, listen = place.partition(" ")
        end = socket.socket(fileno=int(descriptor))
        end.set_inheritable(False)
        return cls(end, int(number), listen)

    async def may_listen(self) -> None:
        """Wait until all workers are that far: clients that come back after a restart are spread over those that
        listen, and stay where they are."""
        loop = asyncio.get_running_loop()
        self._release = lambda: loop.call_soon_threadsafe(self._may_listen.set)
        self._tell(OPENED)
        await self._may_listen.wait()

    def urge_by(self, urge: Callable[[], object]) -> None:
        """``urge`` ends the process soon, whatever runs; it is called from another thread."""
        self._urge = urge

    def listening(self, served: Served) -> None:
        self._tell(LISTENING, served=served)

    def stopping(self) -> None:
        """The parent says so, of all."""

    def stopped(self) -> None:
        """The parent says so, of all."""

    def _tell(self, event: str, **facts: Any) -> None:
        with suppress(OSError):  # the parent is gone, which ends this process
            self._end.sendall(f"{json_line({'event': event, **facts})}\n".encode())

    def _obey(self) -> None:
        with suppress(OSError), self._end.makefile("r") as orders:
            for order in orders:
                match order.rstrip("\n"):
                    case Order.LISTEN:
                        self._release()
                    case Order.URGE:
                        self._urge()
                    case stop:
                        self.order = Order(stop)
                        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
