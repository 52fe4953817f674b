"""What each command shows, on a terminal and in a pipe: ``tests/cli/golden``."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.cli.flowstate_command import started, told
from tests.cli.golden_files import Transcript

ASK = json.dumps({"text": "Where is my parcel?", "labels": {"vip": 1}})


@pytest.fixture(scope="module")
def desk_server() -> Iterator[str]:
    """The address of a server with something of everything."""
    with started("serve", "tests.cli.desk_flow:app", "--listen", "127.0.0.1:0") as process:
        yield str(told(process, "listening")["address"])


@pytest.fixture
def seen(desk_server: str, request: pytest.FixtureRequest) -> Transcript:
    """A transcript of commands in a tenant of this test's own."""
    return Transcript(FLOWSTATE_SERVER=desk_server, FLOWSTATE_TENANT=str(request.node.name))


def ask(seen: Transcript, session: str, user: str, *options: str) -> str:
    """Have the desk answer in that session; the id of the request."""
    request_id = f"req-{session}"
    done = seen.unseen(
        "call",
        "desk",
        "answer",
        ASK,
        "--session",
        session,
        "--user",
        user,
        "--request-id",
        request_id,
        *options,
    )
    assert done.code == 0, done.stderr
    return request_id


def test_sessions(seen: Transcript) -> None:
    seen.terminal("sessions", "list")
    seen.pipe("sessions", "list")
    seen.pipe(
        "sessions", "create", "desk", "--user", "ada", "--title", "Summer", "--metadata", '{"ticket": 7}'
    )
    seen.terminal(
        "sessions", "create", "desk", "--user", "bob", "--id", "winter", "--org", "acme", "--tag", "vip"
    )
    seen.terminal("sessions", "create", "desk", "--user", "bob", "--id", "winter")
    seen.terminal(
        "sessions", "resolve", "desk", '{"ticket": 8}', "--user", "ada", "--title", "Autumn, as it is told"
    )
    seen.pipe("sessions", "resolve", "desk", '{"ticket": 8}', "--user", "ada")
    seen.terminal("sessions", "list")
    seen.terminal("sessions", "list", "--limit", "2")
    seen.pipe("sessions", "list", "--limit", "1", "--user", "ada")
    seen.terminal("sessions", "list", "--metadata", '{"ticket": 7}')
    seen.terminal("sessions", "list", "--tag", "vip", "--active-after", "2020-01-01")
    seen.terminal("sessions", "show", "winter", "--user", "bob")
    seen.pipe("sessions", "show", "winter")
    seen.terminal(
        *("sessions", "update", "winter", "--title", "Winter\x1b[2J", "--no-tags", "--at", "1"),
        *("--description", "Whoever asks for it shall be told that it comes late, and again and again."),
    )
    seen.pipe("sessions", "update", "winter", "--metadata", '{"ticket": 9}', "--tag", "a", "--tag", "b")
    seen.terminal("sessions", "delete", "winter", typed="n\n")
    seen.terminal("sessions", "delete", "winter", typed="y\n")
    seen.pipe("sessions", "delete", "winter")
    seen.pipe("sessions", "delete", "winter", "--allow-missing")
    seen.compare("sessions")


def test_sessions_refused(seen: Transcript) -> None:
    assert seen.pipe("sessions", "show", "nowhere").code == 4
    assert seen.pipe("sessions", "create", "nothing", "--user", "ada").code == 4
    assert seen.pipe("sessions", "create", "desk", "--user", "ada", "--metadata", "{").code == 2
    assert seen.pipe("sessions", "list", "--metadata", "[7]").code == 2
    assert seen.pipe("sessions", "resolve", "desk", '"ticket"', "--user", "ada").code == 2
    assert seen.pipe("sessions", "update", "nowhere").code == 2
    assert seen.pipe("sessions", "update", "nowhere", "--tag", "a", "--no-tags").code == 2
    assert seen.pipe("sessions", "delete", "a", "b", "--at", "1").code == 2
    seen.unseen("sessions", "create", "desk", "--user", "ada", "--id", "mine")
    assert seen.pipe("sessions", "update", "mine", "--title", "x", "--at", "7").code == 1
    assert seen.pipe("sessions", "show", "mine", "--user", "eve").code == 4
    seen.compare("sessions_refused")


def test_items(seen: Transcript) -> None:
    request_id = ask(seen, "talk", "ann")
    seen.terminal("items", "talk")
    seen.pipe("items", "talk", "--limit", "1")
    seen.terminal("items", "talk", "--trusted", "--newest-first", "--limit", "2")
    seen.terminal("items", "talk", "--request", request_id, "--audience", "client")
    assert seen.pipe("items", "nowhere").code == 4
    assert seen.pipe("items", "talk", "--audience", "internal").code == 1
    assert seen.pipe("items", "talk", "--request", request_id, "--last-turns", "1").code == 2
    seen.compare("items")


def test_snapshot(seen: Transcript) -> None:
    ask(seen, "shown", "sam", "--org", "shown")
    seen.terminal("snapshot", "shown")
    seen.pipe("snapshot", "shown")
    seen.terminal("snapshot", "shown", "session.asked", "user")
    assert seen.pipe("snapshot", "nowhere").code == 4
    assert seen.pipe("snapshot", "shown", "session.nothing").code == 2
    assert seen.pipe("snapshot", "shown", "asked").code == 2
    seen.compare("snapshot")


