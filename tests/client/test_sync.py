"""The synchronous client: what the asynchronous one does, for threads that wait."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowstate_client import (
    ActionFailed,
    ClientClosedError,
    ConnectError,
    ItemDelta,
    PreconditionError,
    RequestCompleted,
    SessionNotFound,
)
from flowstate_client.sync import FlowStateClient
from tests.client.fakes import FakeServer
from tests.client.server_thread import Counted, Plan, ServerThread


@pytest.fixture(scope="module")
def server() -> Iterator[ServerThread]:
    with ServerThread() as running:
        yield running


@pytest.fixture
def client(server: ServerThread) -> Iterator[FlowStateClient]:
    with server.connect(user="ada", plane="trusted") as opened:
        yield opened


def test_runs(client: FlowStateClient) -> None:
    assert client.flows.call("chat", "say", "one two", output=str) == "one two "
    run = client.flows.dispatch("chat", "say", "three four", session_id="s-runs")
    assert run.session_id == "s-runs"
    assert run.request_id in repr(run)
    events = list(run.events())
    assert "".join(event.text for event in events if isinstance(event, ItemDelta)) == "three four "
    assert isinstance(events[-1], RequestCompleted)
    assert run.result(str) == "three four "
    assert client.flows.handle(run.request_id).get().output == "three four "
    with pytest.raises(ActionFailed):
        client.flows.call("chat", "say", "fail")
    assert client.flows.validate("chat", "say", "x").action == "say"
    assert [flow.flow_kind for flow in client.flows.list()] == ["chat"]
    assert client.flows.get("chat").flow_kind == "chat"


def test_a_run_is_cancelled(client: FlowStateClient) -> None:
    run = client.flows.dispatch("chat", "wait", "x")
    with pytest.raises(TimeoutError):
        run.result(timeout=0.05)
    assert run.cancel("enough").cancel_requested
    with pytest.raises(ActionFailed, match="enough"):
        run.result()


def test_streams(client: FlowStateClient) -> None:
    with client.flows.stream("chat", "say", "a b c", session_id="s-streams") as events:
        first = next(events)
        assert events.run.request_id == first.request_id
        assert events.cursor == first.cursor
    assert list(events) == [], "it is closed"
    seen = [(event, view) for event, view in events.run.events().with_view(names=None)]
    assert seen[-1][1].client_data == {"session": {"count": 1}}
    over_all = client.sessions.events("s-streams", replay_only=True)
    assert len(list(over_all)) == len(seen)


def test_sessions_are_listed_in_pages(server: ServerThread) -> None:
    client = server.connect(user="pages")
    ids = [client.sessions.create("chat").id for _ in range(5)]
    pager = client.sessions.list(page_size=2)
    assert [session.id for session in pager] == ids[::-1]
    assert pager.next_page_token == ""
    assert [len(page.items) for page in pager.pages()] == [2, 2, 1]
    newest = pager.first()
    assert newest is not None
    assert newest.id == ids[-1]
    page = client.sessions.list(page_size=2).page(pager.next_page_token)
    assert [session.id for session in page.items] == [ids[2], ids[1]]
    assert client.sessions.list(tags=["none"]).first() is None
    client.close()


def test_conversations_views_and_watches(client: FlowStateClient) -> None:
    session = client.sessions.create("chat", title="First")
    client.flows.call("chat", "say", "hello", session_id=session.id)
    assert [item.text for item in client.sessions.items(session.id)] == ["hello "]
    assert client.sessions.snapshot(session.id).client_data == {"session": {"count": 1}}
    watch = client.sessions.watch(session.id)
    assert watch.session_id == session.id
    assert next(watch).client_data == {"session": {"count": 1}}
    client.state.session(session.id).inc_state(count=1)
    assert next(watch).client_data == {"session": {"count": 2}}
    assert client.sessions.update(session.id, title="Second").title == "Second"
    client.sessions.delete(session.id)
    assert list(watch) == []
    with pytest.raises(SessionNotFound):
        client.sessions.get(session.id)


def test_state(client: FlowStateClient) -> None:
    session = client.sessions.create("chat")
    state = client.state.session(session.id, model=Counted)
    assert state.patch_state(notes=["a"]).changed
    with state.batch() as batch:
        batch.inc_state(count=2)
        batch.push_state("notes", "b")
    assert batch.result is not None
    assert batch.result.version == state.get().version
    with client.state.batch() as both:
        part = both.session(session.id, model=Counted)
        part.inc_state(count=3)
    assert part.result is not None
    assert state.get().state == Counted(count=5, notes=["a", "b"])
    assert state.atomic_state(lambda now: {"count": now.count * 2}).changed
    assert state.get().state.count == 10
    with pytest.raises(PreconditionError), state.batch() as tested:
        tested.test_state("count", equals=1)
    with pytest.raises(ZeroDivisionError), state.batch() as left:
        left.inc_state(count=1 // 0)
    assert state.get().state.count == 10


def test_resources(client: FlowStateClient, tmp_path: Path) -> None:
    session = client.sessions.create("chat")
    owned = client.resources.session(session.id)
    plan = owned.named("plan", model=Plan)
    plan.patch_state(title="Trip")
    told: list[tuple[int, int | None]] = []
    pieces = (letter * 700_000 for letter in (b"a", b"b", b"c"))
    plan.upload(pieces, media_type="text/plain", progress=lambda done, whole: told.append((done, whole)))
    assert told[-1] == (2_100_000, None)
    assert plan.get().state == Plan(title="Trip")
    assert plan.read() == b"a" * 700_000 + b"b" * 700_000 + b"c" * 700_000
    target = tmp_path / "copy"
    assert plan.download(target).size == target.stat().st_size == 2_100_000
    with target.open("rb") as file:
        plan.upload(file)
    with plan.read_pieces(start=2_099_999) as content:
        assert next(content) == b"c"
        assert content.position == 2_100_000
        assert content.resource is not None
        assert content.resource.name == "plan"
    assert [one.name for one in owned.list()] == [owned["plan"].name]
    owned["plan"].delete()
    with pytest.raises(TypeError, match="a content is bytes"):
        plan.upload(5)  # type: ignore[arg-type]


def test_journal_and_server(client: FlowStateClient) -> None:
    session = client.sessions.create("chat")
    client.journal.append(session.id, "paid", data={"amount": 3})
    assert [entry.text for entry in client.journal.list(session.id)] == ["paid"]
    assert client.server.supports("FlowService/CallAction")
    assert client.server.info().version


def test_many_threads_use_one_client(client: FlowStateClient) -> None:
    session = client.sessions.create("chat")
    problems: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                client.state.session(session.id).inc_state(count=1)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert client.state.session(session.id).get().state["count"] == 80


async def test_it_is_refused_where_a_loop_runs(server: ServerThread) -> None:
    client = server.connect(user="ada")
    problem = "use `async with flowstate_client.FlowStateClient.connect"
    with pytest.raises(RuntimeError, match=re.escape(problem)):
        client.flows.call("chat", "say", "x")
    with pytest.raises(RuntimeError, match=re.escape(problem)), client:
        pass
    assert await asyncio.to_thread(client.flows.call, "chat", "say", "x") == "x "
    with pytest.raises(RuntimeError, match=re.escape(problem)):
        client.server.info()
    client.close()


def test_what_the_client_calls_must_not_call_it(client: FlowStateClient) -> None:
    state = client.state.session(client.sessions.create("chat").id)
    with pytest.raises(RuntimeError, match="must not call the client"):
        state.atomic_state(lambda now: {"count": state.get().version})


@pytest.mark.parametrize("exits", [SystemExit, KeyboardInterrupt])
def test_a_function_that_exits_ends_its_call_alone(
    client: FlowStateClient, exits: type[BaseException]
) -> None:
    def change(state: object) -> None:
        raise exits

    session = client.sessions.create("chat", user_id="ada")
    with pytest.raises(exits):
        client.state.session(session.id).atomic_state(change)
    assert client.sessions.get(session.id).id == session.id


def test_it_opens_by_itself_and_closes_for_good(server: ServerThread) -> None:
    client = server.connect(user="ada")
    run = client.flows.dispatch("chat", "wait", "x")
    events = run.events()
    next(events)
    names = [thread.name for thread in threading.enumerate()]
    waiting: list[BaseException] = []

    def wait_for_it() -> None:
        try:
            run.result()
        except BaseException as error:
            waiting.append(error)

    thread = threading.Thread(target=wait_for_it)
    thread.start()
    client.close()
    client.close()
    thread.join()
    assert [type(error) for error in waiting] == [ClientClosedError]
    assert [thread.name for thread in threading.enumerate()].count("flowstate-client") == (
        names.count("flowstate-client") - 1
    )
    for call in (run.get, lambda: next(events), lambda: client.flows, client.ready):
        with pytest.raises(ClientClosedError):
            call()


def test_a_client_that_nobody_holds_ends(server: ServerThread) -> None:
    run = server.connect(user="ada").flows.dispatch("chat", "say", "x")
    assert run.result() == "x ", "what it gave holds it"
    [thread] = [one for one in threading.enumerate() if one.name == "flowstate-client"]
    del run
    thread.join(10)
    assert not thread.is_alive()


def test_a_server_that_is_away_is_told() -> None:
    with FlowStateClient.connect("127.0.0.1:1") as client, pytest.raises(ConnectError):
        client.ready(0.1)


def test_a_stream_that_was_left_ends_on_the_server(server: ServerThread) -> None:
    with server.connect(user="ada") as client:
        run = client.flows.dispatch("chat", "wait", "x")
        for _ in run.events():
            break
        assert server.server is not None
        assert run.cancel().cancel_requested


async def test_the_client_of_a_thread_goes_on_beside_an_asynchronous_one(server: ServerThread) -> None:
    fake = FakeServer()
    await fake.start()
    try:
        fake.flows.complete("done")
        with_fake = FlowStateClient.connect(fake.target, user="u1")
        assert await asyncio.to_thread(with_fake.flows.call, "chat", "say") == "done"
        await asyncio.to_thread(with_fake.close)
    finally:
        await fake.stop()
