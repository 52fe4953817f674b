"""``flowstate resources``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.flowstate_command import Done, flowstate, started, told


@pytest.fixture(scope="module")
def planner() -> Iterator[str]:
    """The address of a server whose sessions have resources."""
    with started("serve", "tests.cli.resource_flow:planner", "--listen", "127.0.0.1:0") as process:
        yield str(told(process, "listening")["address"])


@pytest.fixture
def session(planner: str, request: pytest.FixtureRequest) -> str:
    name = str(request.node.name)[:60]
    assert (
        flowstate("call", "planner", "begin", "--session", name, "--user", "ada", "--server", planner).code
        == 0
    )
    return name


def resources(planner: str, *arguments: str, trusted: bool = True, input: str = "") -> Done:
    plane = ("--trusted",) if trusted else ()
    return flowstate("resources", *arguments, *plane, "--server", planner, input=input)


def said(done: Done) -> list[dict[str, Any]]:
    assert done.code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_they_are_put_listed_got_and_deleted(planner: str, session: str, tmp_path: Path) -> None:
    of = ("--session", session)
    source = tmp_path / "plan.md"
    source.write_bytes(b"# Plan\n")
    put = resources(
        planner, "put", "plan", "--state", '{"title": "Plan", "secret": "s"}', "--content", str(source), *of
    )
    assert said(put) == [{"name": "plan", "version": 1, "changed": True}]
    large = tmp_path / "large"
    large.write_bytes(b"x" * 3_000_000)
    put = resources(planner, "put", "files/a", "--content", str(large), "--media-type", "text/plain", *of)
    assert said(put) == [{"name": "files/a", "version": 1, "changed": True}]
    put = resources(planner, "put", "plan", "--state", "-", *of, input='{"title": "Other"}')
    assert said(put) == [{"name": "plan", "version": 2, "changed": True}]
    listed = said(resources(planner, "list", *of))
    assert [(one["name"], one["size"], one["version"]) for one in listed] == [
        ("files/a", 3_000_000, 1),
        ("plan", 7, 2),
    ]
    assert [one["name"] for one in said(resources(planner, "list", "files/", *of))] == ["files/a"]
    (got,) = said(resources(planner, "get", "plan", *of))
    assert got["state"] == {"title": "Other", "secret": ""}
    (shown,) = said(resources(planner, "get", "plan", *of, trusted=False))
    assert shown["state"] == {"title": "Other"}
    target = tmp_path / "copy"
    assert resources(planner, "get", "files/a", "--content", str(target), *of).code == 0
    assert target.read_bytes() == large.read_bytes()
    assert resources(planner, "get", "plan", "--content", "-", *of).stdout == "# Plan\n"
    assert resources(planner, "delete", "plan", *of).code == 0
    again = resources(planner, "delete", "plan", *of)
    assert again.code == 4
    assert "RESOURCE_NOT_FOUND" in again.stderr
    assert resources(planner, "delete", "plan", "--allow-missing", *of).code == 0


def test_content_comes_from_stdin(planner: str, session: str) -> None:
    put = resources(planner, "put", "plan", "--content", "-", "--session", session, input="piped")
    assert said(put)[0]["changed"]
    assert resources(planner, "get", "plan", "--content", "-", "--session", session).stdout == "piped"


def test_those_of_a_user(planner: str) -> None:
    of = ("--of-user", "ada", "--flow", "planner")
    assert said(resources(planner, "put", "profile", "--state", '{"title": "Ada"}', *of))
    assert [one["name"] for one in said(resources(planner, "list", *of))] == ["profile"]


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("list",), 2, "name one owner"),
        (("list", "--session", "s", "--of-user", "ada"), 2, "name one owner"),
        (("put", "plan", "--state", "{", "--session", "s"), 2, "the state is not JSON"),
        (("put", "plan", "--state", "-", "--content", "-", "--session", "s"), 2, "only one of"),
        (("put", "plan", "--content", "/no/such/file", "--session", "s"), 1, "/no/such/file: No such file"),
        (("get", "plan", "--session", "never-made"), 4, "SESSION_NOT_FOUND"),
    ],
)
def test_what_is_asked_wrongly(planner: str, arguments: tuple[str, ...], code: int, problem: str) -> None:
    done = resources(planner, *arguments)
    assert (done.code, done.stdout) == (code, "")
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


def test_writing_takes_a_trusted_caller(planner: str, session: str) -> None:
    done = resources(planner, "put", "plan", "--content", "-", "--session", session, trusted=False, input="x")
    assert done.code == 1
    assert "ACCESS_DENIED" in done.stderr
    assert "give --trusted" in done.stderr
    assert "connect(" not in done.stderr
