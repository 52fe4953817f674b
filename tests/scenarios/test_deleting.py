"""A deleted session: gone for everybody at once, its runs with it, and made anew as if it had never been."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import BaseModel

from flowstate_client import (
    Event,
    FlowStateClient,
    RequestNotFound,
    RunHandle,
    SessionNotFound,
    VersionMismatch,
)
from flowstate_server.app import store_from_url
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import Reason
from flowstate_server.flows import Context, Session
from flowstate_server.model.clock import Seconds
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.deletion_writes import DeleteSession
from flowstate_server.testing.fixtures import StartServer
from flowstate_server.testing.server import RunningServer
from flowstate_server.testing.waiting import soon, until
from tests.support.every_call import request_calls, session_calls
from tests.support.fleets import Fleet, Pair
from tests.support.flows import app
from tests.support.hosted import hosted, play
from tests.support.raw_calls import Metadata, stubs_of
from tests.support.runs import holding
from tests.support.wire import refused


class Counted(BaseModel):
    count: int = 0


ADA: Metadata = (("x-flowstate-user", "ada"), ("x-flowstate-plane", "trusted"))
SECONDS = 10.0


async def _followed(run: RunHandle) -> tuple[list[Event], bool]:
    """The events of a tail that is open until its end, and whether it has ended since the session was deleted."""
    events = run.events()
    return [event async for event in events], events.deleted


async def test_every_read_and_write_says_that_there_is_no_such_session(
    server: RunningServer, ada: FlowStateClient
) -> None:
    await ada.sessions.create("ledger", session_id="s")
    await ada.flows.call("ledger", "talk", {"text": "hello"}, session_id="s", request_id="ended")
    await holding(ada, session_id="s", request_id="running")
    await ada.sessions.delete("s")
    async with stubs_of(server.target) as stubs:
        for name, call in session_calls(stubs, "s").items():
            assert (await refused(call(ADA))).reason is Reason.SESSION_NOT_FOUND, name
        for request_id in ("ended", "running"):
            for name, call in request_calls(stubs, request_id).items():
                assert (await refused(call(ADA))).reason is Reason.REQUEST_NOT_FOUND, name
    assert [one.id async for one in ada.sessions.list()] == []
    with pytest.raises(SessionNotFound):
        await ada.flows.call("ledger", "bump", {}, session_id="s")


async def test_a_session_made_anew_shows_nothing_of_the_old(
    ada: FlowStateClient, backend: FlowStateClient
) -> None:
    first = await ada.sessions.create("ledger", session_id="s", title="old")
    await ada.flows.call("ledger", "talk", {"text": "hello"}, session_id="s", request_id="ended")
    await backend.journal.append("s", "old")
    await ada.sessions.delete("s", at=first.version)
    second = await ada.sessions.create("ledger", session_id="s")
    assert (second.title, second.version) == ("", first.version + 1)
    for seen in (first, replace(first, version=second.version)):
        with pytest.raises(VersionMismatch):
            await ada.sessions.update("s", title="lost", at=seen)
        with pytest.raises(VersionMismatch):
            await ada.sessions.delete("s", at=seen)
    assert await ada.sessions.get("s") == second
    assert (await ada.sessions.snapshot("s")).client_data["session"]["count"] == 0
    assert await ada.flows.call("ledger", "talk", {"text": "again"}, session_id="s", output=list[str]) == []
    assert [note async for note in backend.journal.list("s")] == []
    for repeat in (
        ada.flows.dispatch("ledger", "talk", {"text": "hello"}, session_id="s", request_id="ended"),
        ada.flows.handle("ended").get(),
    ):
        with pytest.raises(RequestNotFound):
            await repeat


async def test_somebody_else_may_make_the_id_anew(server: RunningServer, ada: FlowStateClient) -> None:
    """What a server remembers of the old owner opens nothing to him, and shuts out nobody."""
    await ada.sessions.create("ledger", session_id="s")
    await ada.flows.call("ledger", "bump", {"by": 7}, session_id="s")
    async with server.connect(user="eve") as eve, server.connect(plane="trusted") as backend:
        await ada.sessions.delete("s")
        await eve.sessions.create("ledger", session_id="s")
        await eve.flows.call("ledger", "bump", {"by": 1}, session_id="s")
        assert (await eve.sessions.snapshot("s")).client_data["session"]["count"] == 1
        for call in (
            ada.flows.call("ledger", "bump", {}, session_id="s"),
            ada.sessions.snapshot("s"),
            ada.sessions.delete("s"),
        ):
            with pytest.raises(SessionNotFound):
                await call
        assert (await backend.state.session("s").get()).state["count"] == 1


async def test_what_one_server_deletes_another_one_has_not_any_more(pair: Pair) -> None:
    """Each server remembers the binding of the session that the other one deletes and makes anew for somebody else."""
    await pair.ada_0.sessions.create("ledger", session_id="s")
    for client in (pair.ada_0, pair.ada_1):
        await client.flows.call("ledger", "bump", {}, session_id="s")
        await client.sessions.snapshot("s")
    await pair.ada_1.sessions.delete("s")
    with pytest.raises(SessionNotFound):
        await pair.ada_0.sessions.snapshot("s")
    with pytest.raises(SessionNotFound):
        await pair.backend_0.state.session("s").get()
    async with pair.server_1.connect(user="eve") as eve_1, pair.server_0.connect(user="eve") as eve_0:
        await eve_1.sessions.create("ledger", session_id="s")
        await eve_0.flows.call("ledger", "bump", {"by": 5}, session_id="s")
        for ada in (pair.ada_0, pair.ada_1):
            with pytest.raises(SessionNotFound):
                await ada.sessions.snapshot("s")
            with pytest.raises(SessionNotFound):
                await ada.flows.call("ledger", "bump", {}, session_id="s")
        assert (await pair.backend_0.state.session("s").get()).state["count"] == 5


async def test_runs_on_any_server_are_cancelled_and_their_tails_end(pair: Pair) -> None:
    """The run of the one server, which writes nothing by itself, ends within a second of the deletion at the other."""
    run = await holding(pair.ada_0, session_id="s", request_id="running")
    tails = [
        asyncio.create_task(_followed(client.flows.handle("running"))) for client in (pair.ada_0, pair.ada_1)
    ]
    await asyncio.sleep(0.1)  # the tails are open: nothing of them can be waited for
    result = asyncio.create_task(run.result())
    await pair.backend_1.sessions.delete("s")
    for tail in tails:
        events, deleted = await soon(tail)
        assert deleted
        assert not any(event.type.startswith("request.aborted") for event in events)
    with pytest.raises(RequestNotFound):
        await soon(result)
    supervisor = pair.server_0.engine.supervisor
    await until(lambda: not supervisor._runs)


async def test_a_run_that_learns_of_it_by_a_write_does_not_fail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The session goes by another handle, of which the run's server learns some milliseconds later."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    elsewhere = store_from_url(url)

    async def deleting(ctx: Context[Counted]) -> None:
        await elsewhere.commit((DeleteSession(SessionKey(NO_TENANT, "s")),))
        await ctx.session.inc_state(count=1)

    flow = play(deleting, session=Session(state=Counted))
    async with hosted(flow, store=store_from_url(url)) as server:
        await elsewhere.open()
        await server.dispatch("r1", session_id="s")
        await until(lambda: not server.engine.supervisor._runs)
        await elsewhere.close()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_tail_of_a_deleted_session_does_not_begin(ada: FlowStateClient) -> None:
    await ada.flows.call("ledger", "echo", {"text": "a"}, session_id="s", request_id="ended")
    await ada.sessions.delete("s")
    with pytest.raises(RequestNotFound):
        [event async for event in ada.flows.handle("ended").events()]


async def test_preconditions_and_missing_sessions(ada: FlowStateClient) -> None:
    session = await ada.sessions.create("ledger", session_id="s")
    with pytest.raises(VersionMismatch):
        await ada.sessions.delete("s", at=session.version + 1)
    assert (await ada.sessions.get("s")).version == session.version
    await ada.sessions.delete("s", at=session.version)
    with pytest.raises(SessionNotFound):
        await ada.sessions.delete("s")
    await ada.sessions.delete("s", allow_missing=True)
    await ada.sessions.delete("never", allow_missing=True)
    with pytest.raises(SessionNotFound):
        await ada.sessions.delete("never")


async def test_nobody_deletes_what_is_not_theirs(server: RunningServer, ada: FlowStateClient) -> None:
    await ada.sessions.create("ledger", session_id="s")
    async with server.connect(user="eve") as eve, server.connect(user="ada", tenant="t2") as elsewhere:
        for stranger in (eve, elsewhere):
            with pytest.raises(SessionNotFound):
                await stranger.sessions.delete("s")
            await stranger.sessions.delete("s", allow_missing=True)
    assert (await ada.sessions.get("s")).id == "s"


async def test_made_anew_under_load_loses_nothing_of_the_new(fleet: Fleet) -> None:
    """Of a session that is deleted and made anew while many write to it and old ones are swept, every write that was
    acknowledged since its last creation is there, and none from before."""
    clients = fleet.clients
    acknowledged: list[tuple[int, int]] = []
    life = 0
    stop = asyncio.Event()
    await clients[0].sessions.create("ledger", user_id="ada", session_id="s")

    async def write(number: int) -> None:
        while not stop.is_set():
            began = life
            try:
                async with asyncio.timeout(SECONDS):
                    await clients[number % len(clients)].flows.call(
                        "ledger",
                        "put",
                        {"key": f"{began}:{number}:{len(acknowledged)}", "value": 1},
                        session_id="s",
                        user_id="ada",
                    )
            except (SessionNotFound, RequestNotFound):
                await asyncio.sleep(0.005)
            else:
                acknowledged.append((began, life))

    writers = [asyncio.create_task(write(number)) for number in range(8)]
    for number in range(1, 6):
        await asyncio.sleep(0.3)  # so long each life is written to
        await clients[number % len(clients)].sessions.delete("s")
        life = number
        await clients[0].sessions.create("ledger", user_id="ada", session_id="s")
    await asyncio.sleep(0.3)
    stop.set()
    await asyncio.gather(*writers)
    state = (await clients[0].state.session("s").get()).state
    of_the_last = [began for began, ended in acknowledged if began == ended == life]
    assert len(of_the_last) > 3
    kept = state["by_key"]
    assert len([key for key in kept if key.startswith(f"{life}:")]) >= len(of_the_last)
    assert state["count"] == 0
    listed = clients[0].sessions.list(user_id="ada")
    assert [one.id async for one in listed] == ["s"]


async def test_after_its_time_nothing_is_known_of_a_deleted_session(
    start_server: StartServer, store_url: str
) -> None:
    settings = EngineSettings(tombstone_retention=Seconds(0.1), lease=Seconds(0.6))
    server = await start_server(app, store=store_url, settings=settings)
    async with server.connect(user="ada") as ada:
        await ada.flows.call("ledger", "talk", {"text": "hello"}, session_id="s", request_id="ended")
        await ada.sessions.delete("s")

        async def again() -> bool:
            try:
                await ada.flows.call("ledger", "echo", {"text": "again"}, session_id="s", request_id="ended")
            except (SessionNotFound, RequestNotFound):
                return False
            return True

        await until(again)
        assert (await ada.sessions.get("s")).version == 1
