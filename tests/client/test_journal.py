"""Journals, as the client writes and reads them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import BaseModel

from flowstate_client import FlowStateClient, JournalEntry, JournalNote
from tests.client.fakes import FakeServer
from tests.client.test_repeats import UNAVAILABLE, failing


class Bill(BaseModel):
    amount: int


async def test_append(server: FakeServer, client: FlowStateClient) -> None:
    entry = await client.journal.append(
        "s", "paid", source="billing", tags=["a"], data=Bill(amount=3), request_id="r1"
    )
    first = datetime.fromtimestamp(1, UTC)
    assert entry == JournalEntry("note_0", "paid", "billing", ("a",), {"amount": 3}, "r1", first)
    bare, null = await client.journal.append_all("s", [JournalNote("a"), JournalNote("b", data=[None])])
    assert (bare.data, bare.tags, bare.source, bare.request_id) == (None, (), "", "")
    assert null.data == [None]
    assert not server.journal.entries[1].HasField("data")
    keys = [request.idempotency_key for request in server.journal.seen]
    assert len(set(keys)) == 2
    assert all(key.startswith("idem_") for key in keys)


async def test_what_is_no_json_is_refused_before_anything_is_sent(
    server: FakeServer, client: FlowStateClient
) -> None:
    with pytest.raises(ValueError, match="/a"):
        await client.journal.append("s", "text", data={"a": float("nan")})
    assert server.journal.seen == []


async def test_an_append_whose_answer_is_lost_is_repeated_with_its_key(
    server: FakeServer, client: FlowStateClient
) -> None:
    server.journal.after = failing(1, *UNAVAILABLE)
    notes = [JournalNote("a", "source", ("t",), {"n": 1}, "r"), JournalNote("b")]
    told = await client.journal.append_all("s", notes)
    assert server.journal.seen[0] == server.journal.seen[1]
    assert told == [
        JournalEntry("note_0", "a", "source", ("t",), {"n": 1}, "r", None),
        JournalEntry("note_1", "b", "", (), None, "", None),
    ]
    assert len(server.journal.entries) == 2


async def test_list(server: FakeServer, client: FlowStateClient) -> None:
    await client.journal.append_all("s", [JournalNote(str(number)) for number in range(5)])
    pager = client.journal.list("s", page_size=2)
    assert [entry.text async for entry in pager] == ["0", "1", "2", "3", "4"]
    newest = await client.journal.list("s", newest_first=True, page_size=2).first()
    assert newest is not None
    assert newest.text == "4"
    assert [entry.text async for entry in client.journal.list("s", page_size=2, page_token="4")] == ["4"]
    assert {request.session_id for request in server.journal.seen} == {"s"}
