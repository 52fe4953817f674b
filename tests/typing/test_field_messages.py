"""What the plugin of the type checker says of wrong fields in operations on state."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).parent.parent.parent
BEGIN = """
from typing import Any, Final, Literal
from uuid import UUID
from pydantic import BaseModel
from flowstate_client import FlowStateClient
from flowstate_server.flows import Context, ScopeHandle

class Profile(BaseModel):
    name: str = ""

class Tickets(BaseModel):
    opened: int = 0
    state: Literal["open", "closed"] = "open"
    title: str = ""
    done: bool = False
    tags: list[str] = []
    tickets: dict[str, int] = {}
    by_id: dict[UUID, Profile] = {}
    profile: Profile = Profile()

    @property
    def label(self) -> str:
        return self.title

KEY: Final = "openedd"

class All(Context[Tickets, Tickets, Tickets, Tickets]): ...

async def wrong(ctx: All, client: FlowStateClient, text: str, fields: dict[str, Any]) -> None:
    s = ctx.session
    outside = client.state.session("s", model=Tickets)
"""
NO_OPENEDD = '"Tickets" has no field "openedd"; did you mean "opened"?  [flowstate-field]'
NO_TIKETS = '"Tickets" has no field "tikets"; did you mean "tickets"?  [flowstate-field]'


def incompatible(argument: str, method: str, given: str, expected: str, owner: str = "StateWriter") -> str:
    return (
        f'Argument {argument} to "{method}" of "{owner}" has incompatible type "{given}"; '
        f'expected "{expected}"  [arg-type]'
    )


def needs(method: str, kind: str, field: str, given: str) -> str:
    return f'"{method}" needs {kind}, but "{field}" of "Tickets" is "{given}"  [flowstate-field]'


def item(given: str, field: str, expected: str) -> str:
    return (
        f'Incompatible types (expression has type "{given}", TypedDict item "{field}" has type "{expected}")  '
        "[typeddict-item]"
    )


WRONG = {
    "await s.patch_state(openedd=1)": NO_OPENEDD,
    'await s.patch_state({"openedd": 1})': NO_OPENEDD,
    'await s.patch_state({**fields, "openedd": 1})': NO_OPENEDD,
    "await s.patch_state(openedd=1, **fields)": NO_OPENEDD,
    'await s.set_state({"openedd": 1})': NO_OPENEDD,
    "await s.patch_state(dict(openedd=1))": NO_OPENEDD,
    "await s.inc_state(openedd=1)": NO_OPENEDD,
    "await s.at(3).inc_state(openedd=1)": NO_OPENEDD,
    "await ctx.user.patch_state(openedd=1)": NO_OPENEDD,
    "await ctx.request.patch_state(openedd=1)": NO_OPENEDD,
    "if ctx.org is not None: await ctx.org.patch_state(openedd=1)": NO_OPENEDD,
    "ctx.run(s.patch_state(openedd=1))": NO_OPENEDD,
    "async with s.batch() as batch: batch.patch_state(openedd=1)": NO_OPENEDD,
    'await s.unset_state("opened", "openedd")': NO_OPENEDD,
    's.get("openedd")': NO_OPENEDD,
    'await s.atomic_state(lambda state: {"openedd": state.opened + 1})': NO_OPENEDD,
    "await s.atomic_state(lambda state: {KEY: state.opened + 1})": NO_OPENEDD,
    "await s.atomic_state(lambda state: dict(openedd=1))": NO_OPENEDD,
    'await s.atomic_state(lambda state: {"opened": 1} if text else {"openedd": 1})': NO_OPENEDD,
    'await s.atomic_state(lambda state: state.model_copy(update={"openedd": 1}))': NO_OPENEDD,
    'await s.atomic_state(lambda state: {"opened": text, "title": text})': item("str", "opened", "int"),
    'await s.atomic_state(lambda state: {"opened": state.title})': item("str", "opened", "int"),
    'await s.atomic_state(lambda state: {"title": "a"} if fields else {"opened": text})': item(
        "str", "opened", "int"
    ),
    'await s.atomic_state(lambda state: {"tags": [*state.tags, 1]})': (
        'List item 1 has incompatible type "int"; expected "str"  [list-item]'
    ),
    'await outside.atomic_state(lambda state: {"opened": text})': item("str", "opened", "int"),
    "await outside.patch_state(openedd=1)": NO_OPENEDD,
    "await outside.at(3).inc_state(openedd=1)": NO_OPENEDD,
    "await outside.if_exists().patch_state(openedd=1)": NO_OPENEDD,
    'await outside.atomic_state(lambda state: {"openedd": state.opened + 1})': NO_OPENEDD,
    "async with outside.batch() as batch1: batch1.patch_state(openedd=1)": NO_OPENEDD,
    'async with client.state.batch() as b2: b2.user("u", model=Tickets).inc_state(openedd=1)': NO_OPENEDD,
    'await outside.push_state("tickets", 1)': needs("push_state", "a list", "tickets", "dict[str, int]"),
    'await outside.push_state("tags", 1)': incompatible("2", "push_state", "int", "str", "StateVerbs"),
    'await s.set_state_record("tikets", "a", 1)': NO_TIKETS,
    'await s.delete_state_record("tikets", "a")': NO_TIKETS,
    'await s.push_state("nothing", 1)': '"Tickets" has no field "nothing"  [flowstate-field]',
    'await s.patch_state(label="a")': '"Tickets" has no field "label"  [flowstate-field]',
    "await s.inc_state(tickets=1)": needs("inc_state", "a number", "tickets", "dict[str, int]"),
    "await s.inc_state(done=1)": needs("inc_state", "a number", "done", "bool"),
    'await s.inc_state({"title": 1})': needs("inc_state", "a number", "title", "str"),
    'await s.push_state("opened", 1)': needs("push_state", "a list", "opened", "int"),
    'await s.push_state("tickets", 1)': needs("push_state", "a list", "tickets", "dict[str, int]"),
    'await s.push_state("profile", 1)': needs("push_state", "a list", "profile", "Profile"),
    'await s.set_state_record("opened", "a", 1)': needs("set_state_record", "a map", "opened", "int"),
    'await s.delete_state_record("tags", "a")': needs("delete_state_record", "a map", "tags", "list[str]"),
    "await s.patch_state(opened=text)": incompatible('"opened"', "patch_state", "str", "int"),
    "await s.patch_state(opened=None)": incompatible('"opened"', "patch_state", "None", "int"),
    'await s.patch_state(state="shut")': incompatible(
        '"state"', "patch_state", "Literal['shut']", "Literal['open', 'closed']"
    ),
    'await s.patch_state({"opened": text})': item("str", "opened", "int"),
    "await s.patch_state(tags=[1])": 'List item 0 has incompatible type "int"; expected "str"  [list-item]',
    "await s.patch_state(tags=text)": 'a value of type "str" is no "list[str]"  [flowstate-field]',
    "await s.inc_state(opened=0.5)": incompatible('"opened"', "inc_state", "float", "int"),
    'await s.push_state("tags", 1)': incompatible("2", "push_state", "int", "str"),
    'await s.set_state_record("tickets", 5, 1)': incompatible("2", "set_state_record", "int", "str"),
    'await s.set_state_record("tickets", "a", text)': incompatible("3", "set_state_record", "str", "int"),
    'await s.set_state_record("by_id", 5, Profile())': incompatible(
        "2", "set_state_record", "int", "UUID | str"
    ),
    'await s.delete_state_record("tickets", 5)': incompatible("2", "delete_state_record", "int", "str"),
}


FUNCTIONS = """
def shared(state: Tickets) -> dict[str, Any]:
    return {"openedd": state.opened}  # told: 1

