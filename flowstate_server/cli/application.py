"""All commands, of which only the one that is used is loaded: completion answers at once, and no command waits for the
libraries of another."""

from __future__ import annotations

from typing import Annotated

import typer

from flowstate_server.cli.completing import keep_files_from_bash
from flowstate_server.cli.help_examples import examples
from flowstate_server.cli.lazy_commands import LazyCommand, LazyGroup


class _Commands(LazyGroup):
    lazy_commands = (
        LazyCommand(
            "serve",
            "flowstate_server.cli.serve:serve",
            "Serve the flows of APP until SIGTERM or Ctrl-C.",
            examples(
                "flowstate serve my_chat:flowstate --store sqlite:///chat.db",
                "flowstate serve my_chat:flowstate --reload",
            ),
        ),
        LazyCommand("check", "flowstate_server.cli.check:check", "Check whether APP can be deployed."),
        LazyCommand(
            "client-stub",
            "flowstate_server.cli.client_stub:client_stub",
            "Write a typed Python client of APP's flows.",
            examples("flowstate client-stub my_chat:flowstate > my_client.py"),
        ),
        LazyCommand(
            "call",
            "flowstate_server.cli.call:call",
            "Run an action and print its output.",
            examples(
                'flowstate call chat say \'{"message": "hello"}\' --session s1',
                "cat input.json | flowstate call chat say -",
                'flowstate call chat say \'{"message": "hello"}\' --detach | jq -r .request_id',
            ),
        ),
        LazyCommand(
            "tail",
            "flowstate_server.cli.tail:tail",
            "Follow a request until it ends, or a session until it is deleted.",
            examples(
                "flowstate tail REQUEST_ID",
                "flowstate tail --session SESSION_ID",
                "flowstate tail REQUEST_ID | jq -r 'select(.type == \"item.delta\").text'",
            ),
        ),
        LazyCommand(
            "watch",
            "flowstate_server.cli.watch:watch",
            "Watch what clients see of a session.",
            examples("flowstate watch SESSION_ID", "flowstate watch SESSION_ID | jq .client_data.session"),
        ),
        LazyCommand(
            "snapshot",
            "flowstate_server.cli.snapshot:snapshot",
            "Show what clients see of a session.",
            examples(
                "flowstate snapshot SESSION_ID",
                "flowstate snapshot SESSION_ID session.title user | jq .client_data",
            ),
        ),
        LazyCommand(
            "items",
            "flowstate_server.cli.items:items",
            "List what was said in a session.",
            examples(
                "flowstate items SESSION_ID --last-turns 3",
                "flowstate items SESSION_ID --limit 0 | jq -r '.content.parts[]?.text'",
            ),
        ),
        LazyCommand(
            "sessions", "flowstate_server.cli.sessions:sessions", "Find, make, change and delete sessions."
        ),
        LazyCommand(
            "requests", "flowstate_server.cli.requests:requests", "See what ran and what runs, and stop it."
        ),
        LazyCommand(
            "state",
            "flowstate_server.cli.state:state",
            "Read and write state of sessions, users and orgs, and copy it between records.",
        ),
        LazyCommand(
            "resources",
            "flowstate_server.cli.resources:resources",
            "Read and write the resources of an owner.",
        ),
        LazyCommand(
            "journal", "flowstate_server.cli.journal:journal", "Read and write notes about a session."
        ),
        LazyCommand(
            "flows",
            "flowstate_server.cli.flows:flows",
            "List the flows of the server; of one its actions.",
            examples(
                "flowstate flows", "flowstate flows chat", "flowstate flows chat | jq '.actions[].name'"
            ),
        ),
        LazyCommand(
            "info",
            "flowstate_server.cli.info:info",
            "Show the server's version, its limits, and what it serves.",
            examples("flowstate info", "flowstate info | jq .limits.max_state_bytes"),
        ),
        LazyCommand(
            "health",
            "flowstate_server.cli.health:health",
            "Tell whether the server takes calls.",
            examples("flowstate health", "flowstate health --wait 30 && flowstate call chat say '{}'"),
        ),
        LazyCommand(
            "store", "flowstate_server.cli.store:store", "Migrate, check and copy stores that no server uses."
        ),
    )


keep_files_from_bash()
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
