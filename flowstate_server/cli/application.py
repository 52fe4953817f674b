"""All commands, of which only the one that is used is loaded: completion answers at once, and no command waits for the
libraries of another."""

from __future__ import annotations

from typing import Annotated

import typer

from flowstate_server.cli.lazy_commands import LazyCommand, LazyGroup


class _Commands(LazyGroup):
    lazy_commands = (
        LazyCommand("serve", "flowstate_server.cli.serve:serve", "Serve the flows of an app."),
        LazyCommand(
            "check", "flowstate_server.cli.check:check", "Check ahead of a deploy whether it can be made."
        ),
        LazyCommand("call", "flowstate_server.cli.call:call", "Run an action and print its output."),
        LazyCommand("tail", "flowstate_server.cli.tail:tail", "Follow a request or a session, live."),
        LazyCommand("watch", "flowstate_server.cli.watch:watch", "Watch what clients see of a session."),
        LazyCommand(
            "sessions", "flowstate_server.cli.sessions:sessions", "Find, make, change and delete sessions."
        ),
        LazyCommand(
            "store", "flowstate_server.cli.store:store", "Migrate, check and copy stores that no server uses."
        ),
        LazyCommand(
            "state", "flowstate_server.cli.state:state", "Copy what users and orgs have between records."
        ),
        LazyCommand(
            "resources",
            "flowstate_server.cli.resources:resources",
            "Read and write the resources of an owner.",
        ),
    )


application = typer.Typer(
    name="flowstate",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from flowstate_client.config import client_version

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
