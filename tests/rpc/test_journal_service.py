from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import grpc
import pytest

from flowstate.v1 import journal_service_pb2 as pb, session_service_pb2 as sessions
from flowstate.v1.types_pb2 import Value
from flowstate_server.errors import Reason
from tests.support.served import Served, served
from tests.support.wire import TRUSTED, refused

MIB = 1024 * 1024
Metadata = tuple[tuple[str, str], ...]


def entry(text: str = "noted", **fields: Any) -> pb.JournalEntry:
    return pb.JournalEntry(text=text, **fields)


async def _session(server: Served, session_id: str = "s1", metadata: Metadata = ()) -> None:
    session = sessions.Session(flow_kind="talk", user_id="u1", session_id=session_id)
    await server.sessions.CreateSession(sessions.CreateSessionRequest(session=session), metadata=metadata)


async def _append(
    server: Served,
    *entries: pb.JournalEntry,
    key: str = "",
    session_id: str = "s1",
    metadata: Metadata = TRUSTED,
) -> pb.AppendJournalResponse:
    request = pb.AppendJournalRequest(session_id=session_id, entries=entries, idempotency_key=key)
    return await server.journals.AppendJournal(request, metadata=metadata)


async def _list(
    server: Served, *, session_id: str = "s1", metadata: Metadata = TRUSTED, **fields: Any
) -> pb.ListJournalResponse:
    request = pb.ListJournalRequest(session_id=session_id, **fields)
    return await server.journals.ListJournal(request, metadata=metadata)


async def _pages(server: Served, **fields: Any) -> list[list[str]]:
    """The texts of the journal, page by page."""
    pages: list[list[str]] = []
    token = ""
    while True:
        page = await _list(server, page_token=token, **fields)
        pages.append([one.text for one in page.entries])
        token = page.next_page_token
        if not token:
            return pages


async def test_what_is_appended_is_listed() -> None:
    async with served() as server:
        await _session(server)
        whole = entry(
            "line\nbreak, ü",
            source="söurce",
            tags=["a", "b c"],
            data=Value(json=' {"b": 1.0,\n "a": "\\u0000"} '),
            request_id="r1",
            entry_id="ignored",
        )
        answer = await _append(server, whole, entry("", data=Value(json="null")), entry(data=Value()))
        listed = await _list(server)
        await _session(server, "s2")
        empty = await _list(server, session_id="s2")
    assert not answer.replayed
    assert list(answer.entries) == list(listed.entries)
    first, second, third = listed.entries
    assert re.fullmatch(r"note_[0-9a-z]{26}", first.entry_id)
    assert len({one.entry_id for one in listed.entries}) == 3
    assert first.create_time.seconds > 1_700_000_000
    assert (first.text, first.source, list(first.tags)) == ("line\nbreak, ü", "söurce", ["a", "b c"])
    assert (first.data.json, first.request_id) == ('{"b":1.0,"a":"\\u0000"}', "r1")
    assert (second.text, second.data.json) == ("", "null")
    assert not third.HasField("data")
    assert (list(empty.entries), empty.next_page_token) == ([], "")


@pytest.mark.parametrize(
    ("entries", "path"),
    [
        ([], "entries"),
        ([entry()] * 101, "entries"),
        ([entry(), entry("a\x00b")], "entries[1].text"),
        ([entry(source="a\nb")], "entries[0].source"),
        ([entry(source="x" * 129)], "entries[0].source"),
        ([entry(tags=["a", ""])], "entries[0].tags[1]"),
        ([entry(tags=["a", "b\x7f"])], "entries[0].tags[1]"),
        ([entry(tags=["x" * 129])], "entries[0].tags[0]"),
        ([entry(tags=["x"] * 65)], "entries[0].tags"),
        ([entry(request_id="a\n")], "entries[0].request_id"),
        ([entry(), entry(data=Value(json="{"))], "entries[1].data"),
        ([entry(data=Value(json='{"a": [1e999]}'))], "entries[0].data/a/0"),
        ([entry(data=Value(json="[" * 65 + "]" * 65))], "entries[0].data" + "/0" * 64),
    ],
)
async def test_entries_that_are_refused_are_named(entries: Sequence[pb.JournalEntry], path: str) -> None:
    async with served() as server:
        await _session(server)
        refusal = await refused(_append(server, *entries))
        assert refusal.fields == [path]
        assert not (await _list(server)).entries


async def test_ids_that_are_refused() -> None:
    async with served() as server:
        await _session(server)
        for call, field in (
            (_append(server, entry(), session_id=""), "session_id"),
            (_append(server, entry(), session_id="a\n"), "session_id"),
            (_append(server, entry(), key="k" * 129), "idempotency_key"),
            (_list(server, session_id=""), "session_id"),
            (_list(server, page_size=-1), "page_size"),
        ):
            assert (await refused(call)).fields == [field]


