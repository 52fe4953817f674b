"""``flowstate state``: reads and writes records; copies what users and orgs have between shared and private ones."""

from __future__ import annotations

import asyncio
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flowstate_server import maintenance
from flowstate_server.app import FlowState
from flowstate_server.cli.app_reference import load_app
from flowstate_server.cli.commands import Command, Group
from flowstate_server.cli.help_examples import examples
from flowstate_server.cli.problem import FAILED, INTERRUPTED, MISUSED, NOT_FOUND, give_up
from flowstate_server.cli.state_records import delete, get, inc, patch
from flowstate_server.cli.telling import say
from flowstate_server.deployment import CopiedRecords
from flowstate_server.maintenance import CopiedState, Misfit, Outcome, Scope, StateCopy, Unmaintained
from flowstate_server.store_urls import FORMS, redacted

state = typer.Typer(
    name="state",
    cls=Group,
    no_args_is_help=True,
    help="Read and write state of sessions, users and orgs, and copy it between records.",
)


class Side(StrEnum):
    ISOLATED = "isolated"
    SHARED = "shared"


state.command(
    cls=Command,
    epilog=examples(
        "flowstate state get user ada",
        "flowstate state get session SESSION_ID --path /by_id/doc-1 | jq .state",
    ),
)(get)
state.command(
    cls=Command,
    epilog=examples(
        'flowstate state patch session SESSION_ID \'{"mode": "agent"}\' --at 7',
        "jq -n '{seats: 3}' | flowstate state patch org acme - --flow billing",
    ),
)(patch)
state.command(cls=Command, epilog=examples("flowstate state inc user ada visits=1 credit=-2.5"))(inc)
state.command(
    cls=Command,
    epilog=examples("flowstate state delete user ada", "flowstate state delete org acme --flow billing"),
)(delete)


@state.command(
    cls=Command,
    epilog=examples(
        "flowstate state copy my_app:app --store sqlite:///chat.db --flow billing \\",
        "    --to isolated --all-users --dry-run",
    ),
)
def copy(
    app: Annotated[
        str, typer.Argument(metavar="APP", help="module:attribute that holds a FlowState or a Flow.")
    ],
    store: Annotated[str, typer.Option("--store", metavar="URL", envvar="FLOWSTATE_STORE", help=FORMS)],
    flow: Annotated[
        str, typer.Option("--flow", metavar="KIND", help="The flow whose private record is meant.")
    ],
    to: Annotated[Side, typer.Option("--to", help="Where to: the flow's private record, or the shared one.")],
    user: Annotated[str, typer.Option("--user", metavar="ID", help="The user whose state to copy.")] = "",
    org: Annotated[str, typer.Option("--org", metavar="ID", help="The org whose state to copy.")] = "",
    all_users: Annotated[bool, typer.Option("--all-users", help="Copy the state of every user.")] = False,
    all_orgs: Annotated[bool, typer.Option("--all-orgs", help="Copy the state of every org.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write fields over those of a record that is there.")
    ] = False,
    blobs: Annotated[
        Path | None, typer.Option("--blobs", metavar="FOLDER", help="Where its blobs are, if not in it.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would be done, and write nothing.")
    ] = False,
) -> None:
    """Copy user or org state between the record that flows share and the private one of a flow that isolates it.

    Turning isolation on or off moves nothing; this does, before or after, resources included. What only other flows of
    APP declare stays behind. The source stays as it is. The store may be served meanwhile, but on the filesystem. Exit
    code 1 if a record was there already and says something else, or would not fit what the flows of APP that read it
    there declare.
    """
    chosen = [bool(user), bool(org), all_users, all_orgs]
    if chosen.count(True) != 1:
        give_up("name one of --user ID, --org ID, --all-users and --all-orgs", MISUSED)
    scope: Scope = "user" if user or all_users else "org"
    flows = load_app(app)
    what = StateCopy(
        scope=scope,
        flow_kind=flow,
        to_isolated=to is Side.ISOLATED,
        id=user or org,
        without=_fields_of_others(flows, flow, scope),
        overwrite=overwrite,
        dry_run=dry_run,
        resources=lambda name: flows.catalogue.declares_resource(flow, scope, name),
        fit=CopiedRecords(flows.catalogue, flow, scope, to_isolated=to is Side.ISOLATED),
    )
    try:
        counts = asyncio.run(_copy(store, what, blobs))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except Unmaintained as error:
        give_up(str(error), FAILED if error.retryable else MISUSED)
    if counts[Outcome.REFUSED]:
        raise typer.Exit(FAILED)
    raise typer.Exit(NOT_FOUND if what.id and counts[Outcome.ABSENT] else 0)


def _fields_of_others(app: FlowState, flow_kind: str, scope: Scope) -> frozenset[str]:
    if flow_kind not in app.catalogue:
        give_up(f"there is no flow {flow_kind!r}, only {', '.join(app.catalogue.kinds())}", MISUSED)
    return app.catalogue.fields_of_others(flow_kind, scope)


async def _copy(url: str, what: StateCopy, blobs: Path | None) -> Counter[Outcome]:
    counts: Counter[Outcome] = Counter()
    async for copied in maintenance.copy_state(url, what, blobs=blobs):
        counts[copied.outcome] += 1
        would = what.dry_run and copied.outcome is Outcome.COPIED
        outcome = "would_copy" if would else copied.outcome
        event: dict[str, object] = {"event": outcome, what.scope: copied.id, "fields": copied.fields}
        if copied.resources or copied.refused:
            event |= {"resources": copied.resources, "refused": copied.refused}
        if copied.misfits:
            event["misfits"] = [
                {"flow": one.flow, "field": one.field, "rule": one.rule} for one in copied.misfits
            ]
        say(event, _words(copied, what))
    told = {outcome.value: counts[outcome] for outcome in Outcome}
    done = "would be copied" if what.dry_run else "copied"
    words = f"{told['copied']} {done}, {told['same']} the same already, {told['refused']} refused"
    say({"event": "done", "dry_run": what.dry_run, **told}, f"{redacted(url)}: {words}.")
    return counts


def _words(copied: CopiedState, what: StateCopy) -> str:
    who = f"{what.scope} {copied.id}"
    match copied.outcome:
        case Outcome.COPIED:
            names = [*copied.fields, *[f"resource {name}" for name in copied.resources]]
            return f"{who}: {'would copy ' if what.dry_run else ''}{', '.join(names)}"
        case Outcome.SAME:
            return f"{who}: the same already"
        case Outcome.REFUSED if copied.misfits:
            return f"{who}: refused, for {'; '.join(map(_misfit, copied.misfits))}"
        case Outcome.REFUSED:
            what_is = f"resource {', '.join(copied.refused)}" if copied.refused else "it"
            return f"{who}: {what_is} is there already and says something else; --overwrite writes over it"
        case Outcome.ABSENT:
            return f"{who}: there is nothing to copy"


def _misfit(misfit: Misfit) -> str:
    what = f'field "{misfit.field}"' if misfit.field else "the record"
    return f'{what} does not fit flow "{misfit.flow}" ({misfit.rule})'
