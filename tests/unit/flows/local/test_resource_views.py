"""What clients see of resources, as functions make it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from flowstate_server.flows import (
    ClientView,
    Context,
    ResourceView,
    Session,
    View,
    action,
    define_flow,
    handler,
    resource,
    resources,
)
from flowstate_server.model.records import Failure
from flowstate_server.model.scopes import ScopeKind
from tests.unit.flows.local.resource_blocks import Artifact, artifact


def labelled(view: View[Any]) -> str:
    found = view.resources["artifact"]
    return "none" if found is None else str(found.title)


def shortened(state: Artifact) -> dict[str, str]:
    return {"short": state.title[:2]}


async def shortened_late(state: Artifact) -> dict[str, str]:
    return shortened(state)


def broken(state: Artifact) -> Any:
    raise KeyError("c4nary")


def unfit(state: Artifact) -> Any:
    return ["c4nary"]


async def test_derived_values_see_the_single_resources_of_their_scope() -> None:
    flow = define_flow(
        "f",
        actions={"act": action(block=handler(resources=[artifact])(_nothing))},
        session=Session(client=ClientView(derived={"label": labelled})),
    )
    derive = flow.program.derive
    for stored, label in ((None, "none"), ({}, "untitled"), ({"title": "Plan"}, "Plan")):
        given = cast(Any, {"artifact": stored})
        assert await derive(ScopeKind.SESSION, ["label"], {}, given) == {"label": label}


async def _nothing(value: None, ctx: Context) -> None: ...


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (shortened, {"short": "Pl"}),
        (shortened_late, {"short": "Pl"}),
        (broken, Failure("INTERNAL", "the resource view failed: KeyError")),
        (unfit, Failure("INTERNAL", "the resource view failed: TypeError")),
    ],
)
@pytest.mark.parametrize("name", ["artifact", "files/*"])
async def test_a_function_says_what_clients_see(name: str, data: Any, shown: Any) -> None:
    view = ResourceView(data=data)
    make: Any = resources if "*" in name else resource
    declared = make(name, state=Artifact, client=view)
    flow = define_flow("f", actions={"act": action(block=handler(_nothing))}, resources=[declared])
    found = await flow.program.show(ScopeKind.SESSION, name, {"title": "Plan"})
    if isinstance(found, Failure):
        assert found.error_id
        found = replace(found, error_id="")
    assert found == shown
