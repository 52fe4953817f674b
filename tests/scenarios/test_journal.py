"""Journals: blocks and services write one list, which is read from both ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowstate_client import (
    ActionFailed,
    IdempotencyKeyReused,
    JournalNote,
    PermissionDenied,
    SessionNotFound,
    ValidationFailed,
)
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import MessageTooLargeError, ValidationFailedError
from flowstate_server.flows import ActionError, Audience, Context
from flowstate_server.model.events import EventType
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import RequestKey
from flowstate_server.testing import FlowTester, run_flow
from flowstate_server.testing.fixtures import StartServer
from flowstate_server.testing.server import RunningServer
from tests.support.fleets import clients_of
from tests.support.hosted import play
from tests.support.journals import (
    block_and_client_see_the_same,
    diary,
    journal_of,
    pages_stay_right_while_others_append,
)


async def test_block_and_client_see_the_same(start_server: StartServer, store_url: str) -> None:
    await block_and_client_see_the_same(await start_server(diary, store=store_url))


async def test_pages_stay_right_while_others_append(start_server: StartServer, store_url: str) -> None:
    await pages_stay_right_while_others_append(await start_server(diary, store=store_url))


async def test_two_servers_write_one_journal(start_server: StartServer, shared_url: str) -> None:
    servers = [await start_server(diary, store=shared_url) for _ in range(2)]
    async with clients_of([server.target for server in servers], each=2) as clients:
        session = (await clients[0].sessions.create("diary", user_id="ada")).id
        appended = await asyncio.gather(
            *(
                client.journal.append_all(session, [JournalNote(f"{number}"), JournalNote(f"{number}")])
                for number in range(5)
                for client in clients
            )
        )
        lists = [await journal_of(client, session, page_size=6) for client in clients]
    assert all(entries == lists[0] for entries in lists)
    ids = [entry.id for entry in lists[0]]
    assert sorted(ids) == sorted(entry.id for pair in appended for entry in pair)
    for one, other in appended:
        assert ids.index(one.id) + 1 == ids.index(other.id)


async def test_a_repeat_is_one_also_after_a_restart(start_server: StartServer, durable_url: str) -> None:
    notes = [JournalNote("a", data={"n": 1}), JournalNote("b", tags=["t"])]
    told: list[Any] = []
    entries: list[Any] = []
    for number in range(2):
        server = await start_server(diary, store=durable_url)
        async with server.connect(plane="trusted", user="ada") as client:
            if not number:
                await client.sessions.create("diary", session_id="s")
            told.append(await client.journal.append_all("s", notes, idempotency_key="job"))
            with pytest.raises(IdempotencyKeyReused):
                await client.journal.append("s", "c", idempotency_key="job")
            entries = await journal_of(client, "s")
        await server.stop()
    assert entries == told[0]
    assert [entry.create_time for entry in told[1]] == [None, None]
    assert [(entry.id, entry.text, entry.data, entry.tags) for entry in told[1]] == [
        (entry.id, entry.text, entry.data, entry.tags) for entry in entries
    ]


async def test_others_and_clients_are_refused(start_server: StartServer, store_url: str) -> None:
    server = await start_server(diary, store=store_url)
    async with server.connect(user="ada") as ada, server.connect(plane="trusted", user="eve") as eve:
        session = (await ada.sessions.create("diary")).id
        for client, error in ((ada, PermissionDenied), (eve, SessionNotFound)):
            with pytest.raises(error):
                await client.journal.append(session, "no")
            with pytest.raises(error):
                await journal_of(client, session)
        async with server.connect(plane="trusted") as backend:
            assert await journal_of(backend, session) == []
            with pytest.raises(ValueError, match=r"U\+0000"):
                await backend.journal.append_all(session, [JournalNote("fine"), JournalNote("a\x00")])
            with pytest.raises(ValidationFailed) as refused:
                await backend.journal.append_all(session, [JournalNote("many")] * 101)
            assert [violation.field for violation in refused.value.field_violations] == ["entries"]
            with pytest.raises(ValueError, match="/a"):
                await backend.journal.append(session, "no JSON", data={"a": object()})
            assert await journal_of(backend, session) == []


async def test_a_note_is_behind_what_the_run_emitted_and_outlives_its_failure(
    start_server: StartServer, store_url: str
) -> None:
    seen: list[Any] = []

    async def body(ctx: Context[Any, Any, Any, Any]) -> None:
        await ctx.emit("before")
        await ctx.session.append_journal("noted")
        seen.extend(await _events_of(server, ctx.request_id))
        raise ActionError("NO_WAY", "not today")

    server = await start_server(play(body), store=store_url)
    async with server.connect(plane="trusted", user="ada") as client:
        run = await client.flows.dispatch("play", "play", None, session_id="s")
        with pytest.raises(ActionFailed):
            await run.result()
        entries = await journal_of(client, "s")
    assert EventType.CUSTOM in seen
    assert [(entry.text, entry.source, entry.request_id) for entry in entries] == [
        ("noted", "", run.request_id)
    ]


async def _events_of(server: RunningServer, request_id: str) -> list[EventType]:
    """What is stored of the run's log."""
    key = RequestKey(NO_TENANT, request_id)
    page = await server.engine.store.read_events(key, after=0, limit=100, max_bytes=10**6)
    assert page is not None
    return [record.event.type for record in page.events]


