"""``flowstate flows``: what can be called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import typer

from flowstate_client import FlowInfo, FlowStateClient, ScopeInfo
from flowstate_server.cli.callers import OfNobody
from flowstate_server.cli.listing import DEFAULT_LIMIT, Limit, page_size, show_list
from flowstate_server.cli.option_groups import with_option_groups
from flowstate_server.cli.schema_lines import schema_lines, type_words
from flowstate_server.cli.tables import Column, show_record
from flowstate_server.cli.telling import on_terminal, say_json
from flowstate_server.cli.terminal_text import plain

_COLUMNS = (Column("FLOW"), Column("ACTIONS", "wrap"), Column("DESCRIPTION", "wrap"))


@with_option_groups
def flows(
    flow: Annotated[str, typer.Argument(metavar="[FLOW]", help="Kind of a flow, to see all of it.")] = "",
    limit: Limit = DEFAULT_LIMIT,
    *,
    connection: OfNobody,
) -> None:
    """List the flows of the server; of one its actions with their inputs, and what it shows to clients.

    With --trusted also what it keeps.
    """

    async def work(client: FlowStateClient) -> None:
        if not flow:
            found = client.flows.list(page_size=page_size(limit))
            await show_list(found, limit, columns=_COLUMNS, row=_row)
        elif on_terminal():
            show_record(_facts(await client.flows.get(flow)))
        else:
            say_json(await client.flows.get(flow))

    connection.run(work)


def _row(flow: FlowInfo) -> tuple[str, ...]:
    names = ", ".join(plain(action.name) for action in flow.actions)
    return (plain(flow.flow_kind), names, plain(flow.description))


def _facts(flow: FlowInfo) -> Iterator[tuple[str, str]]:
    yield "flow", plain(flow.flow_kind)
    yield "about", plain(flow.description)
    isolated = [("user", flow.isolate_user_state), ("org", flow.isolate_org_state)]
    yield "isolates", ", ".join(scope for scope, isolates in isolated if isolates)
    for action in flow.actions:
        yield " ", " "
        yield f"action {plain(action.name)}", plain(action.description) or " "
        yield from schema_lines(action.input_schema)
        if not (isinstance(action.input_schema, dict) and action.input_schema.get("properties")):
            yield "  input", type_words(action.input_schema)
        yield "  output", type_words(action.output_schema)
    yield from _titled("clients see", (_shown(scope) for scope in flow.scopes))
    for scope in flow.scopes:
        if scope.state_schema is not None:
            yield from _titled(f"{scope.scope} state", schema_lines(scope.state_schema))
    yield from _titled(
        "resources",
        (
            (f"  {plain(one.name)}", f"of a {one.scope}{_seen(one.exposed, one.content_exposed)}")
            for one in flow.resources
        ),
    )


def _titled(title: str, facts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """``facts`` beneath a title, if there are any."""
    shown = [fact for fact in facts if fact[1]]
    if shown:
        yield " ", " "
        yield title, " "
        yield from shown


def _shown(scope: ScopeInfo) -> tuple[str, str]:
    names = [*map(plain, scope.exposed), *(f"{plain(name)} (computed)" for name in scope.derived)]
    return f"  {scope.scope}", ", ".join(names)


def _seen(exposed: Iterable[str], content: bool) -> str:
    names = [*map(plain, exposed), *(["its content"] if content else [])]
    return f"; clients see {', '.join(names)}" if names else ""
