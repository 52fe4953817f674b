"""Sessions over many turns: history, shared records, and a restart of the server in between."""

from __future__ import annotations

import asyncio

import pytest

from flowstate_client import ActionFailed, FlowStateClient, ItemDelta, ItemDone
from flowstate_client.testing import record_events
from flowstate_server.testing.fixtures import StartServer
from flowstate_server.testing.server import RunningServer
from tests.support.flows import app
from tests.support.runs import holding


async def say(client: FlowStateClient, text: str, *, session: str = "s", flow: str = "ledger") -> list[str]:
    """What the model got to read before."""
    return await client.flows.call(flow, "talk", {"text": text}, output=list[str], session_id=session)


async def test_each_turn_sees_those_before(ada: FlowStateClient) -> None:
    assert await say(ada, "one") == []
    assert await say(ada, "two") == ["one", "re: one"]
    assert await say(ada, "three") == ["one", "re: one", "two", "re: two"]
    assert await say(ada, "elsewhere", session="s2") == []


async def test_the_window_holds_the_newest_turns(ada: FlowStateClient) -> None:
    seen = [await say(ada, str(turn), flow="forgetful") for turn in range(5)]
    assert seen[:2] == [[], ["0", "re: 0"]]
    assert seen[4] == ["2", "re: 2", "3", "re: 3"]


async def test_failed_and_aborted_requests_are_not_history(ada: FlowStateClient) -> None:
    await say(ada, "one", flow="forgetful")
    for _ in range(2):
        with pytest.raises(ActionFailed, match="NO_WAY"):
            await ada.flows.call("forgetful", "talk_and_fail", {"text": "lost"}, session_id="s")
    run = await ada.flows.dispatch("forgetful", "talk_and_hold", {"text": "lost"}, session_id="s")
    async with run.events() as events:
        async for event in events:
            if isinstance(event, ItemDone):
                break
    assert await say(ada, "two", flow="forgetful") == ["one", "re: one"]
    await run.cancel()
    with pytest.raises(ActionFailed, match="ABORTED"):
        await run.result()
    assert await say(ada, "three", flow="forgetful") == ["one", "re: one", "two", "re: two"]


async def test_what_was_streamed_is_what_is_kept(ada: FlowStateClient) -> None:
    run = await ada.flows.dispatch("ledger", "talk", {"text": "hi"}, session_id="s")
    events = await record_events(run)
    streamed = "".join(event.text for event in events if isinstance(event, ItemDelta))
    items = [event.item for event in events if isinstance(event, ItemDone)]
    assert streamed == "re: hi"
    assert [item.role for item in items] == ["user", "assistant"]
    assert (await say(ada, "again"))[1] == streamed


async def test_concurrent_turns_of_one_session_are_all_kept(ada: FlowStateClient) -> None:
    await asyncio.gather(*(say(ada, str(turn)) for turn in range(10)))
    kept = await say(ada, "last")
    assert sorted(kept) == sorted([*map(str, range(10)), *(f"re: {turn}" for turn in range(10))])
    assert all(kept[kept.index(str(turn)) + 1] == f"re: {turn}" for turn in range(10))


async def test_sessions_share_their_users_and_orgs_records(ada: FlowStateClient) -> None:
    """Across sessions and flows, but for the flow that keeps its own and across tenants on purpose."""
    for flow, session in (("ledger", "s1"), ("ledger", "s2"), ("other", "s3"), ("private", "s4")):
        await ada.flows.call(flow, "bump_all", {}, session_id=session, org_id="acme")
    shown = {name: (await ada.sessions.snapshot(name)).client_data for name in ("s1", "s3", "s4")}
    assert [shown[name]["session"]["count"] for name in shown] == [1, 1, 1]
    assert [shown[name]["user"]["count"] for name in shown] == [3, 3, 1]
    assert [shown[name]["org"]["count"] for name in shown] == [3, 3, 1]


async def test_user_and_org_records_are_shared_by_tenants_and_sessions_are_not(server: RunningServer) -> None:
    for turn, tenant in enumerate(("t1", "t2"), start=1):
        async with server.connect(user="ada", tenant=tenant) as client:
            await client.flows.call("ledger", "bump_all", {}, session_id="s", org_id="acme")
            data = (await client.sessions.snapshot("s")).client_data
            counts = [data[scope]["count"] for scope in ("session", "user", "org")]
            assert counts == [1, turn, turn]


async def test_a_session_without_an_org_has_none(ada: FlowStateClient) -> None:
    await ada.flows.call("ledger", "bump_all", {}, session_id="s")
    assert "org" not in (await ada.sessions.snapshot("s")).client_data


async def test_a_request_without_an_org_uses_the_sessions(backend: FlowStateClient) -> None:
    session = await backend.sessions.create("ledger", user_id="ada", org_id="acme")
    await backend.flows.call("ledger", "bump_all", {}, session_id=session.id, user_id="ada")
    assert (await backend.state.org("acme", flow_kind="ledger").get()).state["count"] == 1


async def test_without_a_session_id_a_run_gets_a_session_of_its_own(ada: FlowStateClient) -> None:
    runs = [await ada.flows.dispatch("ledger", "bump", {}) for _ in range(2)]
    assert [await run.result() for run in runs] == [1, 1]
    assert len({run.session_id for run in runs}) == 2
    for run in runs:
        assert run.session_id.startswith("ephemeral_")
        session = await ada.sessions.get(run.session_id)
        assert session.ephemeral
        assert (await ada.sessions.snapshot(session.id)).client_data["session"]["count"] == 1


async def test_a_conversation_outlives_its_server(start_server: StartServer, durable_url: str) -> None:
    first = await start_server(app, store=durable_url)
    async with first.connect(user="ada", org="acme") as ada:
        await say(ada, "one")
        run = await ada.flows.dispatch("ledger", "bump_all", {}, session_id="s")
        events = await record_events(run)
        before = await ada.sessions.snapshot("s")
    await first.stop()

    second = await start_server(app, store=durable_url)
    async with second.connect(user="ada", org="acme") as ada:
        after = await ada.sessions.snapshot("s")
        assert after.client_data == before.client_data
        assert (after.versions, after.cursor) == (before.versions, before.cursor)
        assert await record_events(ada.flows.handle(run.request_id)) == events
        assert await say(ada, "two") == ["one", "re: one"]
        await holding(ada, session_id="s")
        assert [session.id async for session in ada.sessions.list()] == ["s"]