def other(state: Tickets) -> dict[str, Any]:
    return {"openedd": state.opened}

def traced(change: Any) -> Any:
    return change

async def by_functions(ctx: All, client: FlowStateClient, text: str) -> None:
    def change(state: Tickets) -> dict[str, Any]:
        def inner() -> dict[str, int]:
            return {"nothing": 1}

        if state.opened:
            return {"openedd": 1, **inner()}  # told: 2
        for tag in state.tags:
            with open(tag):
                try:
                    return dict(openedd=1)  # told: 3
                except OSError:
                    return {text: 1, "opened": 1}
                finally:
                    print(lambda: {"nothing": 1})
        while text:
            match text:
                case "a":
                    return {"openedd": 1} if tag else {"opened": 1}  # told: 4
        return {"opened": 1}

    def copied(state: Tickets) -> Tickets:
        if state.opened:
            return state.model_copy(update={"opened": 1})
        return state.model_copy(update={"openedd": 1})  # told: 5

    @traced
    def decorated(state: Tickets) -> dict[str, Any]:
        return {"openedd": 1}

    await ctx.session.atomic_state(change)
    await ctx.session.atomic_state(copied)
    await ctx.user.atomic_state(shared)
    await ctx.user.atomic_state(shared)
    await ctx.user.atomic_state(decorated)
    await client.state.session("s", model=Tickets).atomic_state(shared)
"""


@pytest.mark.timeout(180)
def test_what_functions_return_is_told_where_it_is_returned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    source = tmp_path / "functions.py"
    text = BEGIN[: BEGIN.index("async def wrong")] + FUNCTIONS
    source.write_text(text)

    report, problems, _ = api.run(["--no-error-summary", "--cache-dir", str(tmp_path / "cache"), str(source)])

    assert problems == ""
    expected = [number for number, line in enumerate(text.splitlines(), 1) if "# told: " in line]
    found = re.findall(r"functions\.py:(\d+): error: (.*)", report)
    assert found == [(str(number), NO_OPENEDD) for number in expected]
    assert len(report.splitlines()) == len(expected), report


@pytest.mark.timeout(180)
def test_wrong_fields_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    source = tmp_path / "wrong.py"
    source.write_text(BEGIN + "".join(f"    {line}\n" for line in WRONG))

    report, problems, _ = api.run(["--no-error-summary", "--cache-dir", str(tmp_path / "cache"), str(source)])

    assert problems == ""
    found = dict(re.findall(r"wrong\.py:(\d+): error: (.*)", report))
    first = BEGIN.count("\n") + 1
    assert {line: found.get(str(first + at)) for at, line in enumerate(WRONG)} == WRONG
    assert len(report.splitlines()) == len(WRONG), report
