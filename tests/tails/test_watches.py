"""WatchSnapshot: the whole view, then what changed of it, whoever changed it."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from dataclasses import replace
from typing import Any

import pytest

from flowstate.v1.event_service_pb2 import ListEventsRequest
from flowstate.v1.session_service_pb2 import WatchSnapshotRequest
from flowstate.v1.types_pb2 import SCOPE_KIND_ORG, SCOPE_KIND_REQUEST, SCOPE_KIND_SESSION, SCOPE_KIND_USER
from flowstate_server.errors import Reason
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import SessionKey
from flowstate_server.settings import ServerSettings
from flowstate_server.stores.contract.reads import Projection
from flowstate_server.stores.contract.watch import TopicKind
from flowstate_server.stores.store import Store
from tests.support.hosted import Hosted, hosted
from tests.support.watched import ORG, SESSION, USER, Watching, board, watch
from tests.support.wire import refused_stream
from tests.tails.test_heartbeats import QUICK, duration


async def _session(server: Hosted, session_id: str = "s1", **more: Any) -> None:
    async with server.client() as client:
        await client.sessions.create("board", session_id=session_id, org_id="o1", **more)


async def test_the_whole_view_then_what_changes_whoever_changes_it(store: Store) -> None:
    async with hosted(board(), store=store) as server, server.client(plane="trusted") as backend:
        await _session(server)
        watching = watch(server, "s1")
        await watching.next()
        await watching.next()
        assert watching.kinds == ["started", "snapshot"]
        assert watching.values == {
            SESSION: {"count": 0, "double": 0},
            USER: {"theme": "light"},
            ORG: {"budget": 0},
        }

        await server.run("r1", "bump", flow_kind="board", session_id="s1")
        await watching.until(lambda w: w.values[SESSION]["count"] == 1)
        assert watching.values[SESSION] == {"count": 1, "double": 2}
        assert watching.kinds[2:] == ["change"]
        assert set(watching.frames[2].change.values) == {"count", "double"}

        await backend.state.user("u1", flow_kind="board").patch_state({"theme": "dark"})
        await watching.until(lambda w: w.values[USER]["theme"] == "dark")
        await backend.state.org("o1", flow_kind="board").inc_state({"budget": 5})
        await watching.until(lambda w: w.values[ORG]["budget"] == 5)
        await backend.state.session("s1").patch_state({"title": "T"})
        await watching.until(lambda w: w.values[SESSION].get("title") == "T")
        assert set(watching.frames[-1].change.values) == {"title"}, "only what changed"
        await backend.state.session("s1").unset_state("title")
        await watching.until(lambda w: "title" not in w.values[SESSION])
        assert list(watching.frames[-1].change.removed) == ["title"]
        assert watching.versions == {SESSION: 3, USER: 1, ORG: 1}
        assert set(watching.kinds[2:]) == {"change"}
        watching.call.cancel()


async def test_what_is_not_shown_is_not_told_of(store: Store) -> None:
    async with (
        hosted(board(), store=store, settings=QUICK) as server,
        server.client(plane="trusted") as backend,
    ):
        await _session(server)
        watching = watch(server, "s1", heartbeat_interval=duration(0.2))
        await watching.until(lambda w: True)
        for number in range(3):
            await backend.state.session("s1").patch_state({"secret": f"s{number}"})
            await backend.state.org("o1", flow_kind="board").inc_state({"hidden": 1})
        await watching.next()
        await watching.next()
        assert watching.kinds[2:] == ["heartbeat", "heartbeat"]
        await backend.state.org("o1", flow_kind="board").inc_state({"budget": 1})
        await watching.until(lambda w: w.values[ORG]["budget"] == 1)
        assert watching.versions[ORG] == 4
        watching.call.cancel()


async def test_selectors_narrow_it_and_are_checked(store: Store) -> None:
    async with hosted(board(), store=store) as server, server.client(plane="trusted") as backend:
        await _session(server)
        watching = watch(server, "s1", (SCOPE_KIND_SESSION, ["double"]), (SCOPE_KIND_ORG, []))
        await watching.until(lambda w: True)
        assert watching.values == {SESSION: {"double": 0}, ORG: {"budget": 0}}
        await backend.state.user("u1", flow_kind="board").patch_state({"theme": "dark"})
        await backend.state.session("s1").inc_state({"count": 2})
        await watching.until(lambda w: w.values[SESSION]["double"] == 4)
        assert set(watching.values[SESSION]) == {"double"}
        watching.call.cancel()

        refusal = await refused_stream(watch(server, "s1", (SCOPE_KIND_SESSION, ["secret"])).call)
        assert refusal.fields == ["selectors[0].names[0]"]
        refusal = await refused_stream(watch(server, "s1", (SCOPE_KIND_REQUEST, [])).call)
        assert refusal.fields == ["selectors[0].scope"]
        refusal = await refused_stream(watch(server, "s1", (SCOPE_KIND_USER, []), (SCOPE_KIND_USER, [])).call)
        assert refusal.fields == ["selectors[1].scope"]


async def test_a_session_of_somebody_else_is_one_that_never_was(store: Store) -> None:
    async with hosted(board(), store=store) as server:
        await _session(server)
        other = (("x-flowstate-user", "u2"),)
        tenant = (("x-flowstate-user", "u1"), ("x-tenant-id", "t"))
        refusals = [
            await refused_stream(watch(server, "never", metadata=other).call),
            await refused_stream(watch(server, "s1", metadata=other).call),
            await refused_stream(watch(server, "s1", metadata=tenant).call),
        ]
        assert {refusal.reason for refusal in refusals} == {Reason.SESSION_NOT_FOUND}
        refusal = await refused_stream(server.sessions.WatchSnapshot(WatchSnapshotRequest()))
        assert refusal.fields == ["session_id"]


async def test_a_quiet_watch_beats_and_carries_the_cursor(store: Store) -> None:
    async with hosted(board(), store=store, settings=QUICK) as server, server.client() as client:
        await _session(server)
        watching = watch(server, "s1", (SCOPE_KIND_USER, []), heartbeat_interval=duration(0.1))
        assert (await watching.next()).started.heartbeat_interval == duration(0.1)
        await watching.until(lambda w: True)
        await server.run("r1", "bump", flow_kind="board", session_id="s1")
        end = (await client.sessions.snapshot("s1")).cursor
        beats = 0
        while watching.frames[-1].cursor.sequence < end.sequence:
            await watching.next()
            beats += 1
        assert set(watching.kinds[2:]) == {"heartbeat"}
        assert beats < 20
        watching.call.cancel()


async def test_a_burst_comes_as_fewer_changes_and_ends_with_the_truth(store: Store) -> None:
    reads = 0
    async with hosted(board(), store=store) as server, server.client(plane="trusted") as backend:
        await _session(server)
        watching = watch(server, "s1")
        await watching.until(lambda w: True)
        read_projection = server.engine.store.read_projection

        async def counted(*arguments: Any) -> Projection | None:
            nonlocal reads
            reads += 1
            return await read_projection(*arguments)

        server.engine.store.read_projection = counted  # type: ignore[method-assign, assignment]
        for _ in range(200):
            await backend.state.session("s1").inc_state({"count": 1})
        await watching.until(lambda w: w.values[SESSION]["count"] == 200)
        assert len(watching.frames) - 2 <= reads < 150
        watching.call.cancel()


async def test_the_view_is_true_for_the_cursor_of_each_frame(store: Store) -> None:
    """Each change of the count is an event of the session's log, so the cursor of a frame tells its count."""
    async with hosted(board(), store=store) as server:
        await _session(server)
        watching = watch(server, "s1")
        await watching.until(lambda w: True)
        reading = asyncio.ensure_future(watching.until(lambda w: w.values[SESSION]["count"] == 20))
        changed_at = [0]
        for number in range(20):
            await server.run(f"r{number}", "bump", flow_kind="board", session_id="s1")
            page = await server.events.ListEvents(ListEventsRequest(request_id=f"r{number}"))
            changed_at += [event.session_sequence for event in page.events if event.type == "state_change"]
        await reading
        watching.call.cancel()
        for frame in watching.frames[2:]:
            count = int(frame.change.values["count"].json)
            assert bisect_right(changed_at, frame.cursor.sequence) - 1 == count


