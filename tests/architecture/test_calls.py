"""``docs/reference/calls.md`` tells of every method of the contract by which names it is called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import pytest
import typer

import flowstate_client
import flowstate_client.sync
from flowstate_server.cli.application import application
from flowstate_server.model.identity import Plane
from flowstate_server.rpc.methods import OWN_METHODS

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs/reference/calls.md").read_text("utf-8")
TABLE, _, DIFFERING = PAGE.partition("## Where a name differs")
HANDLES = {
    "client": "FlowStateClient",
    "run": "RunHandle",
    "record": "ScopeHandle",
    "resource": "ResourceHandle",
    "client.resources.session(id)": "OwnedResources",
}


class Row(NamedTuple):
    method: str
    trusted: bool
    client: list[str]
    command: str


def rows() -> Mapping[str, Row]:
    found = {}
    for line in re.findall(r"^\| `\w+/\w+`.*\|$", TABLE, re.MULTILINE):
        method, client, command = (cell.strip() for cell in line.strip("|").split("|"))
        name, _, mark = method.partition(" ")
        names = re.findall(r"`([a-z][\w.()]*)`", client)
        found[name.strip("`")] = Row(name.strip("`"), mark == "T", names, command)
    return found


ROWS = rows()
DIFFERENT = set(re.findall(r"^\| `(\w+/\w+)`", DIFFERING, re.MULTILINE))


def commands(group: Any, *words: str) -> Iterator[str]:
    """All commands below ``group``."""
    if not hasattr(group, "list_commands"):
        return
    context = group.make_context("flowstate", [], resilient_parsing=True)
    for name in group.list_commands(context):
        yield " ".join([*words, name])
        yield from commands(group.get_command(context, name), *words, name)


COMMAND: Any = typer.main.get_command(application)
COMMAND.load_all()
COMMANDS = set(commands(COMMAND, "flowstate"))


def test_every_method_that_is_served_has_its_row_and_no_other() -> None:
    assert set(ROWS) == {name for name, method in OWN_METHODS.items() if method.served}
    trusted = {name for name, method in OWN_METHODS.items() if method.plane is Plane.TRUSTED}
    assert {row.method for row in ROWS.values() if row.trusted} == trusted


@pytest.mark.parametrize("package", [flowstate_client, flowstate_client.sync])
@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_the_client_has_what_the_row_names(package: Any, row: Row) -> None:
    assert row.client
    for name in row.client:
        held, _, method = name.rpartition(".")
        kind: Any = getattr(package, HANDLES.get(held) or HANDLES[held.partition(".")[0]])
        if held not in HANDLES:
            for attribute in held.split(".")[1:]:
                kind = get_type_hints(getattr(kind, attribute).fget)["return"]
        assert callable(getattr(kind, method)), name


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_there_is_a_command_or_a_reason_why_not(row: Row) -> None:
    if row.command.startswith("none: "):
        assert len(row.command) > 20
    else:
        assert row.command.startswith("`flowstate ")
    assert set(re.findall(r"`(flowstate [a-z -]+)`", row.command)) <= COMMANDS


def test_every_command_is_told_of() -> None:
    told = set(re.findall(r"`(flowstate [a-z -]+)`", TABLE))
    groups = {command.rpartition(" ")[0] for command in COMMANDS}
    missing = COMMANDS - groups - told
    assert {command for command in missing if not command.startswith("flowstate store ")} == set()


def test_names_are_those_of_the_contract_unless_the_page_says_why() -> None:
    different = set()
    for row in ROWS.values():
        verb, *noun = re.findall(r"[A-Z][a-z]+", row.method.partition("/")[2])
        last = [name.rpartition(".")[2] for name in row.client]
        fits = {verb.lower(), f"{verb.lower()}_{noun[-1].lower()}"} & set(last)
        if not fits:
            different.add(row.method)
    assert different == DIFFERENT


def test_the_client_calls_every_method() -> None:
    source = "".join(path.read_text("utf-8") for path in (CHECKOUT / "flowstate_client").glob("*.py"))
    assert {method for method in ROWS if f'"{method}"' not in source} == set()