async def test_a_block_is_told_what_is_wrong() -> None:
    wrong: list[Any] = []

    async def body(ctx: Context[Any, Any, Any, Any]) -> None:
        context: Any = ctx
        session: Any = ctx.session
        for call in (
            session.append_journal(1),
            session.append_journal("a\x00"),
            session.append_journal("\ud800"),
            session.append_journal("a", source="a\n"),
            session.append_journal("a", source=1),
            session.append_journal("a", tags=["a", 1]),
            session.append_journal("a", tags=["a", "\x00"]),
            session.append_journal("a", tags="urgent"),
            session.set_metadata(tags="urgent"),
            session.get_journal(-1),
            context.add_item("custom", 1, audiences=Audience.CLIENT),
            context.add_item("custom", 1, audiences=["cleint"]),
        ):
            with pytest.raises(ValidationFailedError) as refused:
                await call
            wrong.append(refused.value.violations[0].path)
        with pytest.raises(Exception, match="/data/a"):
            await session.append_journal("a", data={"a": object()})
        with pytest.raises(MessageTooLargeError, match="The note has 1048577 bytes"):
            await session.append_journal("x" * (1024 * 1024 - 1), data=10)
        await session.append_journal("x" * (1024 * 1024 - 1), data=1)

    run = await run_flow(play(body), "play")
    assert run.failure is None
    assert wrong == [
        *("text", "text", "text", "source", "source", "tags[1]", "tags[1]", "tags", "session.tags", "limit"),
        *("audiences", "audiences"),
    ]
    assert [len(entry.text) for entry in run.journal] == [1024 * 1024 - 1]


async def test_the_newest_are_given_however_large_they_are() -> None:
    async def body(ctx: Context[Any, Any, Any, Any]) -> list[str]:
        for letter in "abcde":
            await ctx.session.append_journal(letter * 600_000)
        return [entry.text[0] for entry in await ctx.session.get_journal(4)]

    run = await run_flow(play(body), "play")
    assert run.output == ["b", "c", "d", "e"]
    assert [entry.text[0] for entry in run.journal] == ["a", "b", "c", "d", "e"]


async def test_a_tester_shows_the_journal_of_the_session() -> None:
    async with FlowTester(diary) as tester:
        await tester.run("note", {"text": "one"}, session_id="s")
        run = await tester.run("note", {"text": "two", "data": [1]}, session_id="s")
        other = await tester.run("recall", None, session_id="s2")
    assert [(entry.text, entry.data) for entry in run.journal] == [("one", None), ("two", [1])]
    assert run.journal[1].request_id == run.request_id
    assert run.journal[1].id == run.output
    assert other.journal == []


async def test_what_a_block_asks_for_is_not_cut_by_pages(start_server: StartServer, store_url: str) -> None:
    settings = EngineSettings(default_page_size=2, max_page_size=3, max_page_bytes=120)
    server = await start_server(diary, store=store_url, settings=settings)
    async with server.connect(plane="trusted", user="ada") as client:
        await client.sessions.create("diary", session_id="s")
        await client.journal.append_all("s", [JournalNote(str(number)) for number in range(7)])
        pages = [
            [entry.text for entry in page.items]
            async for page in client.journal.list("s", page_size=500).pages()
        ]
        recalled = await client.flows.call("diary", "recall", 7, session_id="s")
    assert [text for page in pages for text in page] == [entry["text"] for entry in recalled]
    assert [entry["text"] for entry in recalled] == [str(number) for number in range(7)]
    assert max(map(len, pages)) == 2