async def test_it_ends_when_its_session_is_gone_even_if_there_is_another(store: Store) -> None:
    async with hosted(board(), store=store, settings=QUICK) as server:
        await _session(server)
        await _session(server, "s2")
        gone, replaced = (watch(server, name, heartbeat_interval=duration(0.05)) for name in ("s1", "s2"))
        await gone.until(lambda w: True)
        await replaced.until(lambda w: True)
        read_projection = server.engine.store.read_projection

        async def forgetful(session: SessionKey, *arguments: Any) -> Projection | None:
            read = await read_projection(session, *arguments)
            if session == SessionKey(NO_TENANT, "s1") or read is None:
                return None
            return replace(read, session=replace(read.session, log_id="another"))

        server.engine.store.read_projection = forgetful  # type: ignore[method-assign, assignment]
        await gone.ended()
        await replaced.ended()
        await server.no_streams()


async def test_it_is_admitted_and_drained_as_a_tail() -> None:
    options = ServerSettings(max_streams_per_principal=2)
    async with hosted(board(), options=options) as server:
        await _session(server)
        watching = [watch(server, "s1") for _ in range(2)]
        for one in watching:
            await one.until(lambda w: True)
        assert (await refused_stream(watch(server, "s1").call)).reason is Reason.TOO_MANY_STREAMS
        stopping = asyncio.ensure_future(server.server.stop(drain_grace=0.5))
        for one in watching:
            assert (await refused_stream(one.call)).reason is Reason.SERVER_DRAINING
        await stopping


