"""What an observer is told of a server at work."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from flowstate_client import ActionFailed, AlreadyExists, FlowStateClient, SessionNotFound
from flowstate_client.testing import record_events
from flowstate_server.observation import Observer
from flowstate_server.testing.fixtures import StartServer
from tests.support.flows import make_app

SECRET = "canary-8e1f"


class Recording(Observer):
    """Keeps what it is told; each kind by its name."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def call(self, **told: Any) -> None:
        self.told.append(("call", told))

    def run(self, **told: Any) -> None:
        self.told.append(("run", told))

    def block(self, **told: Any) -> None:
        self.told.append(("block", told))

    def commit(self, **told: Any) -> None:
        self.told.append(("commit", told))

    def tail(self, **told: Any) -> None:
        self.told.append(("tail", told))

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [told for name, told in self.told if name == kind]


class Breaking(Recording):
    """Breaks whenever it is told something."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("call", "run", "block", "commit", "tail"):
            raise RuntimeError("the observer is broken")
        return super().__getattribute__(name)


@pytest.fixture
def observer() -> Recording:
    return Recording()


@pytest.fixture
async def ada(
    start_server: StartServer, store_url: str, observer: Recording
) -> AsyncIterator[FlowStateClient]:
    server = await start_server(make_app(observer), store=store_url)
    async with server.connect(user="ada") as client:
        yield client
    await server.stop()


async def test_a_call_its_run_and_its_blocks(ada: FlowStateClient, observer: Recording) -> None:
    run = await ada.flows.dispatch("ledger", "echo", {"text": SECRET}, session_id="s")
    assert await run.result() == SECRET
    (block,) = observer.all("block")
    assert (block["flow_kind"], block["path"], block["kind"]) == ("ledger", ("echo",), "handler")
    (done,) = observer.all("run")
    assert (done["flow_kind"], done["action"], done["outcome"]) == ("ledger", "echo", "completed")
    assert block["request_id"] == done["request_id"] == run.request_id
    assert 0 < block["seconds"] < done["seconds"] < 60
    dispatch = next(told for told in observer.all("call") if told["method"] == "FlowService/DispatchAction")
    assert (dispatch["plane"], dispatch["outcome"]) == ("client", "OK")
    assert min(dispatch["seconds"], dispatch["bytes_in"], dispatch["bytes_out"]) > 0


async def test_what_went_wrong_is_told_by_its_reason(ada: FlowStateClient, observer: Recording) -> None:
    with pytest.raises(ActionFailed):
        await ada.flows.call("ledger", "fail", {"message": SECRET})
    with pytest.raises(SessionNotFound):
        await ada.sessions.get("nowhere")
    assert [told["outcome"] for told in observer.all("run") + observer.all("block")] == ["failed"] * 2
    outcomes = {told["method"]: told["outcome"] for told in observer.all("call")}
    assert outcomes["SessionService/GetSession"] == "SESSION_NOT_FOUND"


async def test_a_tail(ada: FlowStateClient, observer: Recording) -> None:
    run = await ada.flows.dispatch("ledger", "flood", {"count": 20})
    events = await record_events(run)
    (tail,) = observer.all("tail")
    assert (tail["plane"], tail["events"], tail["outcome"]) == ("client", len(events), "OK")


async def test_no_value_is_told(ada: FlowStateClient, observer: Recording) -> None:
    await record_events(await ada.flows.dispatch("ledger", "echo", {"text": SECRET}, session_id="s"))
    assert {kind for kind, _ in observer.told} >= {"call", "run", "block", "commit", "tail"}
    assert SECRET not in repr(observer.told)


async def test_an_observer_that_breaks_hurts_nobody(
    start_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    server = await start_server(make_app(Breaking()))
    with caplog.at_level(logging.ERROR):
        async with server.connect(user="ada") as ada:
            for _ in range(3):
                run = await ada.flows.dispatch("ledger", "echo", {"text": "heard"})
                assert (await record_events(run))[-1].type == "request.completed"
        await server.stop()
    broken = [record.getMessage() for record in caplog.records if "observer broke" in record.getMessage()]
    assert len(broken) == len(set(broken)) >= 4


async def test_commits_are_told_of_with_what_was_refused(ada: FlowStateClient, observer: Recording) -> None:
    await ada.flows.call("ledger", "bump", {}, session_id="s")
    told = observer.all("commit")
    assert all(one["outcome"] == "OK" and 0 < one["seconds"] < 60 for one in told)
    assert all(one["batches"] >= 1 and one["writes"] >= one["batches"] for one in told)
    before = sum(one["refused"] for one in told)
    with pytest.raises(AlreadyExists):
        await ada.sessions.create(flow_kind="ledger", session_id="s", user_id="ada")
    assert sum(one["refused"] for one in observer.all("commit")) == before + 1
