"""What a server says about itself on stdout: to people in words, to a parent process in lines of JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from flowstate_server.cli.telling import on_terminal, say_json
from flowstate_server.settings import Settings
from flowstate_server.store_urls import path_of


@dataclass(frozen=True, kw_only=True)
class Served:
    """What there is to tell of a server that listens.

    Attributes:
        flows: The actions of each flow.
        created: What of the store was not there before, see :func:`missing_of_store`.
    """

    address: str
    app: str
    flows: Mapping[str, Sequence[str]]
    store: str
    created: Sequence[str]
    persistent: bool
    version: str


class Announcement:
    """In a pipe each event is a line such as ``{"event":"listening","address":"127.0.0.1:7437",...}``.

    What can't be written is left out: the server does not end because nobody reads, or a disk is full.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._console = Console(highlight=False, soft_wrap=True)
        self._on_terminal = on_terminal()  # at the end the terminal may be gone

    def listening(self, served: Served, workers: Sequence[int] = ()) -> None:
        """``workers``: the ids of the processes that serve, where it is not this one."""
        if self._on_terminal:
            self._welcome(served, len(workers))
        else:
            self._tell(
                "listening",
                address=served.address,
                app=served.app,
                flows=served.flows,
                store=served.store,
                created=bool(served.created),
                persistent=served.persistent,
                pid=os.getpid(),
                version=served.version,
                **({"workers": workers} if workers else {}),
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

    def _welcome(self, served: Served, workers: int) -> None:
        settings = self._settings
        lines = {
            "listening on": served.address + (" (TLS)" if settings.tls_cert else ""),
            **({"workers": f"{workers} processes"} if workers else {}),
            "store": served.store + _note(served),
            "callers": f"known by {settings.tokens}" if settings.tokens else "whoever they say they are",
            **{f"flow {kind}": ", ".join(actions) for kind, actions in served.flows.items()},
        }
        self._print(f"FlowState {served.version} serves {served.app}", style="bold")
        width = max(map(len, lines))
        for label, text in lines.items():
            self._print(f"  {label:<{width}}  {text}")
        self._print("Ctrl-C stops it.", style="dim")

    def _print(self, text: str, style: str = "") -> None:
        with suppress(OSError):
            self._console.print(text, style=style, markup=False)

    def _tell(self, event: str, **facts: Any) -> None:
        with suppress(OSError):
            say_json({"event": event, **facts})


def _note(served: Served) -> str:
    if not served.persistent:
        return " (nothing is kept once the server stops)"
    if not served.created:
        return ""
    # Whole, so that a slip in it is seen.
    folder = "; its folder was not there either, and was created" if len(served.created) > 1 else ""
    return f" (created at {served.created[-1]}{folder})"


def missing_of_store(settings: Settings) -> Sequence[Path]:
    """If the store is one of files that are not there, its whole path, behind that of its folder if this is not there
    either: most often as meant, else a slip in the path."""
    path = None if settings.store is None else path_of(settings.store)
    if path is None or path.exists():
        return ()
    path = path.absolute()
    return (path,) if path.parent.exists() else (path.parent, path)
