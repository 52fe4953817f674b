"""What a server hosts, and that flows agree on what they share."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import pytest
from pydantic import AfterValidator, BaseModel, Field

from flowstate_server.errors import (
    CrossFlowSchemaConflictError,
    FlowDefinitionError,
    FlowNotFoundError,
)
from flowstate_server.flows import Context, Flow, Org, User, action, define_flow, handler
from flowstate_server.programs.catalogue import Catalogue


@handler
async def nothing(value: None, ctx: Context) -> None: ...


def flow(
    kind: str, user: type[BaseModel] | None = None, org: type[BaseModel] | None = None, **options: Any
) -> Flow:
    act = {"act": action(block=nothing)}
    return define_flow(kind, actions=act, user=User(state=user), org=Org(state=org), **options)


class Light(BaseModel):
    theme: str = "light"


class Numbered(BaseModel):
    theme: int = 0


class Dark(BaseModel):
    theme: str = "dark"


class Required(BaseModel):
    theme: str


class Nullable(BaseModel):
    theme: str | None = "light"


class Short(BaseModel):
    theme: str = Field("light", max_length=5)


class Chosen(BaseModel):
    theme: Literal["light", "dark"] = "light"


class Sized(Light):
    size: int = 12


class Named(Light):
    name: str


class Wide(BaseModel):
    width: int = 0


class AlsoLight(BaseModel):
    theme: str = "light"


class Stamped(BaseModel):
    id: str = Field(default_factory=lambda: str(object()))


def test_finds_flows_by_kind() -> None:
    chat, admin = flow("chat"), flow("admin")
    registry = Catalogue([chat, admin])
    assert registry.get("chat") is chat
    assert registry.find("admin") is admin
    assert registry.find("other") is None
    assert registry.kinds() == ["admin", "chat"]
    assert list(registry) == [admin, chat]
    assert (len(registry), "chat" in registry, "other" in registry) == (2, True, False)


def test_says_what_it_does_not_know() -> None:
    registry = Catalogue([flow("chat")])
    with pytest.raises(FlowNotFoundError) as no_flow:
        registry.get("other")
    assert str(no_flow.value) == 'No flow other is registered; there is "chat".'
    assert no_flow.value.flow_kind == "other"
    with pytest.raises(FlowNotFoundError):
        registry.unregister("other")


def test_kinds_are_unique() -> None:
    first = flow("chat")
    registry = Catalogue([first])
    with pytest.raises(FlowDefinitionError, match='a flow of the kind "chat" is registered already'):
        registry.register(flow("chat"))
    assert registry.get("chat") is first
    with pytest.raises(FlowDefinitionError, match="only flows can be registered, not str"):
        registry.register(cast(Any, "chat"))


def test_an_unregistered_flow_is_gone_from_the_check_too() -> None:
    chat = flow("chat", user=Light)
    registry = Catalogue([chat])
    assert registry.unregister("chat") is chat
    registry.register(flow("admin", user=Numbered))
    assert [one.kind for one in registry] == ["admin"]


@pytest.mark.parametrize("scope", ["user", "org"])
def test_flows_that_disagree_are_refused(scope: str) -> None:
    registry = Catalogue([flow("chat", **cast(Any, {scope: Light}))])
    with pytest.raises(CrossFlowSchemaConflictError) as caught:
        registry.register(flow("admin", **cast(Any, {scope: Numbered})))
    error = caught.value
    assert str(error) == (
        f'Flows "chat" and "admin" declare incompatible {scope} state schemas '
        f'(incompatible-shape: field "theme": str vs int). Set isolate_{scope}_state=True on one of the flows to opt '
        f"out of cross-flow sharing, or reconcile the schemas. "
        f'"chat" declares it in {__name__}.Light; "admin" declares it in {__name__}.Numbered.'
    )
    assert (error.scope, error.field, error.flow_a, error.flow_b) == (scope, "theme", "chat", "admin")
    assert (error.reason, error.problem) == ("incompatible-shape", "str vs int")


def test_all_that_is_in_the_way_is_told_at_once() -> None:
    registry = Catalogue([flow("chat", user=Light), flow("desk", user=Light, org=Light)])
    with pytest.raises(CrossFlowSchemaConflictError) as caught:
        registry.register(flow("admin", user=Numbered, org=Nullable))
    assert [(other.flow_a, other.scope) for other in caught.value.others] == [
        ("desk", "user"),
        ("desk", "org"),
    ]
    assert str(caught.value).endswith(
        'Numbered. There is more: user field "theme" of "desk" and "admin" (incompatible-shape: str vs int); '
        'org field "theme" of "desk" and "admin" (incompatible-types: str vs str | None).'
    )


@pytest.mark.parametrize(
    ("model", "field", "reason"),
    [
        (Numbered, "theme", "incompatible-shape"),
        (Nullable, "theme", "incompatible-types"),
        (Short, "theme", "incompatible-values"),
        (Chosen, "theme", "incompatible-types"),
    ],
)
def test_every_difference_counts_in_either_order(model: type[BaseModel], field: str, reason: str) -> None:
    for first, second in ((Light, model), (model, Light)):
        registry = Catalogue([flow("chat", user=first)])
        with pytest.raises(CrossFlowSchemaConflictError) as caught:
            registry.register(flow("admin", user=second))
        assert (caught.value.field, caught.value.reason) == (field, reason)


@pytest.mark.parametrize(
    ("one", "other", "level", "told"),
    [
        (Light, Sized, "WARNING", 'only "admin" declares "size": the other one keeps what is there'),
        (Sized, Light, "WARNING", 'only "chat" declares "size"'),
        (
            Light,
            Named,
            "ERROR",
            'only "admin" declares "name", which has no default: until it writes that, reading it fails',
        ),
        (Light, Dark, "WARNING", 'field "theme" and give it different defaults'),
        (Light, Required, "WARNING", 'field "theme" and give it different defaults'),
    ],
)
def test_what_extends_is_told_and_not_refused(
    one: type[BaseModel], other: type[BaseModel], level: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Catalogue([flow("chat", user=one)])
    assert not caplog.records
    registry.register(flow("admin", user=other))
    (record,) = caplog.records
    assert record.levelname == level
    assert record.getMessage().startswith('flows "chat" and "admin" share the user state')
    assert told in record.getMessage()


def test_strictly_a_required_field_of_one_side_is_refused() -> None:
    registry = Catalogue([flow("chat", user=Light)])
    with pytest.raises(CrossFlowSchemaConflictError) as caught:
        registry.register(flow("admin", user=Named), strict=True)
    assert (caught.value.field, caught.value.reason) == ("name", "incompatible-shape")
    assert caught.value.detail == 'required, and declared by flow "admin" only'
    with pytest.raises(CrossFlowSchemaConflictError):
        Catalogue([flow("admin", user=Named), flow("chat", user=Light)], strict=True)
    registry.register(flow("sized", user=Sized), strict=True)
    assert registry.kinds() == ["chat", "sized"]


def test_that_a_third_flow_agrees_with_both_says_nothing() -> None:
    between = flow("between", user=Wide)
    for first, second in ((Light, Numbered), (Numbered, Light)):
        registry = Catalogue([flow("one", user=first), between])
        with pytest.raises(CrossFlowSchemaConflictError) as caught:
            registry.register(flow("two", user=second))
        assert (caught.value.flow_a, caught.value.flow_b) == ("one", "two")
        assert registry.kinds() == ["between", "one"]


def test_what_is_refused_is_not_told_of_either(caplog: pytest.LogCaptureFixture) -> None:
    registry = Catalogue([flow("a", user=Sized), flow("chat", user=Light, org=Light)])
    caplog.clear()
    with pytest.raises(CrossFlowSchemaConflictError):
        registry.register(flow("admin", user=Dark, org=Numbered))
    assert not caplog.records


def test_flows_that_agree_share() -> None:
    registry = Catalogue(
        [flow("a", user=Light), flow("b", user=AlsoLight), flow("c", user=Light, org=Numbered)]
    )
    registry.register(flow("d", user=Stamped, isolate_user_state=True))
    assert len(registry) == 4
    Catalogue([flow("a", user=Stamped), flow("b", user=Stamped)])


def test_who_declares_nothing_or_keeps_to_itself_takes_no_part() -> None:
    registry = Catalogue([flow("chat", user=Light, org=Light)])
    registry.register(flow("silent"))
    registry.register(
        flow("alone", user=Numbered, org=Numbered, isolate_user_state=True, isolate_org_state=True)
    )
    registry.register(flow("other", user=Light, org=Light))
    with pytest.raises(CrossFlowSchemaConflictError, match="incompatible org state schemas"):
        registry.register(flow("half", user=Numbered, org=Numbered, isolate_user_state=True))


def test_every_registered_flow_is_compared() -> None:
    registry = Catalogue([flow("chat", user=Light), flow("team", org=Light)])
    with pytest.raises(CrossFlowSchemaConflictError) as caught:
        registry.register(flow("admin", user=Light, org=Numbered))
    assert (caught.value.scope, caught.value.flow_a) == ("org", "team")


def test_what_is_refused_leaves_no_trace() -> None:
    chat = flow("chat", user=Light, org=Light)
    registry = Catalogue([chat])
    with pytest.raises(CrossFlowSchemaConflictError):
        registry.register(flow("admin", user=Light, org=Numbered))
    assert list(registry) == [chat]
    registry.register(flow("admin", user=Light, org=Light))


class Trimmed(BaseModel):
    theme: Annotated[str, AfterValidator(str.strip)] = "light"


class Folded(BaseModel):
    theme: Annotated[str, AfterValidator(str.casefold)] = "light"


class Palette(BaseModel):
    names: dict[str, list[Annotated[str, AfterValidator(str.casefold)]]] = {}


class PlainPalette(BaseModel):
    names: dict[str, list[str]] = {}


class LongPalette(BaseModel):
    names: dict[str, list[Annotated[str, Field(max_length=9), AfterValidator(str.casefold)]]] = {}


@pytest.mark.parametrize(
    ("one", "other", "field"),
    [(Light, Folded, "theme"), (Trimmed, Folded, "theme"), (Palette, PlainPalette, "names")],
)
def test_other_validators_on_a_field_of_a_shared_record_are_a_warning(
    one: type[BaseModel], other: type[BaseModel], field: str, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Catalogue([flow("chat", user=one)])
    assert not caplog.records
    registry.register(flow("admin", user=other))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f'flows "chat" and "admin" share the user state field "{field}"' in record.getMessage()
    assert "str.casefold" in record.getMessage()
    registry.register(flow("alone", user=other, isolate_user_state=True))
    assert len(caplog.records) == 1


def test_other_validators_beside_another_difference_are_no_excuse() -> None:
    registry = Catalogue([flow("chat", user=Palette)])
    with pytest.raises(CrossFlowSchemaConflictError, match="incompatible-values"):
        registry.register(flow("admin", user=LongPalette))
