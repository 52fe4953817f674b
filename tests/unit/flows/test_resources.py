"""What authors declare of resources, and what becomes of it in a flow."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, Field

from flowstate_server.errors import FlowDefinitionError, SchemaConflictError
from flowstate_server.flows import (
    ClientView,
    Context,
    Flow,
    Resource,
    ResourceCollection,
    ResourceView,
    Session,
    User,
    action,
    define_flow,
    handler,
    resource,
    resources,
    sequencer,
)
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.resources import ShownResource


class Artifact(BaseModel):
    title: str = ""
    body: str = ""
    notes: list[str] = []


class Other(BaseModel):
    title: str = ""


class Drawn(BaseModel):
    id: UUID = Field(default_factory=uuid4)


artifact = resource(
    "artifact", state=Artifact, client=ResourceView(expose=["title"], content=True, live=True)
)
files = resources("files/*", state=Artifact, max_instances=3, evict="oldest")
profile = resource("profile", state=Other, scope="user")


@handler(resources=[artifact])
async def write(value: None, ctx: Context) -> None: ...


@handler(resources=[files, profile])
async def file(value: None, ctx: Context) -> None: ...


def flow(*blocks: Any, **options: Any) -> Flow:
    return define_flow("chat", actions={block.name: action(block=block) for block in blocks}, **options)


def using(*declared: Any, name: str = "use") -> Any:
    @handler(resources=declared, name=name)
    async def use(value: None, ctx: Context) -> None: ...

    return use


def test_what_blocks_and_flows_declare_is_described() -> None:
    own = resource("logo", client=ResourceView(expose=[], content=True))
    chat = flow(sequencer("both").tap(write).tap(file), write, resources=[own, artifact])
    assert chat.resources == (artifact, files, own, profile)
    described = {one.name: one for one in chat.described.resources}
    assert list(described) == ["artifact", "files/*", "logo", "profile"]
    assert described["artifact"].shown == ShownResource(("title",), content=True, live=True)
    assert described["artifact"].schema.fields == ("title", "body", "notes")
    assert described["logo"].schema.fields == ()
    assert described["profile"].scope is ScopeKind.USER
    assert described["profile"].shown is None
    assert (described["files/*"].max_instances, described["files/*"].evicts) == (3, True)
    assert described["files/*"].collection
    assert not described["artifact"].collection


def test_a_run_begins_with_the_singles_of_the_blocks_that_its_action_reaches() -> None:
    chat = flow(
        sequencer("both").tap(write).tap(file),
        write,
        resources=[resource("logo")],
    )
    loaded = {name: one.resources for name, one in chat.described.actions.items()}
    assert loaded == {
        "both": ((ScopeKind.SESSION, "artifact"), (ScopeKind.USER, "profile")),
        "write": ((ScopeKind.SESSION, "artifact"),),
    }


def test_the_revision_tells_of_them() -> None:
    bare = flow(using())
    revisions = [
        bare.revision,
        flow(using(resource("artifact", state=Artifact))).revision,
        flow(using(resource("artifact", state=Other))).revision,
        flow(using(resource("artifact", state=Artifact, scope="user"))).revision,
        flow(using(resource("artifact", state=Artifact, client=ResourceView(expose=["title"])))).revision,
        flow(using(resource("artifact", state=Artifact, client=ResourceView(exclude=["title"])))).revision,
        flow(using(resource("artifact", state=Artifact, client=ResourceView(data=len)))).revision,
    ]
    assert len(set(revisions)) == len(revisions)
    assert flow(using()).revision == bare.revision


def test_what_is_declared_alike_is_one() -> None:
    again = resource(
        "artifact", state=Artifact, client=ResourceView(expose=("title",), content=True, live=True)
    )
    assert again == artifact
    assert hash(again) == hash(artifact)
    assert flow(write, using(again)).resources == (artifact,)


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (resource("artifact", state=Other, client=artifact.client), r"state: .*Artifact vs .*Other"),
        (resource("artifact", state=Artifact), "another client"),
    ],
)
def test_one_name_with_two_declarations_is_refused(other: Any, difference: str) -> None:
    named = (
        f'session resource "artifact": handler "write" and handler "use" declare it differently .{difference}'
    )
    with pytest.raises(SchemaConflictError, match=named):
        flow(write, using(other))
    with pytest.raises(SchemaConflictError, match='handler "write" and flow "chat"'):
        flow(write, resources=[other])


def test_one_name_in_two_scopes_is_two_resources() -> None:
    theirs = resource("artifact", state=Other, scope="user")
    assert flow(write, using(theirs)).resources == (artifact, theirs)


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        (resources("files/*"), resource("files/readme"), "files/readme"),
        (resources("files/*"), resources("{topic}/notes"), "files/notes"),
        (resources("files/**"), resources("*/a/*"), "files/a/x"),
    ],
)
def test_declarations_that_can_meet_in_one_name_are_refused(one: Any, other: Any, name: str) -> None:
    with pytest.raises(FlowDefinitionError, match=f'can be about one resource, such as "{name}"') as refused:
        flow(using(one, name="first"), using(other, name="second"))
    assert all(part in str(refused.value) for part in (one.name, other.name, '"first"', '"second"', '"chat"'))


def test_declarations_of_two_scopes_do_not_meet() -> None:
    assert len(flow(using(resources("files/*"), resource("files/a", scope="org"))).resources) == 2


@pytest.mark.parametrize(
    "view", [ClientView(expose=["title"]), ClientView(derived={"title": lambda view: 1})]
)
def test_clients_have_one_name_for_one_value(view: ClientView) -> None:
    shown = resource("title", state=Artifact, client=ResourceView(expose=["body"]))
    with pytest.raises(
        FlowDefinitionError, match='"title" has the name of what the session exposes or derives'
    ):
        flow(using(shown), session=Session(state=Other, client=view))
    flow(using(resource("title", state=Artifact)), session=Session(state=Other, client=view))
    flow(using(shown), user=User(state=Other, client=view))
    flow(
        using(resources("title/*", client=ResourceView(expose=[]))), session=Session(state=Other, client=view)
    )


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: resource("files/*"), "is a pattern: declare a collection"),
        (lambda: resource("a*"), r"a name may have \*, \*\* and"),
        (lambda: resource(""), "a name must not be empty"),
        (lambda: resource("a\n"), "a name must hold no control character"),
        (lambda: resource("a" * 513), "a name must be at most 512 bytes"),
        (lambda: resource(5), "the name of a resource must be a string, not int"),  # type: ignore[call-overload]
        (lambda: resource("a", state=dict), "state"),  # type: ignore[type-var]
        (lambda: resource("a", scope="request"), 'must be "session", "user" or "org"'),  # type: ignore[call-overload]
        (lambda: resource("a", client=ClientView()), "client takes a ResourceView"),  # type: ignore[call-overload]
        (lambda: resources("files"), "is one name: declare it by resource"),
        (lambda: resources("files/*", max_instances=0), "max_instances must be a whole number of at least 1"),
        (lambda: resources("files/*", max_instances=True), "max_instances must be a whole number"),
        (lambda: resources("files/*", evict="oldest"), "evict needs max_instances"),
        (lambda: resources("files/*", evict="newest", max_instances=1), 'evict takes "oldest"'),  # type: ignore[call-overload]
        (ResourceView, "takes one of expose, exclude and data, not none"),
        (lambda: ResourceView(expose=[], data=len), "not expose, data"),
        (lambda: ResourceView(expose="title"), "expose takes a list of field names"),
        (lambda: ResourceView(data="title"), "data takes a function, not str"),  # type: ignore[arg-type]
        (
            lambda: resource("a", state=Artifact, client=ResourceView(expose=["titel"])),
            'names "titel", but Artifact has no such field; did you mean "title"',
        ),
        (
            lambda: resources("a/*", state=Artifact, client=ResourceView(exclude=["secret"])),
            'resources "a/\\*": its view names "secret", but Artifact has no such field',
        ),
        (lambda: using("artifact"), "resources takes what resource.* give, not 'artifact'"),
        (lambda: using(Artifact), "not ModelMetaclass"),
        (lambda: handler(resources=artifact)(write.__wrapped__), "as a list, not Resource"),  # type: ignore[call-overload]
        (
            lambda: flow(using(resource("a", state=Drawn))),
            'field "id" has a default_factory that gives another',
        ),
    ],
)
def test_what_can_not_be_is_refused(make: Any, problem: str) -> None:
    with pytest.raises(FlowDefinitionError, match=problem):
        make()


def test_excluded_is_the_rest_exposed() -> None:
    shown = resource("a", state=Artifact, client=ResourceView(exclude=["body"])).described.shown
    assert shown == ShownResource(("title", "notes"))
    assert resource("a", state=Artifact, client=ResourceView(data=len)).described.shown == ShownResource(
        computed=True
    )


def test_names_of_a_collection_with_parts() -> None:
    notes = resources("{topic}/notes", state=Artifact)
    assert isinstance(notes, ResourceCollection)
    assert isinstance(artifact, Resource)
    assert notes.named(topic="rust") == "rust/notes"
    assert notes.covers("rust/notes")
    with pytest.raises(ValueError, match="takes topic"):
        notes.named()
