"""What the type checker has to accept of what the client reads as a type. Checked, never run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypedDict, assert_type

from pydantic import BaseModel

from flowstate_client import FlowStateClient, RunHandle, Snapshot, StateRecord


class Answer(BaseModel):
    text: str


class LongAnswer(Answer):
    pages: int = 1


class Told(TypedDict):
    text: str


async def reads_results(run: RunHandle, anything: Any, one_of: type[int] | type[str]) -> object:
    assert_type(await run.result(int), int)
    assert_type(await run.result(Told), Told)
    assert_type(await run.result(list[Answer], timeout=1.0), list[Answer])
    assert_type(await run.result(one_of), int | str)
    assert_type(await run.result(), Any)
    assert_type(await run.result(anything), Any)
    number: int | None = await run.result(int)
    wider: Answer = await run.result(LongAnswer)
    several: Sequence[Answer] = await run.result(list[LongAnswer])
    loose: list[Any] = await run.result(list[int])
    # What is no class is typed, too.
    assert_type(await run.result(Answer | None), Answer | None)
    assert_type(await run.result(Literal["yes", "no"]), Literal["yes", "no"])
    assert_type(await run.result(Annotated[str, "a note"]), str)
    perhaps: int | str | None = await run.result(int | None)
    return number, wider, several, loose, perhaps


async def reads_more(client: FlowStateClient) -> None:
    assert_type(await client.flows.call("chat", "say", output=Answer), Answer)
    assert_type(await client.flows.call("chat", "say", output=Answer | None), Answer | None)
    assert_type(await client.flows.call("chat", "say", {"a": 1}), Any)
    assert_type(await client.sessions.snapshot("s", model=Answer), Snapshot[Answer])
    assert_type(await client.sessions.snapshot("s"), Snapshot[Any])
    assert_type(await client.sessions.snapshot("s", model=dict[str, int]), Snapshot[dict[str, int]])
    assert_type(await client.state.user("ada").get(model=Answer | None), StateRecord[Answer | None])
    assert_type(await client.state.user("ada").get(model=Answer), StateRecord[Answer])
    async for view in client.sessions.watch("s", model=Answer):
        assert_type(view, Snapshot[Answer])
    async for _, seen in client.flows.handle("r").events().with_view(Answer):
        assert_type(seen, Snapshot[Answer])
