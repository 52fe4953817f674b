"""A flow of two generations: ``theme`` became ``colour``, and the numbers of ``marks`` the texts of ``notes``."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from flowstate_client import FlowStateClient
from flowstate_server.errors import ScopeUnavailableError
from flowstate_server.flows import (
    ClientView,
    Context,
    Flow,
    Session,
    User,
    action,
    define_flow,
    handler,
)

Fields = dict[str, Any]


class Old(BaseModel):
    theme: int = 0
    marks: dict[str, int] = {}
    count: int = 0


class New(BaseModel):
    colour: str = "none"
    notes: dict[str, str] = {}
    count: int = 0


def upgrade(fields: Fields) -> Fields:
    if "theme" in fields:
        fields.setdefault("colour", str(fields.pop("theme")))
    if "marks" in fields:
        marks = {key: str(value) for key, value in fields.pop("marks").items()}
        fields["notes"] = {**marks, **fields.get("notes", {})}
    return fields


@handler(session_state=Old, user_state=Old)
async def mark(key: str, ctx: Context[Old, Old]) -> bool:
    return await _written(ctx, "marks", key, 1)


@handler(session_state=New, user_state=New)
async def note(key: str, ctx: Context[New, New]) -> bool:
    return await _written(ctx, "notes", key, "1")


@handler
async def bump_copy(_: None, ctx: Context[Any]) -> str:
    await ctx.session.atomic_state(lambda now: {"count": now.count + 1})
    return str(ctx.session.state.colour)


async def _written(ctx: Context[Any, Any], field: str, key: str, value: object) -> bool:
    """Whether the write was acknowledged, or the record is of a newer deploy."""
    try:
        await ctx.session.set_state_record(field, key, value)
    except ScopeUnavailableError as refused:
        if "newer deploy" in str(refused):
            return False
        raise
    return True


def chat(generation: int, **parts: Any) -> Flow:
    if generation == 1:
        view = ClientView(expose=["theme", "marks", "count"])
        given: Fields = {"session": Session(state=Old, client=view), "user": User(state=Old)}
        given["actions"] = {"mark": action(block=mark)}
        return define_flow("chat", **{**given, **parts})
    view = ClientView(expose=["colour", "notes", "count"], derived={"all": lambda v: len(v.state.notes)})
    given = {
        "session": Session(state=New, client=view, generation=generation, upgrade=upgrade),
        "user": User(state=New, generation=generation, upgrade=upgrade),
    }
    given["actions"] = {"mark": action(block=note), "bump": action(block=bump_copy)}
    return define_flow("chat", **{**given, **parts})


async def fill(client: FlowStateClient) -> str:
    """A session of the first generation, and a user."""
    session = (await client.sessions.create("chat")).id
    await client.state.session(session).patch_state(theme=7, marks={"a": 1}, count=1)
    await client.state.user("ada", flow_kind="chat").patch_state(theme=8)
    return session