async def test_a_reader_that_stands_still_is_cut_off_and_its_neighbours_are_served() -> None:
    options = ServerSettings(write_timeout=0.2)
    async with hosted(board(), options=options) as server, server.client(plane="trusted") as backend:
        await _session(server)
        still, reads = watch(server, "s1"), watch(server, "s1")
        await still.until(lambda w: True)
        await reads.until(lambda w: True)
        for number in range(60):
            text = str(number) + "x" * 200_000
            await backend.state.session("s1").patch_state({"title": text})
            while reads.values[SESSION].get("title") != text:
                await reads.next()
        refusal = await refused_stream(still.call)
        assert refusal.reason is Reason.SLOW_CONSUMER
        assert "sequence" in refusal.metadata
        reads.call.cancel()


@pytest.mark.parametrize("interval", [None, 0.01, 7.5])
async def test_the_interval_is_that_of_tails(interval: float | None) -> None:
    async with hosted(board()) as server:
        await _session(server)
        more = {} if interval is None else {"heartbeat_interval": duration(interval)}
        watching = watch(server, "s1", **more)
        frame = await watching.next()
        given = {None: 15.0, 0.01: 5.0, 7.5: 7.5}[interval]
        assert frame.started.heartbeat_interval == duration(given)
        watching.call.cancel()


async def test_a_watch_that_is_left_leaves_nothing(store: Store) -> None:
    async with hosted(board(), store=store) as server:
        await _session(server)
        watching: list[Watching] = [watch(server, "s1") for _ in range(20)]
        for one in watching:
            await one.until(lambda w: True)
        assert server.open_streams == 20
        for one in watching:
            one.call.cancel()
        async with asyncio.timeout(10):
            await server.no_streams()
        of_the_server = (TopicKind.PROCESS, TopicKind.FLOW_DOCUMENTS)
        assert not any(
            topics for topics in server.engine.store._open.hub._watches if topics.kind not in of_the_server
        )
