"""What a server says about itself on stdout: to people in words, to a parent process in lines of JSON."""

from __future__ import annotations

import os
import sys
from typing import Any

from rich.console import Console

from flowstate_client.config import client_version
from flowstate_server.app import FlowState
from flowstate_server.cli.telling import on_terminal, say_json
from flowstate_server.settings import Settings
from flowstate_server.store_urls import MEMORY, path_of, redacted


class Announcement:
    """In a pipe each event is a line such as ``{"event":"listening","address":"127.0.0.1:7437",...}``."""

    def __init__(self, name: str, app: FlowState, settings: Settings, *, created: bool) -> None:
        self._name = name
        self._flows = {flow.described.kind: sorted(flow.described.actions) for flow in app.catalogue}
        self._settings = settings
        self._store = _store_name(app, settings)
        self._created = created
        self._persistent = self._store not in MEMORY
        self._console = Console(highlight=False, soft_wrap=True)

    def listening(self, port: int) -> None:
        address = self._settings.listen
        if not address.startswith("unix"):
            address = f"{address.rpartition(':')[0]}:{port}"
        if on_terminal():
            self._welcome(address)
        else:
            self._tell(
                "listening",
                address=address,
                app=self._name,
                flows=self._flows,
                store=self._store,
                created=self._created,
                persistent=self._persistent,
                pid=os.getpid(),
                version=client_version(),
            )

    def stopping(self) -> None:
        if on_terminal():
            self._console.print("\nStopping: waiting for what is under way. Ctrl-C again stops at once.")
        else:
            self._tell("stopping")

    def stopped(self) -> None:
        if on_terminal():
            self._console.print("Stopped.")
        else:
            self._tell("stopped")

    def _welcome(self, address: str) -> None:
        settings = self._settings
        lines = {
            "listening on": address + (" (TLS)" if settings.tls_cert else ""),
            "store": self._store + self._note,
            "callers": f"known by {settings.tokens}" if settings.tokens else "whoever they say they are",
            **{f"flow {kind}": ", ".join(actions) for kind, actions in self._flows.items()},
        }
        self._console.print(f"FlowState {client_version()} serves {self._name}", style="bold", markup=False)
        width = max(map(len, lines))
        for label, text in lines.items():
            self._console.print(f"  {label:<{width}}  {text}", markup=False)
        self._console.print("Ctrl-C stops it.", style="dim")

    @property
    def _note(self) -> str:
        if not self._persistent:
            return " (nothing is kept once the server stops)"
        path = path_of(self._settings.store or "")
        # Whole, so that a slip in it is seen.
        return f" (created at {path.absolute()})" if self._created and path is not None else ""

    def _tell(self, event: str, **facts: Any) -> None:
        try:
            say_json({"event": event, **facts})
        except (
            BrokenPipeError
        ):  # nobody listens any more; what is left in the buffer must not fail at the exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_to_be_created(settings: Settings) -> bool:
    """Whether the store is one of files that are not there: most often as meant, else a slip in the path."""
    path = None if settings.store is None else path_of(settings.store)
    return path is not None and not path.exists()


def _store_name(app: FlowState, settings: Settings) -> str:
    if settings.store is not None:
        return redacted(settings.store)
    kind = type(app.store_of(settings.profile)).__name__
    return MEMORY[0] if kind == "MemoryStore" else kind