def test_state(seen: Transcript) -> None:
    seen.terminal("state", "get", "user", "kim")
    seen.terminal("state", "patch", "user", "kim", '{"visits": 3}')
    seen.pipe("state", "patch", "user", "kim", "-", "--at", "1", input='{"credit": 1.5}')
    seen.pipe("state", "patch", "user", "kim", '{"visits": 3}')
    seen.terminal("state", "inc", "user", "kim", "visits=2", "credit=-0.5")
    seen.terminal("state", "get", "user", "kim")
    seen.pipe("state", "get", "user", "kim", "--path", "/visits")
    seen.pipe("state", "get", "user", "kim", "--path", "/visits", "--path", "/nothing/0")
    seen.terminal("state", "get", "user", "kim", "--flow", "diary")
    seen.terminal("state", "inc", "user", "kim", "visits=1", "--flow", "diary", "--isolated")
    ask(seen, "kept", "kim", "--org", "kept")
    seen.terminal("state", "get", "session", "kept")
    seen.terminal("state", "get", "org", "kept")
    seen.terminal("state", "delete", "user", "kim", typed="n\n")
    seen.terminal("state", "delete", "user", "kim", "--yes")
    seen.terminal("state", "get", "user", "kim")
    assert seen.pipe("state", "delete", "user", "kim").code == 1
    assert seen.pipe("state", "delete", "user", "kim", "--allow-missing").code == 0
    seen.compare("state")


def test_state_refused(seen: Transcript) -> None:
    assert seen.pipe("state", "get", "session", "nowhere").code == 4
    assert seen.pipe("state", "patch", "user", "lee", "{visits: 1}").code == 2
    assert seen.pipe("state", "patch", "user", "lee", "[1]").code == 2
    assert seen.pipe("state", "patch", "user", "lee", '{"visits": "many"}').code == 2
    assert seen.pipe("state", "patch", "user", "lee", '{"visits": 1}', "--at", "7").code == 1
    assert seen.pipe("state", "inc", "user", "lee", "visits").code == 2
    assert seen.pipe("state", "inc", "user", "lee", "visits=many").code == 2
    assert seen.pipe("state", "get", "session", "s", "--flow", "desk").code == 2
    assert seen.pipe("state", "get", "user", "lee", "--isolated").code == 2
    assert seen.pipe("state", "get", "user", "lee", "--path", "visits").code == 2
    assert seen.pipe("state", "get", "user", "lee", "--flow", "nothing").code == 4
    assert seen.unseen("state", "get", "team", "lee").code == 2
    seen.compare("state_refused")


def test_journal(seen: Transcript) -> None:
    seen.unseen("sessions", "create", "desk", "--user", "jo", "--id", "noted")
    seen.terminal("journal", "list", "noted")
    seen.terminal("journal", "append", "noted", "refund approved", "--source", "desk", "--tag", "money")
    seen.pipe("journal", "append", "noted", "-", "--data", '{"amount": 3}', input="paid\nin full\n")
    seen.pipe("journal", "append", "noted", "third", "--request", "req-1")
    seen.terminal("journal", "list", "noted")
    seen.terminal("journal", "list", "noted", "--limit", "2")
    seen.pipe("journal", "list", "noted", "--newest-first", "--limit", "1")
    assert seen.pipe("journal", "list", "nowhere").code == 4
    assert seen.pipe("journal", "append", "noted", "x", "--data", "{").code == 2
    assert seen.pipe("journal", "append", "noted", "-", "--data", "-").code == 2
    seen.compare("journal")


def test_requests(seen: Transcript) -> None:
    ask(seen, "asked", "max")
    dispatch = ("--user", "max", "--timeout", "0", "--session", "asked", "--request-id")
    seen.unseen("call", "desk", "refuse", '"lunch"', "--user", "max", "--request-id", "req-refused")
    seen.unseen("call", "desk", "wait", "60", *dispatch, "req-waits")
    seen.terminal("requests", "list")
    seen.pipe("requests", "list", "--status", "completed", "--payloads")
    seen.terminal(
        "requests", "list", "--session", "asked", "--flow", "desk", "--action", "wait", "--limit", "1"
    )
    seen.terminal("requests", "show", "req-asked")
    seen.terminal("requests", "show", "req-refused")
    seen.pipe("requests", "show", "req-refused")
    seen.terminal("requests", "cancel", "req-waits", "--reason", "took too long")
    seen.unseen("tail", "req-waits")  # until it has ended
    seen.terminal("requests", "show", "req-waits")
    seen.terminal("requests", "cancel", "req-waits", "req-asked")
    assert seen.pipe("requests", "show", "nowhere").code == 4
    assert seen.pipe("requests", "cancel", "nowhere").code == 4
    assert seen.pipe("requests", "list", "--action", "wait").code == 2
    assert seen.unseen("requests", "list", "--status", "done").code == 2
    seen.compare("requests")


def test_flows(seen: Transcript) -> None:
    seen.terminal("flows")
    assert json.loads(seen.unseen("flows", "--limit", "1").stdout)["flow_kind"] == "desk"
    seen.terminal("flows", "desk")
    seen.terminal("flows", "diary", "--trusted")
    seen.pipe("flows", "diary")
    assert seen.pipe("flows", "nothing").code == 4
    seen.compare("flows")


def test_info(seen: Transcript) -> None:
    seen.terminal("info")
    told = json.loads(seen.unseen("info").stdout)
    assert told["limits"]["heartbeat_interval"] == 15.0
    assert "SessionService/ListSessions" in told["capabilities"]
    seen.compare("info")


def test_health(seen: Transcript) -> None:
    seen.terminal("health")
    seen.pipe("health", "--service", "flowstate.v1.FlowService", "--wait", "5")
    assert seen.pipe("health", "--service", "nothing").code == 4
    seen.compare("health")
