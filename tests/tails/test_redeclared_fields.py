"""What a log of before a deploy tells clients of fields that are declared in another way since."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, Field, create_model

from flowstate_client import FlowStateClient, StateChange
from flowstate_server.flows import ClientView, Context, Flow, Session, action, define_flow, handler
from flowstate_server.testing.server import running_server

CANARY = "c4nary"


class Note(BaseModel):
    text: str = ""


class Secret(BaseModel):
    text: str = ""
    hidden: str = ""


def same(text: str) -> str:
    return text


# The type of before, what is written, and the type of after.
REDECLARED: dict[str, tuple[Any, Any, Any]] = {
    "text to number": (str, CANARY, int),
    "text to date": (str, CANARY, datetime),
    "text to some texts": (str, CANARY, Literal["", "a"]),
    "text to shorter text": (str, CANARY, Annotated[str, Field(max_length=3)]),
    "text to checked text": (str, CANARY, Annotated[str, AfterValidator(same)]),
    "optional to required": (str | None, CANARY, str),
    "list of other elements": (list[str], [CANARY], list[int]),
    "list to set": (list[str], [CANARY], set[str]),
    "map of other values": (dict[str, str], {"a": CANARY}, dict[str, Note]),
    "map of other keys": (dict[str, int], {CANARY: 1}, dict[int, int]),
    "model with fewer fields": (Secret, {"text": "a", "hidden": CANARY}, Note),
    "model with more fields": (Note, {"text": CANARY}, Secret),
    "map of models with fewer fields": (
        dict[str, Secret],
        {"a": {"text": "a", "hidden": CANARY}},
        dict[str, Note],
    ),
    "anything to a model": (Any, {"hidden": CANARY}, Note),
}


async def rewrite(session: Any, value: Any) -> None:
    await session.patch_state({"field": value, "kept": 1})
    for key, member in value.items() if isinstance(value, dict) else ():
        await session.delete_state_record("field", key)
        await session.set_state_record("field", key, member)
    await session.unset_state("field")


def flow(field: Any, *, expose: tuple[str, ...] = ("field", "kept")) -> Flow:
    fields: dict[str, Any] = {"kept": (int, 0)}
    if field is not None:
        fields["field"] = (field, ...)
    state: Any = create_model("State", **fields)

    @handler(session_state=state)
    async def write(value: dict[str, Any], ctx: Context) -> None:
        await rewrite(ctx.session, value["field"])

    return define_flow(
        "notes",
        actions={"write": action(block=write)},
        session=Session(client=ClientView(expose=expose)),
        persist_state_changes=True,
    )


async def changes(client: FlowStateClient) -> list[StateChange]:
    events = client.flows.handle("r").events()
    return [event async for event in events if isinstance(event, StateChange)]


async def told_after(store: str, after: Flow, *, plane: str = "client") -> list[StateChange]:
    async with (
        running_server(after, store=store) as server,
        server.connect(user="ada", plane=plane) as client,
    ):
        return await changes(client)


@pytest.mark.parametrize("case", REDECLARED)
async def test_changes_of_a_field_that_is_declared_otherwise_since_are_stale(
    case: str, tmp_path: Path
) -> None:
    before, value, after = REDECLARED[case]
    store = f"sqlite:///{tmp_path / 'flowstate.db'}"
    async with running_server(flow(before), store=store) as server, server.connect(user="ada") as client:
        await client.flows.call("notes", "write", {"field": value}, session_id="s", request_id="r")
        as_written = await changes(client)
        assert as_written[0].changed == {"/field": value, "/kept": 1}
        assert all(not change.stale for change in as_written)
    told = await told_after(store, flow(after))
    assert CANARY not in repr(told)
    assert told[0].changed == {"/kept": 1}
    assert [change.stale for change in told] == [("field",)] * len(as_written)
    assert [change.version for change in told] == [change.version for change in as_written]
    assert await told_after(store, flow(before)) == as_written
    trusted = await told_after(store, flow(after), plane="trusted")
    assert [(change.changed, change.removed) for change in trusted] == [
        (change.changed, change.removed) for change in as_written
    ]


async def test_changes_of_a_field_that_is_removed_or_no_longer_shown_are_not_told(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'flowstate.db'}"
    async with running_server(flow(str), store=store) as server, server.connect(user="ada") as client:
        await client.flows.call("notes", "write", {"field": CANARY}, session_id="s", request_id="r")
    for after in (flow(None, expose=("kept",)), flow(str, expose=("kept",))):
        (told,) = await told_after(store, after)
        assert (told.changed, told.stale) == ({"/kept": 1}, ())
