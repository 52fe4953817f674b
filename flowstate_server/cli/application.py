"""All commands."""

from __future__ import annotations

from typing import Annotated

import typer

from flowstate_client.config import client_version
from flowstate_server.cli.call import call
from flowstate_server.cli.check import check
from flowstate_server.cli.commands import Command, Group
from flowstate_server.cli.flows import flows
from flowstate_server.cli.health import health
from flowstate_server.cli.help_examples import examples
from flowstate_server.cli.info import info
from flowstate_server.cli.items import items
from flowstate_server.cli.journal import journal
from flowstate_server.cli.requests import requests
from flowstate_server.cli.resources import resources
from flowstate_server.cli.serve import serve
from flowstate_server.cli.sessions import sessions
from flowstate_server.cli.snapshot import snapshot
from flowstate_server.cli.state import state
from flowstate_server.cli.store import store
from flowstate_server.cli.tail import tail
from flowstate_server.cli.watch import watch

application = typer.Typer(
    name="flowstate",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"flowstate {client_version()}")
        raise typer.Exit


@application.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Keep the state of AI applications."""


application.command(cls=Command)(serve)
application.command(cls=Command)(check)
application.command(cls=Command)(call)
application.command(cls=Command)(tail)
application.command(cls=Command)(watch)
application.command(
    cls=Command,
    epilog=examples(
        "flowstate snapshot SESSION_ID",
        "flowstate snapshot SESSION_ID session.title user | jq .client_data",
    ),
)(snapshot)
application.command(
    cls=Command,
    epilog=examples(
        "flowstate items SESSION_ID --last-turns 3",
        "flowstate items SESSION_ID --limit 0 | jq -r '.content.parts[]?.text'",
    ),
)(items)
application.add_typer(sessions)
application.add_typer(requests)
application.add_typer(state)
application.add_typer(resources)
application.add_typer(journal)
application.command(
    cls=Command,
    epilog=examples("flowstate flows", "flowstate flows chat", "flowstate flows chat | jq '.actions[].name'"),
)(flows)
application.command(
    cls=Command, epilog=examples("flowstate info", "flowstate info | jq .limits.max_state_bytes")
)(info)
application.command(
    cls=Command,
    epilog=examples("flowstate health", "flowstate health --wait 30 && flowstate call chat say '{}'"),
)(health)
application.add_typer(store)
