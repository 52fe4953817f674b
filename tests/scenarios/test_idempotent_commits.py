"""Repeats of a commit with its idempotency key: written once, answered as the first time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from flowstate.v1 import session_service_pb2 as sessions
from flowstate.v1.events_pb2 import Item
from flowstate.v1.journal_service_pb2 import AppendJournalRequest, JournalEntry
from flowstate.v1.types_pb2 import Value
from flowstate_client import FlowStateClient
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import Reason
from flowstate_server.model.clock import Seconds
from flowstate_server.model.json_values import encode_json
from flowstate_server.testing.fixtures import StartServer
from flowstate_server.testing.server import RunningServer
from tests.support.fleets import Pair
from tests.support.flows import app
from tests.support.raw_calls import TRUSTED, Stubs, increment, org, outcome, session, stubs_of, user
from tests.support.wire import refused


@pytest.fixture
async def stubs(server: RunningServer) -> AsyncIterator[Stubs]:
    async with stubs_of(server.target) as opened:
        yield opened


async def test_a_repeat_is_answered_as_the_first_time(stubs: Stubs, backend: FlowStateClient) -> None:
    made = await backend.sessions.create("ledger", user_id="ada")
    await backend.state.user("ada", flow_kind="ledger").inc_state(count=1)
    batch = [increment(session(made.id)), increment(user("ada"), 0), increment(org("acme"))]
    first = await stubs.commit(*batch, key="k")
    assert not first.replayed
    assert outcome(first) == [(1, True), (1, False), (1, True)]
    await backend.state.session(made.id).inc_state(count=10)

    again = await stubs.commit(*batch, key="k")
    assert again.replayed
    assert outcome(again) == outcome(first)
    assert not any(record.HasField("state") for record in again.records)
    record = await backend.state.session(made.id).get()
    assert (record.state["count"], record.version) == (11, 2)


async def test_another_payload_under_the_same_key_is_refused(stubs: Stubs, backend: FlowStateClient) -> None:
    made = await backend.sessions.create("ledger", user_id="ada")
    await stubs.commit(increment(session(made.id)), key="k")
    others = [
        [increment(session(made.id), 2)],
        [increment(session(made.id), at=1)],
        [increment(session(made.id)), increment(user("ada"))],
        [increment(user("ada"))],
    ]
    for other in others:
        refusal = await refused(stubs.commit(*other, key="k"))
        assert refusal.reason is Reason.IDEMPOTENCY_KEY_REUSED
    assert (await backend.state.session(made.id).get()).version == 1
    assert not (await backend.state.user("ada", flow_kind="ledger").get()).exists


async def test_concurrent_repeats_write_once(pair: Pair) -> None:
    async with stubs_of(pair.server_0.target) as one, stubs_of(pair.server_1.target) as two:
        answers = await asyncio.gather(
            *(
                (one, two)[n % 2].commit(increment(user("ada")), increment(org("acme")), key="k")
                for n in range(20)
            )
        )
    assert [outcome(answer) for answer in answers] == [[(1, True), (1, True)]] * 20
    assert sum(not answer.replayed for answer in answers) == 1
    assert (await pair.backend_1.state.user("ada", flow_kind="ledger").get()).state["count"] == 1


async def test_a_refused_call_is_not_remembered(stubs: Stubs, backend: FlowStateClient) -> None:
    batch = [increment(user("ada"), at=1), increment(org("acme"))]
    refusal = await refused(stubs.commit(*batch, key="k"))
    assert refusal.reason is Reason.VERSION_MISMATCH
    await backend.state.user("ada", flow_kind="ledger").inc_state(count=1)
    done = await stubs.commit(*batch, key="k")
    assert (done.replayed, outcome(done)) == (False, [(2, True), (1, True)])
    again = await stubs.commit(*batch, key="k")
    assert (again.replayed, outcome(again)) == (True, [(2, True), (1, True)])


async def test_keys_of_others_are_apart(stubs: Stubs) -> None:
    """A key counts per tenant and caller."""
    answers = [
        await stubs.commit(increment(user("ada")), key="k", metadata=(*TRUSTED, *caller))
        for caller in (
            (),
            (("x-flowstate-user", "ada"),),
            (("x-tenant-id", "t1"),),
            (("x-tenant-id", "t2"),),
        )
    ]
    assert [answer.replayed for answer in answers] == [False] * 4
    assert [version for answer in answers for version, _ in outcome(answer)] == [1, 2, 3, 4]


async def test_keys_outlive_the_server(start_server: StartServer, durable_url: str) -> None:
    answers: Sequence[object] = []
    for _ in range(2):
        server = await start_server(app, store=durable_url)
        async with stubs_of(server.target) as opened:
            answer = await opened.commit(increment(user("ada")), key="k")
            answers = [*answers, (answer.replayed, *outcome(answer))]
        await server.stop()
    assert answers == [(False, (1, True)), (True, (1, True))]


async def test_a_key_is_forgotten_after_its_window(start_server: StartServer, store_url: str) -> None:
    server = await start_server(
        app, store=store_url, settings=EngineSettings(idempotency_window=Seconds(1e-6))
    )
    async with stubs_of(server.target) as opened:
        await opened.commit(increment(user("ada")), key="k")
        await server.engine.sweeper.sweep()
        again = await opened.commit(increment(user("ada")), key="k")
    assert (again.replayed, outcome(again)) == (False, [(2, True)])


async def test_without_a_key_a_repeat_is_a_new_write(stubs: Stubs) -> None:
    versions = [outcome(await stubs.commit(increment(user("ada")))) for _ in range(2)]
    assert versions == [[(1, True)], [(2, True)]]


async def test_keys_are_forgotten_with_their_session(pair: Pair) -> None:
    """In a session made anew, for whomever, repeats of old calls are written, also by a server that knows the old one;
    while there is none they are refused."""
    text = encode_json({"parts": [{"type": "text", "text": "hello"}]}).decode()
    items = [Item(kind="message", role="user", content=Value(json=text))]
    notes = [JournalEntry(text="noted")]
    titled = sessions.Session(session_id="s", title="titled")
    mask = FieldMask(paths=["title"])

    async def calls(stubs: Stubs) -> list[bool]:
        append = sessions.AppendItemsRequest(session_id="s", items=items, idempotency_key="k")
        note = AppendJournalRequest(session_id="s", entries=notes, idempotency_key="k")
        update = sessions.UpdateSessionRequest(session=titled, update_mask=mask, idempotency_key="k")
        remove = sessions.RemoveItemsRequest(session_id="s", newest=1, idempotency_key="k")
        answers: list[Any] = [
            await stubs.commit(increment(session("s")), key="k"),
            await stubs.sessions.AppendItems(append, metadata=TRUSTED),
            await stubs.journals.AppendJournal(note, metadata=TRUSTED),
            await stubs.sessions.UpdateSession(update, metadata=TRUSTED),
            await stubs.sessions.RemoveItems(remove, metadata=TRUSTED),
        ]
        return [answer.replayed for answer in answers]

    async with stubs_of(pair.server_0.target) as one, stubs_of(pair.server_1.target) as two:
        await pair.backend_0.sessions.create("ledger", session_id="s", user_id="bob")
        assert await calls(one) == [False] * 5
        assert await calls(two) == [True] * 5
        await pair.backend_0.sessions.delete("s")
        assert (await refused(calls(two))).reason is Reason.SESSION_NOT_FOUND
        await pair.backend_0.sessions.create("ledger", session_id="s", user_id="ada")
        assert await calls(two) == [False] * 5
        assert await calls(one) == [True] * 5
    backend = pair.backend_1
    made = await backend.sessions.get("s")
    assert (made.user_id, made.title) == ("ada", "titled")
    record = await backend.state.session("s").get()
    assert (record.state["count"], len([note async for note in backend.journal.list("s")])) == (1, 1)
