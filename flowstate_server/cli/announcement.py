"""What a server says about itself on stdout: to people in words, to a parent process in lines of JSON."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from flowstate_client.config import client_version
from flowstate_server.app import FlowState
from flowstate_server.cli.telling import on_terminal, say_json
from flowstate_server.settings import Settings
from flowstate_server.store_urls import MEMORY, path_of, redacted


class Announcement:
    """In a pipe each event is a line such as ``{"event":"listening","address":"127.0.0.1:7437",...}``.

    What can't be written is left out: the server does not end because nobody reads, or a disk is full.
    """

    def __init__(self, name: str, app: FlowState, settings: Settings, *, created: Sequence[Path]) -> None:
        """``created``: what of the store was not there before, see :func:`missing_of_store`."""
        self._name = name
        self._flows = {flow.described.kind: sorted(flow.described.actions) for flow in app.catalogue}
        self._settings = settings
        self._store = _store_name(app, settings)
        self._created = created
        self._persistent = self._store not in MEMORY
        self._console = Console(highlight=False, soft_wrap=True)
        self._on_terminal = on_terminal()  # at the end the terminal may be gone

    def listening(self, port: int) -> None:
        address = self._settings.listen
        if not address.startswith("unix"):
            address = f"{address.rpartition(':')[0]}:{port}"
        if self._on_terminal:
            self._welcome(address)
        else:
            self._tell(
                "listening",
                address=address,
                app=self._name,
                flows=self._flows,
                store=self._store,
                created=bool(self._created),
                persistent=self._persistent,
                pid=os.getpid(),
                version=client_version(),
            )

    def stopping(self) -> None:
        if self._on_terminal:
            self._print("\nStopping: waiting for what is under way. Ctrl-C again stops at once.")
        else:
            self._tell("stopping")

    def stopped(self) -> None:
        if self._on_terminal:
            self._print("Stopped.")
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
        self._print(f"FlowState {client_version()} serves {self._name}", style="bold")
        width = max(map(len, lines))
        for label, text in lines.items():
            self._print(f"  {label:<{width}}  {text}")
        self._print("Ctrl-C stops it.", style="dim")

    @property
    def _note(self) -> str:
        if not self._persistent:
            return " (nothing is kept once the server stops)"
        if not self._created:
            return ""
        # Whole, so that a slip in it is seen.
        folder = "; its folder was not there either, and was created" if len(self._created) > 1 else ""
        return f" (created at {self._created[-1]}{folder})"

    def _print(self, text: str, style: str = "") -> None:
        with suppress(OSError):
            self._console.print(text, style=style, markup=False)

    def _tell(self, event: str, **facts: Any) -> None:
        with suppress(OSError):
            say_json({"event": event, **facts})


def missing_of_store(settings: Settings) -> Sequence[Path]:
    """If the store is one of files that are not there, its whole path, behind that of its folder if this is not there
    either: most often as meant, else a slip in the path."""
    path = None if settings.store is None else path_of(settings.store)
    if path is None or path.exists():
        return ()
    path = path.absolute()
    return (path,) if path.parent.exists() else (path.parent, path)


def _store_name(app: FlowState, settings: Settings) -> str:
    if settings.store is not None:
        return redacted(settings.store)
    kind = type(app.store_of(settings.profile)).__name__
    return MEMORY[0] if kind == "MemoryStore" else kind