async def test_sizes() -> None:
    """Text and data share the limit of an item, and what an answer has no room for is refused."""
    async with served() as server:
        await _session(server)
        data = Value(json='"' + "x" * (MIB // 2 - 2) + '"')
        full = entry("ü" * (MIB // 4), data=data)
        over = entry("ü" * (MIB // 4) + "x", data=data)
        refusal = await refused(_append(server, entry(), over))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            Reason.MESSAGE_TOO_LARGE,
        )
        assert refusal.message == f"The note entries[1] has {MIB + 1} bytes; the limit is {MIB}."
        many = [entry("x" * (MIB // 4))] * 15
        assert (await refused(_append(server, *many))).reason is Reason.MESSAGE_TOO_LARGE
        assert not (await _list(server)).entries
        assert len((await _append(server, full, full, full)).entries) == 3
        assert [len(page) for page in await _pages(server)] == [1, 1, 1]
        assert [len(page) for page in await _pages(server, newest_first=True)] == [1, 1, 1]


async def test_text_that_json_makes_longer_is_still_listed() -> None:
    async with served() as server:
        await _session(server)
        text = "\x01" * MIB
        await _append(server, entry(text), entry("after"))
        assert await _pages(server) == [[text], ["after"]]


async def test_a_repeat_tells_the_first_ids() -> None:
    async with served() as server:
        await _session(server)
        first = await _append(server, entry("a"), entry("b"), key="k")
        again = await _append(server, entry("a"), entry("b"), key="k")
        other = await refused(_append(server, entry("a"), key="k"))
        await _append(server, entry("a"))
        await _append(server, entry("a"))
        listed = await _list(server)
    assert (first.replayed, again.replayed) == (False, True)
    assert list(again.entries) == [pb.JournalEntry(entry_id=one.entry_id) for one in first.entries]
    assert other.reason is Reason.IDEMPOTENCY_KEY_REUSED
    assert [one.text for one in listed.entries] == ["a", "b", "a", "a"]


async def test_pages_from_either_end_while_others_append() -> None:
    async with served() as server:
        await _session(server)
        texts = [str(number) for number in range(7)]
        for text in texts:
            await _append(server, entry(text))
        assert await _pages(server, page_size=3) == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
        assert await _pages(server, page_size=7) == [texts]
        assert await _pages(server, page_size=7, newest_first=True) == [texts[::-1]]
        up = await _list(server, page_size=6)
        down = await _list(server, page_size=6, newest_first=True)
        await _append(server, entry("7"))
        assert await _pages_behind(server, up, page_size=6) == ["6", "7"]
        assert await _pages_behind(server, down, page_size=6, newest_first=True) == ["0"]
        assert await _pages(server, page_size=501) == [[*texts, "7"]]


async def _pages_behind(server: Served, page: pb.ListJournalResponse, **fields: Any) -> list[str]:
    behind = await _list(server, page_token=page.next_page_token, **fields)
    assert not behind.next_page_token
    return [one.text for one in behind.entries]


async def test_a_page_has_at_most_500_entries() -> None:
    async with served() as server:
        await _session(server)
        for _ in range(6):
            await _append(server, *[entry()] * 100)
        assert [len(page) for page in await _pages(server, page_size=100_000)] == [500, 100]
        assert [len(page) for page in await _pages(server)] == [50] * 12


async def test_a_token_is_good_for_its_own_list_only() -> None:
    async with served() as server:
        elsewhere = (*TRUSTED, ("x-tenant-id", "b"))
        for metadata in ((), elsewhere[-1:]):
            for session_id in ("s1", "s2"):
                await _session(server, session_id, metadata)
                await _append(
                    server, entry("1"), entry("2"), session_id=session_id, metadata=(*TRUSTED, *metadata)
                )
        token = (await _list(server, page_size=1)).next_page_token
        assert [one.text for one in (await _list(server, page_token=token)).entries] == ["2"]
        edited = token[:-1] + ("A" if token[-1] != "A" else "B")
        for call in (
            _list(server, page_token=token, newest_first=True),
            _list(server, page_token=token, session_id="s2"),
            _list(server, page_token=token, metadata=elsewhere),
            _list(server, page_token=edited),
            _list(server, page_token="x"),
        ):
            refusal = await refused(call)
            assert (refusal.reason, refusal.fields) == (Reason.PAGE_TOKEN_INVALID, ["page_token"])


@pytest.mark.parametrize(
    ("caller", "reason"),
    [
        ((), Reason.ACCESS_DENIED),
        ((*TRUSTED, ("x-tenant-id", "b")), Reason.SESSION_NOT_FOUND),
        ((*TRUSTED, ("x-flowstate-user", "u2")), Reason.SESSION_NOT_FOUND),
        ((*TRUSTED, ("x-flowstate-org", "o2")), Reason.SESSION_NOT_FOUND),
    ],
)
async def test_who_may_not(caller: Metadata, reason: Reason) -> None:
    async with served() as server:
        await _session(server)
        await _append(server, entry())
        for call in (_append(server, entry(), metadata=caller), _list(server, metadata=caller)):
            assert (await refused(call)).reason is reason
        assert len((await _list(server)).entries) == 1


async def test_a_session_that_never_was() -> None:
    async with served() as server:
        for call in (_append(server, entry(), session_id="s9"), _list(server, session_id="s9")):
            refusal = await refused(call)
            assert (refusal.reason, refusal.metadata) == (Reason.SESSION_NOT_FOUND, {"session_id": "s9"})
