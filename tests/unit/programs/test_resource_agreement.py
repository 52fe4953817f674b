"""Whether two flows agree on the resources of users and orgs that they share."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel

from flowstate_server.errors import CrossFlowSchemaConflictError
from flowstate_server.flows import (
    Context,
    Flow,
    ResourceView,
    action,
    define_flow,
    handler,
    resource,
    resources,
)
from flowstate_server.model.json_values import decode_json, encode_json
from flowstate_server.programs.agreement import agreement
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.declarations import (
    FlowDeclaration,
    declaration_hash,
    decode_declaration,
    encode_declaration,
)


class Profile(BaseModel):
    name: str = ""


class Numbered(BaseModel):
    name: int = 0


class Longer(BaseModel):
    name: str = ""
    more: str = ""


class Demanding(BaseModel):
    name: str = ""
    needed: str


@handler
async def nothing(value: None, ctx: Context) -> None: ...


def flow(kind: str, *declared: Any, **options: Any) -> Flow:
    return define_flow(kind, actions={"act": action(block=nothing)}, resources=declared, **options)


def recorded(of: Flow) -> FlowDeclaration:
    """Its declaration as another process reads it."""
    return decode_declaration(decode_json(encode_json(encode_declaration(of.described.shared))))


SHARED: Literal["user", "org"] = "user"
CONFLICTS = [
    (
        resource("profile", state=Profile, scope=SHARED),
        resource("profile", state=Numbered, scope=SHARED),
        ("resources.profile", "incompatible-shape", "/name: str vs int"),
    ),
    (
        resources("files/*", state=Profile, scope=SHARED),
        resources("files/*", state=Numbered, scope=SHARED),
        ("resources.files/*", "incompatible-shape", "/name: str vs int"),
    ),
    (
        resources("files/*", state=Profile, scope=SHARED),
        resource("files/a", state=Profile, scope=SHARED),
        ("resources.files/*", "incompatible-shape", '"files/*" and "files/a" can both be about "files/a"'),
    ),
    (
        resources("files/*", scope=SHARED, max_instances=2),
        resources("files/*", scope=SHARED, max_instances=3, evict="oldest"),
        ("resources.files/*", "incompatible-values", "max_instances=2 vs max_instances=3, evict"),
    ),
]


@pytest.mark.parametrize(("one", "other", "expected"), CONFLICTS)
def test_what_two_flows_can_not_share(one: Any, other: Any, expected: tuple[str, str, str]) -> None:
    for a, b in ((flow("a", one), flow("b", other)), (flow("a", other), flow("b", one))):
        with pytest.raises(CrossFlowSchemaConflictError) as refused:
            Catalogue([a, b])
        error = refused.value
        assert (error.scope, error.field, error.reason) == ("user", *expected[:2])
        assert sorted(error.detail.replace(":", "").split()) == sorted(expected[2].replace(":", "").split())
        assert "Set isolate_user_state=True" in str(error)
        found = agreement(recorded(a), recorded(b))
        assert [(one.field, one.reason) for one in found.conflicts] == [expected[:2]]
    Catalogue([flow("a", one), flow("b", other, isolate_user_state=True)])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (resource("profile", state=Profile, scope="user"), resource("profile", state=Numbered, scope="org")),
        (resource("profile", state=Profile), resource("profile", state=Numbered)),
        (resources("a/*", state=Profile, scope="user"), resources("b/*", state=Numbered, scope="user")),
        (
            resource("profile", state=Profile, scope="user", client=ResourceView(expose=["name"])),
            resource("profile", state=Profile, scope="user"),
        ),
    ],
)
def test_what_they_can(one: Any, other: Any, caplog: pytest.LogCaptureFixture) -> None:
    Catalogue([flow("a", one), flow("b", other)])
    assert not caplog.records


def test_fields_of_one_side_are_told_and_refused_strictly(caplog: pytest.LogCaptureFixture) -> None:
    one = resource("profile", state=Profile, scope="user")
    Catalogue([flow("a", one), flow("b", resource("profile", state=Longer, scope="user"))])
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert 'share the user resource "profile" state, and only "b" declares "more"' in caplog.text
    caplog.clear()
    demanding = flow("b", resource("profile", state=Demanding, scope="user"))
    Catalogue([flow("a", one), demanding])
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    with pytest.raises(CrossFlowSchemaConflictError) as refused:
        Catalogue([flow("a", one), demanding], strict=True)
    assert refused.value.field == "resources.profile"
    assert refused.value.detail == '/needed: required, and declared by flow "b" only'


def test_recorded_declarations_of_flows_without_resources_are_what_they_were() -> None:
    bare = flow("a")
    assert encode_declaration(bare.described.shared) == {"kind": "a", "scopes": {}}
    with_one = flow("a", resource("profile", state=Profile, scope="user"))
    assert declaration_hash(with_one.described.shared) == declaration_hash(recorded(with_one))
    assert declaration_hash(with_one.described.shared) != declaration_hash(bare.described.shared)
    isolated = flow("a", resource("profile", state=Profile, scope="user"), isolate_user_state=True)
    assert encode_declaration(isolated.described.shared) == {"kind": "a", "scopes": {}}
