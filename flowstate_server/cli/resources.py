"""``flowstate resources``: what sessions, users and orgs have beside their state."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal

from flowstate_server.cli.asking import Yes, ask
from flowstate_server.cli.commands import Command, Group
from flowstate_server.cli.connection import ORG_VARIABLE, USER_VARIABLE, Connection, Trusted
from flowstate_server.cli.help_examples import examples
from flowstate_server.cli.json_argument import json_argument
from flowstate_server.cli.listing import DEFAULT_LIMIT, Limit, page_size, show_list
from flowstate_server.cli.option_groups import with_option_groups
from flowstate_server.cli.problem import FAILED, MISUSED, give_up
from flowstate_server.cli.progress import BytesBar
from flowstate_server.cli.tables import Column, show_record
from flowstate_server.cli.telling import on_terminal, say, say_json
from flowstate_server.cli.terminal_text import json_lines, plain, quoted

if TYPE_CHECKING:
    from flowstate_client import FlowStateClient, OwnedResources, ResourceHandle, ResourceRecord

resources = typer.Typer(
    name="resources", cls=Group, no_args_is_help=True, help="Read and write the resources of an owner."
)

_COLUMNS = (Column("NAME", "wrap"), Column("VERSION"), Column("CONTENT"), Column("TYPE"))
Name = Annotated[str, typer.Argument(help="Name of the resource.")]


@dataclass(frozen=True)
class _Connection(Connection):
    user: Annotated[
        str,
        typer.Option(
            envvar=USER_VARIABLE,
            help="Who asks, as a user; else one who may ask for all of them. A token decides by itself.",
        ),
    ] = ""
    org: Annotated[
        str,
        typer.Option(
            envvar=ORG_VARIABLE,
            help="Who asks, as an org; else one who may ask for all of them. A token decides by itself.",
        ),
    ] = ""
    trusted: Trusted = False


@dataclass(frozen=True)
class _Owner:
    session: Annotated[str, typer.Option(metavar="ID", help="Whose they are: a session's,")] = ""
    of_user: Annotated[str, typer.Option(metavar="ID", help="a user's,")] = ""
    of_org: Annotated[str, typer.Option(metavar="ID", help="or an org's.")] = ""
    flow: Annotated[
        str,
        typer.Option("--flow", metavar="KIND", help="The flow that declares it, of a user's or an org's."),
    ] = ""

    def run(self, connection: Connection, work: Callable[[OwnedResources], Awaitable[None]]) -> None:
        if [bool(self.session), bool(self.of_user), bool(self.of_org)].count(True) != 1:
            give_up("name one owner, by --session ID, --of-user ID or --of-org ID", MISUSED)

        async def on_resources(client: FlowStateClient) -> None:
            await work(self._resources(client))

        try:
            connection.run(on_resources)
        except OSError as error:
            give_up(f"{error.filename}: {error.strerror}" if error.filename else str(error), FAILED)

    def _resources(self, client: FlowStateClient) -> OwnedResources:
        if self.session:
            return client.resources.session(self.session, flow_kind=self.flow)
        elif self.of_user:
            return client.resources.user(self.of_user, flow_kind=self.flow)
        else:
            return client.resources.org(self.of_org, flow_kind=self.flow)


@resources.command(
    "list",
    cls=Command,
    epilog=examples(
        "flowstate resources list --session SESSION_ID",
        "flowstate resources list files/ --of-user ada --flow chat | jq -r .name",
    ),
)
@with_option_groups
def list_(
    prefix: Annotated[str, typer.Argument(help="Only names that begin so.")] = "",
    limit: Limit = DEFAULT_LIMIT,
    *,
    owner: _Owner,
    connection: _Connection,
) -> None:
    """List resources by name."""

    async def work(owned: OwnedResources) -> None:
        found = owned.list(prefix, page_size=page_size(limit))
        await show_list(found, limit, columns=_COLUMNS, row=_row, told=_told)

    owner.run(connection, work)


@resources.command(
    cls=Command,
    epilog=examples(
        "flowstate resources get plan --session SESSION_ID",
        "flowstate resources get report.pdf --session SESSION_ID --content report.pdf",
    ),
)
@with_option_groups
def get(
    name: Name,
    content: Annotated[
        str,
        typer.Option(metavar="FILE|-", help="Write the content to this file, or to stdout, instead."),
    ] = "",
    *,
    owner: _Owner,
    connection: _Connection,
) -> None:
    """Print a resource without its content, or write its content to a file."""

    async def work(owned: OwnedResources) -> None:
        if not content:
            _print(await owned[name].get())
        elif content != "-":
            with BytesBar(name) as bar:
                await owned[name].download(content, progress=bar.show)
        else:
            await _to_stdout(owned[name])

    owner.run(connection, work)


@resources.command(
    cls=Command,
    epilog=examples(
        "flowstate resources put plan --session s1 --trusted --state '{\"days\": 3}'",
        "flowstate resources put report.pdf --of-user ada --trusted \\",
        "  --content report.pdf --media-type application/pdf",
    ),
)
@with_option_groups
def put(
    name: Name,
    state: Annotated[
        str,
        typer.Option(
            metavar="JSON|-",
            help="The whole state, in place of the one that is there; - reads it from stdin.",
        ),
    ] = "",
    content: Annotated[
        str, typer.Option(metavar="FILE|-", help="The content, from a file or from stdin.")
    ] = "",
    media_type: Annotated[str, typer.Option(metavar="TYPE", help="What the content is.")] = "",
    *,
    owner: _Owner,
    connection: _Connection,
) -> None:
    """Create a resource, or replace its whole state, its content, or both, and print its version. Needs --trusted.

    What is not given stays. State and content together, up to 1 MiB, are one commit; content alone may have 64 MiB.
    """
    from flowstate_client import UNSET

    if state == content == "-":
        give_up("only one of --state and --content can be read from stdin", MISUSED)
    value = json_argument(state, "the state") if state else UNSET
    given = _read(content) if content and value is not UNSET else None

    async def work(owned: OwnedResources) -> None:
        if content and value is UNSET:
            source = sys.stdin.buffer.read() if content == "-" else Path(content)
            with BytesBar(name) as bar:
                write = await owned[name].upload(source, media_type=media_type, progress=bar.show)
        else:
            write = await owned[name].put(state=value, content=given, media_type=media_type or None)
        told = {"name": name, "version": write.version, "changed": write.changed}
        words = f"{quoted(name)} version {write.version}{'' if write.changed else ', as it was'}"
        say(told, words)

    owner.run(connection, work)


@resources.command(
    cls=Command,
    epilog=examples(
        "flowstate resources delete plan --session SESSION_ID --trusted",
    ),
)
@with_option_groups
def delete(
    name: Name,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="One that is not there is fine.")
    ] = False,
    yes: Yes = False,
    *,
    owner: _Owner,
    connection: _Connection,
) -> None:
    """Delete a resource. Needs --trusted."""
    ask(f"Delete resource {plain(name)} with its content?", yes=yes)

    async def work(owned: OwnedResources) -> None:
        await owned[name].delete(allow_missing=allow_missing)

    owner.run(connection, work)


async def _to_stdout(resource: ResourceHandle[Any]) -> None:
    # On a terminal the content itself shows how far it is.
    with nullcontext() if on_terminal() else BytesBar(resource.name) as bar:
        async with resource.read_pieces(progress=bar.show if bar else None) as pieces:
            async for piece in pieces:
                sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def _row(record: ResourceRecord[Any]) -> tuple[str, ...]:
    return (plain(record.name), str(record.version), decimal(record.size), plain(record.media_type))


def _read(content: str) -> bytes:
    if content == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(content).read_bytes()
    except OSError as error:
        give_up(f"{content}: {error.strerror}", FAILED)


def _print(record: ResourceRecord[Any]) -> None:
    if not on_terminal():
        say_json(_told(record))
        return
    content = f"{decimal(record.size)} {plain(record.media_type)}".rstrip()
    facts = (("name", plain(record.name)), ("version", str(record.version)), ("content", content))
    show_record([*facts, ("sha256", record.sha256), ("state", json_lines(record.state))])


def _told(record: ResourceRecord[Any]) -> dict[str, Any]:
    names = ("name", "version", "size", "media_type", "sha256", "state")
    return {name: getattr(record, name) for name in names}
