"""A flow that keeps a journal, and what users do with it, for whatever store a server has."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel

from flowstate_client import FlowStateClient, JournalEntry, JournalNote
from flowstate_server.flows import Context, action, define_flow, handler
from flowstate_server.testing.server import RunningServer


class Noting(BaseModel):
    text: str
    tags: list[str] = []
    data: Any = None


@handler
async def note(noting: Noting, ctx: Context) -> str:
    entry = await ctx.session.append_journal(noting.text, source="block", tags=noting.tags, data=noting.data)
    assert (entry.text, entry.request_id) == (noting.text, ctx.request_id)
    return entry.id


@handler
def note_in_thread(noting: Noting, ctx: Context) -> str:
    return ctx.run(ctx.session.append_journal(noting.text)).id


@handler
async def recall(limit: int | None, ctx: Context) -> list[dict[str, Any]]:
    """The newest notes, as the block sees them."""
    entries = await (ctx.session.get_journal() if limit is None else ctx.session.get_journal(limit))
    return [
        {
            "id": entry.id,
            "text": entry.text,
            "source": entry.source,
            "tags": list(entry.tags),
            "data": entry.data,
            "request_id": entry.request_id,
            "time": entry.create_time.isoformat(),
        }
        for entry in entries
    ]


diary = define_flow(
    "diary",
    actions={
        "note": action(block=note),
        "note_in_thread": action(block=note_in_thread),
        "recall": action(block=recall),
    },
)


async def journal_of(client: FlowStateClient, session_id: str, **listing: Any) -> list[JournalEntry]:
    return [entry async for entry in client.journal.list(session_id, **listing)]


async def block_and_client_see_the_same(server: RunningServer) -> None:
    async with server.connect(plane="trusted", user="ada") as client:
        session = (await client.sessions.create("diary")).id

        async def call(action: str, value: Any) -> Any:
            return await client.flows.call("diary", action, value, session_id=session)

        assert await call("recall", None) == []
        first = await call("note", {"text": "one\nü", "tags": ["a", "ü"], "data": {"n": [1, 1.0, None]}})
        second = await client.journal.append(
            session, "two", source="billing", tags=["b"], data=[{"b": 1, "a": 2}], request_id="r"
        )
        third = await call("note_in_thread", {"text": "three"})
        more = await client.journal.append_all(session, [JournalNote(str(number)) for number in range(12)])
        entries = await journal_of(client, session)
        recalled = await call("recall", 100)
        newest = [entry["text"] for entry in await call("recall", None)]
        assert await call("recall", 0) == []
    assert [entry.id for entry in entries] == [first, second.id, third, *(entry.id for entry in more)]
    assert entries[1] == second
    assert entries[3:] == more
    assert (entries[0].text, entries[0].source, entries[0].tags) == ("one\nü", "block", ("a", "ü"))
    assert repr(entries[0].data) == repr({"n": [1, 1.0, None]})
    assert (second.request_id, second.data) == ("r", [{"b": 1, "a": 2}])
    assert recalled == [
        {
            "id": entry.id,
            "text": entry.text,
            "source": entry.source,
            "tags": list(entry.tags),
            "data": entry.data,
            "request_id": entry.request_id,
            "time": entry.create_time and entry.create_time.isoformat(),
        }
        for entry in entries
    ]
    assert newest == [str(number) for number in range(2, 12)]
    times = [entry.create_time for entry in entries if entry.create_time is not None]
    assert len(times) == 15
    assert times == sorted(times)


async def pages_stay_right_while_others_append(server: RunningServer) -> None:
    """Both ways, with blocks and clients appending all the while: nothing twice, nothing left out, one order."""
    async with server.connect(plane="trusted", user="ada") as client:
        session = (await client.sessions.create("diary")).id
        await client.journal.append_all(session, [JournalNote(f"before {number}") for number in range(40)])
        over = asyncio.Event()

        async def write(writer: int) -> int:
            count = 0
            while not over.is_set():
                text = f"{writer} {count}"
                if writer % 2:
                    await client.journal.append(session, text)
                else:
                    await client.flows.call("diary", "note", {"text": text}, session_id=session)
                count += 1
            return count

        writers = [asyncio.create_task(write(number)) for number in range(4)]
        downs = [await journal_of(client, session, newest_first=True, page_size=7) for _ in range(4)]
        seen: list[JournalEntry] = []
        counts: list[int] = []
        async for entry in client.journal.list(session, page_size=7):
            seen.append(entry)
            if len(seen) == 30:  # ahead of the last page: a list ends where the journal did at the time
                over.set()
                counts = await asyncio.gather(*writers)
        whole = await journal_of(client, session, page_size=500)
    assert seen == whole
    assert len(whole) == 40 + sum(counts)
    assert min(counts) > 0
    for down in downs:
        assert down[::-1] == whole[: len(down)]
        assert len(down) >= 40
    for writer, count in enumerate(counts):
        own = [entry.text for entry in whole if entry.text.startswith(f"{writer} ")]
        assert own == [f"{writer} {number}" for number in range(count)]
