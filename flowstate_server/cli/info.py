"""``flowstate info``: what answers at the other end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import fields

from flowstate_client import FlowStateClient, ServerInfo
from flowstate_server.cli.callers import OfNobody
from flowstate_server.cli.option_groups import with_option_groups
from flowstate_server.cli.tables import show_record
from flowstate_server.cli.telling import on_terminal, say_json
from flowstate_server.cli.terminal_text import plain

# By name, since 15.0 alone does not tell that it is a time.
_SECONDS = frozenset(
    (
        "heartbeat_interval",
        "max_wait",
        "idempotency_window",
        "event_retention",
        "default_deadline",
        "transient_retention",
    )
)


@with_option_groups
def info(*, connection: OfNobody) -> None:
    """Show the server's version, its limits, and what it serves."""

    async def work(client: FlowStateClient) -> None:
        told = await client.server.info()
        if on_terminal():
            show_record(_facts(client.target, told))
        else:
            say_json(told)

    connection.run(work)


def _facts(target: str, told: ServerInfo) -> Iterator[tuple[str, str]]:
    yield "server", plain(target)
    yield "version", plain(told.version)
    yield "instance", plain(told.instance_id)
    yield " ", " "
    yield "limits", " "
    for field in fields(told.limits):
        yield f"  {field.name}", _amount(field.name, getattr(told.limits, field.name))
    yield " ", " "
    yield "serves", " "
    yield from _grouped(told.capabilities, "/")
    yield " ", " "
    yield "and fields", " "
    yield from _grouped(told.capabilities, ".")


def _grouped(capabilities: Iterable[str], separator: str) -> Iterator[tuple[str, str]]:
    """Those with that separator, by what is left of it."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(capabilities):
        owner, _, member = name.partition(separator)
        if member:
            found[owner].append(member)
    for owner, members in found.items():
        yield f"  {plain(owner)}", plain(", ".join(members))


def _amount(name: str, value: float) -> str:
    if not value:
        return "no limit"
    if name in _SECONDS:
        hours = value / 3600
        return f"{hours:g} h" if hours >= 1 else f"{value:g} s"
    if name.endswith("_bytes"):
        for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
            if value >= size:
                return f"{value / size:g} {unit}"
        return f"{value:g} bytes"
    return f"{value:,}"
