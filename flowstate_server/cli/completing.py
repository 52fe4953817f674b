"""What a key completes beside commands and options: what a server that answers at once has, and files only where one is
meant."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from typer import _completion_shared

if TYPE_CHECKING:
    from flowstate_client import FlowStateClient

# Who presses the key waits for it. Chosen; the variable is for servers that are far away.
_TIMEOUT = "FLOWSTATE_COMPLETION_TIMEOUT"
_SECONDS = 1.0
# More are not read on a terminal. Chosen.
_MOST = 200
_OF_FILES = ("FILE", "FOLDER", "DIR")


@dataclass(frozen=True)
class Offer:
    """As shells are given it."""

    value: str
    help: str | None = None
    type: str = "plain"


def complete_values(parameter: Any) -> None:
    """Have ``parameter`` of a command offer what is known of it, and no files but where it takes one."""
    if "shell_complete" in vars(parameter):
        return
    offered = parameter.shell_complete
    takes_files = any(word in (parameter.metavar or "") for word in _OF_FILES)

    def shell_complete(context: Any, typed: str) -> list[Any]:
        known = _KNOWN.get(parameter.name or "")
        found = offered(context, typed)
        if not found and known is not None:
            found = [one for one in known(context.params) if one.value.startswith(typed)]
        if not found and not takes_files:
            _offer_nothing()
        return list(found)

    parameter.shell_complete = shell_complete


def keep_files_from_bash() -> None:
    """Have the script for bash take a failure for nothing to offer; what is empty means files to it."""
    scripts = _completion_shared._completion_scripts  # typer has no other way to it
    scripts["bash"] = scripts["bash"].replace(
        "complete_bash $1 ) )\n", "complete_bash $1 ) ) || compopt +o default\n"
    )


def _offer_nothing() -> None:
    """End the process before typer does, which would have the shell look for files. Zsh and fish take success so."""
    sys.exit(1 if os.environ.get("_FLOWSTATE_COMPLETE") == "complete_bash" else 0)


def _seconds() -> float:
    try:
        return float(os.environ[_TIMEOUT])
    except (KeyError, ValueError):
        return _SECONDS


def _event_types(_: Any) -> list[Offer]:
    from flowstate_client.filters import EVENT_TYPES

    return [Offer(name) for name in EVENT_TYPES]


def _flows(given: dict[str, Any]) -> list[Offer]:
    async def work(client: FlowStateClient) -> AsyncIterator[Offer]:
        async for flow in client.flows.list():
            yield Offer(flow.flow_kind, flow.description)

    return _told(given, work)


def _actions(given: dict[str, Any]) -> list[Offer]:
    async def work(client: FlowStateClient) -> AsyncIterator[Offer]:
        for action in (await client.flows.get(given["flow"])).actions:
            yield Offer(action.name, action.description)

    return _told(given, work)


def _sessions(given: dict[str, Any]) -> list[Offer]:
    async def work(client: FlowStateClient) -> AsyncIterator[Offer]:
        found = client.sessions.list(user_id=given.get("user") or "", org_id=given.get("org") or "")
        async for session in found:
            yield Offer(session.id, session.title)

    return _told(given, work)


def _owners(given: dict[str, Any]) -> list[Offer]:
    """Ids of whose state it is: of sessions alone, since nothing lists users and orgs."""
    return _sessions(given) if given.get("owner") == "session" else []


def _requests(given: dict[str, Any]) -> list[Offer]:
    async def work(client: FlowStateClient) -> AsyncIterator[Offer]:
        found = client.flows.requests(
            session_id=given.get("session") or "",
            user_id=given.get("user") or "",
            org_id=given.get("org") or "",
        )
        async for record in found:
            yield Offer(record.request_id, f"{record.flow_kind}/{record.action} {record.status}")

    return _told(given, work)


_KNOWN: dict[str, Callable[[dict[str, Any]], Iterable[Offer]]] = {
    "types": _event_types,
    "flow": _flows,
    "action": _actions,
    "session": _sessions,
    "session_id": _sessions,
    "session_ids": _sessions,
    "id": _owners,
    "request": _requests,
    "request_id": _requests,
    "request_ids": _requests,
}


def _told(given: dict[str, Any], work: Callable[[FlowStateClient], AsyncIterator[Offer]]) -> list[Offer]:
    """What the server says that these options reach; nothing if that fails, for whatever reason, or takes long."""
    if "server" not in given:
        return []
    import asyncio

    from flowstate_server.cli.reaching import client_of

    found: list[Offer] = []

    async def ask() -> None:
        async with asyncio.timeout(_seconds()), client_of(_options(given)) as client:
            async for offer in work(client):
                found.append(offer)
                if len(found) == _MOST:
                    break

    with redirect_stderr(io.StringIO()):
        try:
            asyncio.run(ask())
        except Exception:
            return found
    return found


def _options(given: dict[str, Any]) -> Any:
    texts = {name: given.get(name) or "" for name in ("server", "user", "org", "tenant", "token")}
    certificates = given.get("tls_ca")
    return SimpleNamespace(
        **texts,
        plane="trusted" if given.get("trusted") else None,
        tls=bool(given.get("tls")),
        tls_ca=Path(certificates) if certificates else None,
    )
