"""``flowstate state get``, ``patch``, ``inc`` and ``delete``: one record, by whose it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer

from flowstate_client import FlowStateClient, ScopeHandle, StateRecord, StateWrite
from flowstate_server.cli.asking import Yes, ask
from flowstate_server.cli.callers import AsTrusted
from flowstate_server.cli.json_argument import json_object
from flowstate_server.cli.option_groups import with_option_groups
from flowstate_server.cli.problem import MISUSED, give_up, note
from flowstate_server.cli.tables import show_record
from flowstate_server.cli.telling import on_terminal, say, say_json
from flowstate_server.cli.terminal_text import json_lines, plain, short_time


class Owner(StrEnum):
    SESSION = "session"
    USER = "user"
    ORG = "org"


class Shared(StrEnum):
    USER = "user"
    ORG = "org"


Of = Annotated[Owner, typer.Argument(metavar="SCOPE", help="Whose: a session's, a user's or an org's.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The id of that.")]
At = Annotated[
    int | None,
    typer.Option(
        "--at", min=0, metavar="VERSION", help="Only if the record is at this version; 0: never written."
    ),
]


@dataclass(frozen=True)
class Eyes:
    """Through which flow's eyes a user's or an org's record is meant."""

    flow: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="As this flow sees it: its private record if it isolates the scope, else the shared one.",
        ),
    ] = ""
    isolated: Annotated[
        bool, typer.Option("--isolated", help="The flow's private record, also if it isolates no more.")
    ] = False

    def record(self, client: FlowStateClient, owner: str, id: str) -> ScopeHandle[Any]:
        flow = self.flow or None
        if owner == Owner.SESSION:
            return client.state.session(id, flow_kind=flow)
        if owner == Owner.USER:
            return client.state.user(id, flow_kind=flow, isolated=self.isolated)
        return client.state.org(id, flow_kind=flow, isolated=self.isolated)

    def check(self, owner: str) -> None:
        if owner == Owner.SESSION and (self.flow or self.isolated):
            give_up("--flow and --isolated are for user and org: a session belongs to one flow", MISUSED)
        if self.isolated and not self.flow:
            give_up("--isolated needs --flow KIND, whose private record is meant", MISUSED)


@with_option_groups
def get(
    owner: Of,
    id: Id,
    paths: Annotated[
        list[str] | None,
        typer.Option(
            "--path",
            metavar="POINTER",
            help="Only what lies there, such as /by_id/doc-1; may be given again. Elements of lists have no path.",
        ),
    ] = None,
    *,
    eyes: Eyes,
    connection: AsTrusted,
) -> None:
    """Show the state of a session, a user or an org, with its version.

    Fields that were never written show their defaults, also of a record that does not exist. Calls as a trusted caller,
    with a token as what that is for.
    """
    eyes.check(owner)

    async def work(client: FlowStateClient) -> None:
        record = await eyes.record(client, owner, id).get(paths=paths or ())
        if on_terminal():
            show_record(
                [(owner, plain(id)), ("version", _standing(record)), ("state", json_lines(record.state))]
            )
        else:
            say_json(
                {
                    "scope": owner,
                    f"{owner}_id": id,
                    "exists": record.exists,
                    "version": record.version,
                    "state": record.state,
                    "schema_hash": record.schema_hash,
                    "create_time": record.create_time,
                    "update_time": record.update_time,
                    "incarnation": record.incarnation,
                }
            )
        for path in paths or ():
            if not _is_in(record.state, path):
                note(
                    f"there is nothing at {path}; paths lead to fields and to keys, not to elements of lists"
                )

    connection.run(work)


def _is_in(state: Any, path: str) -> bool:
    """Whether ``state`` has something at that JSON Pointer."""
    for escaped in path.split("/")[1:]:
        key = escaped.replace("~1", "/").replace("~0", "~")
        if not isinstance(state, Mapping) or key not in state:
            return False
        state = state[key]
    return True


@with_option_groups
def patch(
    owner: Of,
    id: Id,
    fields: Annotated[
        str, typer.Argument(metavar="FIELDS_JSON|-", help="The fields to set, an object; - reads stdin.")
    ],
    at: At = None,
    *,
    eyes: Eyes,
    connection: AsTrusted,
) -> None:
    """Set fields of a state, leave the others, and print its version.

    Calls as a trusted caller, with a token as what that is for.
    """
    eyes.check(owner)
    given = json_object(fields, "FIELDS_JSON")

    async def work(client: FlowStateClient) -> None:
        _tell(owner, id, await _at(eyes.record(client, owner, id), at).patch_state(given))

    connection.run(work)


@with_option_groups
def inc(
    owner: Of,
    id: Id,
    deltas: Annotated[
        list[str],
        typer.Argument(metavar="NAME=NUMBER...", help="Fields and what to add to them.", show_default=False),
    ],
    at: At = None,
    *,
    eyes: Eyes,
    connection: AsTrusted,
) -> None:
    """Add to numbers in a state, losing nobody's, and print its version.

    A missing field starts at its default, else at 0. Calls as a trusted caller, with a token as what that is for.
    """
    eyes.check(owner)
    given = dict(_delta(one) for one in deltas)

    async def work(client: FlowStateClient) -> None:
        _tell(owner, id, await _at(eyes.record(client, owner, id), at).inc_state(given))

    connection.run(work)


@with_option_groups
def delete(
    owner: Annotated[Shared, typer.Argument(metavar="SCOPE", help="Whose: user or org.")],
    id: Id,
    at: At = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="One that is not there is fine.")
    ] = False,
    yes: Yes = False,
    *,
    eyes: Eyes,
    connection: AsTrusted,
) -> None:
    """Delete the state and the resources of a user or an org. A session's go with it: flowstate sessions delete.

    Calls as a trusted caller, with a token as what that is for.
    """
    eyes.check(owner)
    which = f"the record that flow {plain(eyes.flow)} has" if eyes.flow else "the record"
    ask(f"Delete {which} of {owner} {plain(id)}, resources included?", yes=yes)

    async def work(client: FlowStateClient) -> None:
        await _at(eyes.record(client, owner, id), at).delete(allow_missing=allow_missing)

    connection.run(work)


def _standing(record: StateRecord[Any]) -> str:
    if record.exists:
        return f"{record.version}, written {short_time(record.update_time)}"
    return f"{record.version}, deleted" if record.version else "0, never written"


def _at(record: ScopeHandle[Any], version: int | None) -> ScopeHandle[Any]:
    return record if version is None else record.at(version)


def _delta(given: str) -> tuple[str, float]:
    name, equals, number = given.rpartition("=")
    try:
        value = json.loads(number)
    except ValueError:
        value = None
    if not equals or not name or isinstance(value, bool) or not isinstance(value, int | float):
        give_up(f"{given!r} is not NAME=NUMBER, such as visits=1", MISUSED)
    return name, value


def _tell(owner: str, id: str, write: StateWrite) -> None:
    words = f"{owner} {plain(id)}: version {write.version}{'' if write.changed else ', as it was'}"
    say({"scope": owner, f"{owner}_id": id, "version": write.version, "changed": write.changed}, words)
