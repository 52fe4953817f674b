"""``flowstate requests``: what ran, what runs, and stopping it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from flowstate_client import Failure, FlowStateClient, RequestStatus, RunRecord
from flowstate_server.cli.callers import OfMany, OfOneRequest
from flowstate_server.cli.commands import Command, Group
from flowstate_server.cli.help_examples import examples
from flowstate_server.cli.listing import DEFAULT_LIMIT, Limit, page_size, show_list
from flowstate_server.cli.option_groups import with_option_groups
from flowstate_server.cli.problem import MISUSED, give_up
from flowstate_server.cli.tables import Column, show_record
from flowstate_server.cli.telling import on_terminal, say, say_json
from flowstate_server.cli.terminal_text import json_lines, plain, quoted, seconds_between, short_time

requests = typer.Typer(
    name="requests", cls=Group, no_args_is_help=True, help="See what ran and what runs, and stop it."
)

_COLUMNS = (Column("REQUEST"), Column("STATUS"), Column("STORED"), Column("ACTION", "cut"))


class Status(StrEnum):
    """Those that a server of today leaves a request in; none suspends it."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    ABORTED = "aborted"
    INTERRUPTED = "interrupted"


RequestId = Annotated[str, typer.Argument(metavar="REQUEST_ID", help="Id of the request.")]


@requests.command(
    "list",
    cls=Command,
    epilog=examples(
        "flowstate requests list --session SESSION_ID",
        "flowstate requests list --status queued --status in_progress",
    ),
)
@with_option_groups
def list_(
    session: Annotated[str, typer.Option(metavar="SESSION_ID", help="Only those of this session.")] = "",
    flow: Annotated[str, typer.Option(metavar="KIND", help="Only those of this flow.")] = "",
    action: Annotated[
        str, typer.Option(metavar="NAME", help="Only those of this action; together with --flow.")
    ] = "",
    statuses: Annotated[
        list[Status] | None,
        typer.Option("--status", help="Only those that stand so; may be given again."),
    ] = None,
    payloads: Annotated[bool, typer.Option("--payloads", help="With inputs and outputs, in a pipe.")] = False,
    limit: Limit = DEFAULT_LIMIT,
    *,
    connection: OfMany,
) -> None:
    """List requests, newest first."""
    if action and not flow:
        give_up("--action needs --flow: actions of several flows may have one name", MISUSED)

    async def work(client: FlowStateClient) -> None:
        found = client.flows.requests(
            session_id=session,
            flow_kind=flow,
            action=action,
            user_id=connection.user,
            org_id=connection.org,
            statuses=statuses or (),
            with_payloads=payloads,
            page_size=page_size(limit),
        )
        await show_list(found, limit, columns=_COLUMNS, row=_row)

    connection.run(work)


@requests.command(cls=Command, epilog=examples("flowstate requests show REQUEST_ID"))
@with_option_groups
def show(request_id: RequestId, *, connection: OfOneRequest) -> None:
    """Show a request with its input and output. flowstate tail follows it."""

    async def work(client: FlowStateClient) -> None:
        record = await client.flows.handle(request_id).get()
        if on_terminal():
            _show(record)
        else:
            say_json(record)

    connection.run(work)


@requests.command(
    cls=Command,
    epilog=examples(
        "flowstate requests cancel REQUEST_ID --reason 'wrong ticket'",
        "flowstate requests list --session SESSION_ID --status in_progress |",
        "    jq -r .request_id | xargs flowstate requests cancel",
    ),
)
@with_option_groups
def cancel(
    request_ids: Annotated[
        list[str], typer.Argument(metavar="REQUEST_ID...", help="Ids of the requests.", show_default=False)
    ],
    reason: Annotated[str, typer.Option(help="Why, for people who look at it later.")] = "",
    *,
    connection: OfOneRequest,
) -> None:
    """Ask requests to stop, and tell how they stand. They end within seconds; what has ended stays as it is."""

    async def work(client: FlowStateClient) -> None:
        for request_id in request_ids:
            record = await client.flows.handle(request_id).cancel(reason)
            asked = "" if record.status.ended else ", asked to stop"
            say(record, f"request {plain(record.request_id)}: {record.status}{asked}")

    connection.run(work)


def _row(record: RunRecord) -> tuple[str, ...]:
    what = f"{plain(record.flow_kind)}/{plain(record.action)}"
    return (plain(record.request_id), record.status, short_time(record.create_time), what)


def _show(record: RunRecord) -> None:
    show_record(
        [
            ("request", plain(record.request_id)),
            ("session", plain(record.session_id)),
            ("action", f"{plain(record.flow_kind)}/{plain(record.action)}"),
            ("user", plain(record.user_id)),
            ("org", plain(record.org_id)),
            ("status", record.status + (", asked to stop" if _stops(record) else "")),
            ("why", plain(record.stop_reason)),
            ("failure", _failure(record.failure) if record.failure else ""),
            ("stored", short_time(record.create_time)),
            ("took", seconds_between(record.start_time, record.end_time)),
            ("input", json_lines(record.input)),
            ("output", json_lines(record.output) if record.status is RequestStatus.COMPLETED else ""),
        ]
    )


def _stops(record: RunRecord) -> bool:
    return record.cancel_requested and not record.status.ended


def _failure(failure: Failure) -> str:
    parts = [failure.reason, quoted(failure.message), failure.error_id]
    parts += [quoted(failure.details)] if failure.details is not None else []
    return " ".join(part for part in parts if part) + (" (may be tried again)" if failure.retryable else "")
