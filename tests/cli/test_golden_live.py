"""What commands show of what is going on, on a terminal and in a pipe: ``tests/cli/golden``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.flowstate_command import started, told
from tests.cli.golden_files import Transcript

QUESTION = json.dumps("How will the weather be?")


@pytest.fixture(scope="module")
def talk_server() -> Iterator[str]:
    """The address of a server with a flow that speaks."""
    with started("serve", "tests.cli.talk_flow:talk", "--listen", "127.0.0.1:0") as process:
        yield str(told(process, "listening")["address"])


@pytest.fixture
def seen(talk_server: str, request: pytest.FixtureRequest) -> Iterator[Transcript]:
    """A transcript of commands in a tenant of this test's own; compared with the file of its name."""
    name = request.node.name.removeprefix("test_")
    transcript = Transcript(FLOWSTATE_SERVER=talk_server, FLOWSTATE_TENANT=name, FLOWSTATE_USER="ada")
    yield transcript
    transcript.compare(name)


def test_tail(seen: Transcript) -> None:
    assert seen.unseen("call", "talk", "answer", QUESTION, "--session", "s", "--request-id", "r1").code == 0
    seen.terminal("tail", "r1")
    refuse = ("call", "talk", "refuse", '"We open at nine."', "--session", "t", "--request-id", "r2")
    assert seen.unseen(*refuse).code == 1
    seen.terminal("tail", "r2")
    seen.terminal("tail", "r2", "--raw")
    seen.terminal("tail", "r2", "--trusted")
    seen.pipe("tail", "r2")
    assert seen.terminal("tail", "nowhere").code == 4
    assert seen.pipe("tail").code == 2


def test_call(seen: Transcript) -> None:
    seen.terminal("call", "talk", "answer", QUESTION, "--session", "s", "--request-id", "r1")
    seen.pipe("call", "talk", "wait", "0.0", "--session", "s")
    seen.terminal("call", "talk", "wait", "0.0", "--session", "s", "--request-id", "r2")
    assert seen.terminal("call", "talk", "refuse", '"We open at nine."', "--session", "s").code == 1
    seen.terminal("call", "talk", "wait", "0.0", "--session", "s", "--detach")
    seen.pipe("call", "talk", "wait", "0.0", "--session", "s", "--detach")
    assert seen.pipe("call", "talk", "wait", "{").code == 2
    assert seen.pipe("call", "talk", "wait", '"long"', "--session", "s").code == 2
    assert seen.terminal("call", "talk", "wait", "60.0", "--request-id", "r3", "--timeout", "0.2").code == 5


def test_watch(seen: Transcript) -> None:
    assert seen.terminal("watch", "nowhere").code == 4
    assert seen.pipe("watch", "nowhere").code == 4


def test_resources(seen: Transcript, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hat.txt").write_text("A straw hat.")
    assert seen.unseen("call", "talk", "answer", QUESTION, "--session", "s").code == 0
    put = ("resources", "put", "plan", "--session", "s", "--trusted")
    seen.terminal(*put, "--state", '{"title": "A walk"}')
    seen.pipe(*put, "--content", "-", "--media-type", "text/plain", input="Bring a hat.")
    seen.terminal("resources", "list", "--session", "s")
    seen.pipe("resources", "list", "--session", "s")
    seen.terminal("resources", "get", "plan", "--session", "s")
    seen.pipe("resources", "get", "plan", "--session", "s")
    seen.terminal("resources", "get", "plan", "--session", "s", "--content", "-")
    refused = seen.terminal("resources", "put", "plan", "--session", "s", "--content", "hat.txt")
    assert refused.code == 1
    seen.terminal("resources", "delete", "plan", "--session", "s", "--trusted", typed="n\n")
    seen.terminal("resources", "delete", "plan", "--session", "s", "--trusted", "--yes")
    assert seen.pipe("resources", "get", "plan", "--session", "s").code == 4


def test_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    transcript = Transcript()
    transcript.terminal("store", "migrate", "sqlite:///chat.db")
    transcript.pipe("store", "migrate", "sqlite:///chat.db")
    transcript.terminal("store", "check", "sqlite:///chat.db")
    transcript.pipe("store", "check", "sqlite:///chat.db")
    transcript.terminal("store", "copy", "sqlite:///chat.db", "sqlite:///copy.db")
    transcript.pipe("store", "copy", "sqlite:///chat.db", "sqlite:///copy.db")
    transcript.compare("store")
