"""A session as people and programs get it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from flowstate_client import Session
from flowstate_server.cli.tables import Column, show_record
from flowstate_server.cli.telling import on_terminal, say_json
from flowstate_server.cli.terminal_text import plain, quoted, short_time

COLUMNS = (
    Column("SESSION"),
    Column("FLOW", "cut"),
    Column("USER", "cut"),
    Column("ORG", "cut"),
    Column("ACTIVE"),
    Column("TITLE", "cut"),
)


def row(session: Session) -> tuple[str, ...]:
    """The session in a table."""
    return (
        plain(session.id),
        plain(session.flow_kind),
        plain(session.user_id),
        plain(session.org_id),
        short_time(session.last_activity_time),
        plain(session.title),
    )


def told(session: Session) -> dict[str, Any]:
    """The session as JSON has it: its id by the name that it has everywhere else."""
    values = {one.name: getattr(session, one.name) for one in fields(session)}
    return {"session_id": values.pop("id"), **values}


def show(session: Session) -> None:
    """Tell all of it."""
    if not on_terminal():
        say_json(told(session))
        return
    created = getattr(session, "created", None)
    show_record(
        [
            ("session", plain(session.id)),
            ("flow", plain(session.flow_kind)),
            ("user", plain(session.user_id)),
            ("org", plain(session.org_id)),
            ("title", plain(session.title)),
            ("description", plain(session.description)),
            ("tags", ", ".join(map(plain, session.tags))),
            ("metadata", quoted(dict(session.metadata)) if session.metadata else ""),
            ("ephemeral", "yes" if session.ephemeral else ""),
            ("version", str(session.version)),
            ("created", f"{short_time(session.create_time)}{_by(created)}"),
            ("updated", short_time(session.update_time)),
            ("active", short_time(session.last_activity_time)),
        ]
    )


def _by(created: bool | None) -> str:
    return {None: "", True: ", by this command", False: ", before this command"}[created]
