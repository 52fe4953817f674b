"""``flowstate call``: an action as a command."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.highlighter import JSONHighlighter

from flowstate_server.cli.connection import ORG_VARIABLE, USER_VARIABLE, Connection, Trusted
from flowstate_server.cli.json_argument import json_argument
from flowstate_server.cli.login_name import login_name
from flowstate_server.cli.option_groups import with_option_groups
from flowstate_server.cli.telling import json_line, on_terminal, say, say_json
from flowstate_server.cli.terminal_text import json_lines, plain

if TYPE_CHECKING:
    from flowstate_client import FlowStateClient, FlowStateError, RunHandle

# Patience for the request to be stored, which is no part of the wait for its end. Chosen.
DISPATCH_SECONDS = 10.0


@dataclass(frozen=True)
class _Connection(Connection):
    trusted: Trusted = False


@with_option_groups
def call(
    flow: Annotated[str, typer.Argument(metavar="FLOW", help="Kind of the flow.")],
    action: Annotated[str, typer.Argument(metavar="ACTION", help="Name of the action.")],
    input: Annotated[
        str, typer.Argument(metavar="[INPUT_JSON|-]", help="The input; - reads it from stdin.")
    ] = "{}",
    session: Annotated[
        str, typer.Option(help="The session; a new id makes a new one, none an ephemeral one.")
    ] = "",
    user: Annotated[
        str,
        typer.Option(
            envvar=USER_VARIABLE, help="The user; if not given, and without a token, you by your login name."
        ),
    ] = "",
    org: Annotated[str, typer.Option(envvar=ORG_VARIABLE, help="The org.")] = "",
    request_id: Annotated[
        str, typer.Option(help="An id of your own: repeating the command attaches to the first request.")
    ] = "",
    timeout: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="How long to wait; the run goes on after that. 0: not at all."
        ),
    ] = 60.0,
    detach: Annotated[
        bool, typer.Option("--detach", help="Do not wait: print the id of the request, by which to tail it.")
    ] = False,
    *,
    connection: _Connection,
) -> None:
    """Run an action and print its output: pretty on a terminal, one line of JSON in a pipe.

    On a terminal what it says is shown while it runs. Its request and session are told on stderr as soon as it has been
    dispatched, with --detach on stdout.
    """
    from flowstate_server.cli.shown_run import shown_meanwhile

    caller = user or ("" if connection.token else login_name())
    value = json_argument(input, "the input")

    async def work(client: FlowStateClient) -> Any:
        run = await client.flows.dispatch(
            flow,
            action,
            value,
            session_id=session or None,
            user_id=caller,
            org_id=org or None,
            request_id=request_id or None,
            timeout=max(timeout, DISPATCH_SECONDS),
        )
        if detach:
            _print_dispatched(run)
            raise typer.Exit
        _announce(run)
        if not timeout:
            raise typer.Exit
        async with shown_meanwhile(run):
            return await run.result(timeout=timeout)

    def hint(error: FlowStateError) -> str:
        from flowstate_client import ActionFailed, SessionNotFound

        if isinstance(error, SessionNotFound):  # a new id would have made one
            create = ("flowstate", "sessions", "create", flow, "--id", session)
            make = shlex.join((*create, "--user", caller) if caller else create)
            return f"if it was deleted, {make} makes it anew"
        if isinstance(error, ActionFailed) and error.failure.error_id:
            return "the server's log has why, under this error id"
        return ""

    _print(connection.run(work, user=caller, hint=hint))


def _print_dispatched(run: RunHandle) -> None:
    """What a script reads the id from."""
    words = f"request {run.request_id} in session {run.session_id}"
    say(_dispatched(run), f"{words}\nFollow it with: flowstate tail {run.request_id}")


def _announce(run: RunHandle) -> None:
    """What to tail, and the session to go on with: on stderr, in words or as a line of JSON."""
    if on_terminal(sys.stderr):
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        words = plain(f"request {run.request_id} in session {run.session_id}")
        console.print(words, style="dim", markup=False)
    else:
        print(json_line(_dispatched(run)), file=sys.stderr, flush=True)


def _dispatched(run: RunHandle) -> dict[str, str]:
    return {"event": "dispatched", "request_id": run.request_id, "session_id": run.session_id}


def _print(output: Any) -> None:
    if on_terminal():
        Console(soft_wrap=True).print(JSONHighlighter()(json_lines(output)))
    else:
        say_json(output)
