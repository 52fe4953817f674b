"""A flow of plain JSON Schemas is served like any other: nothing between client and store asks for pydantic."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_client import (
    CustomEvent,
    FlowStateClient,
    ItemDelta,
    RequestFailed,
    SchemaViolation,
    Scope,
    ScopeUnavailable,
    StateChange,
    ValidationFailed,
)
from flowstate_server.errors import ActionError, CrossFlowSchemaConflictError
from flowstate_server.flows import Context, Flow, User, action, define_flow, handler
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.items import Audience, ItemKind
from flowstate_server.model.json_values import Json, JsonObject, encode_json
from flowstate_server.model.scopes import RECORD_SCOPES, ScopeKind
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.description import FlowDescription, Generation, ShownNames
from flowstate_server.programs.program import HostedFlow
from flowstate_server.programs.run_context import RunContext
from flowstate_server.state.operations import inc_state, patch_state, push_state, set_state_record
from flowstate_server.testing.server import running_server
from tests.support.json_schema_program import JsonAction, JsonProgram, JsonSchema

ROUND = {
    "type": "object",
    "properties": {"player": {"type": "string"}, "points": {"type": "integer", "minimum": 0}},
    "required": ["player", "points"],
    "additionalProperties": False,
}
SESSION = {
    "rounds": {"type": "array", "items": ROUND, "default": []},
    "best": {"type": "object", "additionalProperties": {"type": "integer"}, "default": {}},
    "total": {"type": "integer", "maximum": 100, "default": 0},
    "notes": {"type": "string"},
}
USER = {"theme": {"type": "string", "default": "light"}}


async def score(played: Any, run: RunContext) -> Json:
    session = run.scopes[ScopeKind.SESSION]
    async with run.stream_item(
        ItemKind.MESSAGE, role="assistant", audiences=(Audience.CLIENT, Audience.HISTORY)
    ) as message:
        await message.write(f"{played['player']} has ")
        await message.write(f"{played['points']} points")
    run.hold(
        Event(
            EventType.CUSTOM,
            encode_json({"name": "cheer", "data": {"loud": True}}),
            frozenset({Audience.CLIENT}),
        )
    )
    write = await session.write(
        (
            *push_state("rounds", [played]),
            *inc_state({"total": played["points"]}),
            *patch_state({"notes": "a secret"}),
        ),
        (),
    )

    def better(record: Any) -> Any:
        best = record.state.get("best", {}).get(played["player"], 0)
        return set_state_record("best", played["player"], max(best, played["points"]))

    await session.swap(better, ())
    await run.scopes[ScopeKind.USER].write(patch_state({"theme": "dark"}), ())
    items = await run.items.history()
    return {"version": write.version, "items": len(items), "user": run.identity.user_id}


async def give_up(_: Any, run: RunContext) -> Json:
    raise ActionError(
        "NO_MORE", "the game is over", {"rounds": len(run.scopes[ScopeKind.SESSION].record.state)}
    )


ACTIONS = {
    "score": JsonAction(ROUND, {"type": "object", "required": ["version"]}, score),
    "give_up": JsonAction({"type": "object"}, {"type": "null"}, give_up),
}


def game(kind: str = "game", user: dict[str, Any] = USER) -> HostedFlow:
    declared = {ScopeKind.SESSION: SESSION, ScopeKind.USER: user}
    schemas = {scope: JsonSchema(scope, declared.get(scope, {})) for scope in RECORD_SCOPES}
    described = FlowDescription(
        kind=kind,
        actions={name: act.described(name) for name, act in ACTIONS.items()},
        schemas=schemas,
        shown={
            ScopeKind.SESSION: ShownNames(("total", "best"), ("leader",)),
            ScopeKind.USER: ShownNames(("theme",)),
        },
    )

    def leader(state: Any) -> Json:
        return max(state["best"], key=state["best"].get, default=None)

    return HostedFlow(described, JsonProgram(ACTIONS, schemas, {(ScopeKind.SESSION, "leader"): leader}))


@asynccontextmanager
async def playing(**identity: Any) -> AsyncIterator[FlowStateClient]:
    async with running_server(game()) as server, server.connect(user="ada", **identity) as client:
        yield client


async def test_call_tail_and_snapshot() -> None:
    async with playing() as client:
        run = await client.flows.dispatch("game", "score", {"player": "bo", "points": 7}, session_id="s")
        events = [event async for event in run.events()]
        assert await run.result() == {"version": 1, "items": 1, "user": "ada"}
        assert "".join(event.text for event in events if isinstance(event, ItemDelta)) == "bo has 7 points"
        assert [event.data for event in events if isinstance(event, CustomEvent)] == [{"loud": True}]
        assert events[-1].type == "request.completed"
        snapshot = await client.sessions.snapshot("s")
        assert snapshot.client_data == {
            "session": {"total": 7, "best": {"bo": 7}, "leader": "bo"},
            "user": {"theme": "dark"},
        }


async def test_defaults_show_before_anything_is_written() -> None:
    async with playing() as client:
        await client.sessions.create("game", session_id="s")
        assert (await client.sessions.snapshot("s")).client_data == {
            "session": {"total": 0, "best": {}, "leader": None},
            "user": {"theme": "light"},
        }


async def test_state_changes_reach_clients_projected() -> None:
    async with playing() as client:
        run = await client.flows.dispatch("game", "score", {"player": "bo", "points": 7}, session_id="s")
        changes = [event async for event in run.events() if isinstance(event, StateChange)]
        assert [(change.scope, dict(change.changed), change.stale) for change in changes] == [
            (Scope.SESSION, {"/total": 7}, ("leader",)),
            (Scope.SESSION, {"/best": {"bo": 7}}, ("leader",)),
            (Scope.USER, {"/theme": "dark"}, ()),
        ]


async def test_its_state_has_generations_and_upgrades(tmp_path: Path) -> None:
    def doubled(fields: JsonObject) -> JsonObject:
        return {**fields, "total": 2}

    later = game()
    generations = {ScopeKind.SESSION: Generation(2, doubled)}
    later = HostedFlow(replace(later.described, generations=generations), later.program)
    url = f"sqlite:///{tmp_path / 'game.db'}"
    for flow, total in ((game(), 1), (later, 2)):
        async with running_server(flow, store=url) as server, server.connect(plane="trusted") as client:
            if total == 1:
                await client.sessions.create("game", session_id="s", user_id="ada")
                await client.state.session("s").patch_state(total=1)
            record = client.state.session("s")
            assert (await record.get()).state["total"] == total
            await record.patch_state(best={"bo": total})
    async with running_server(game(), store=url) as server, server.connect(plane="trusted") as client:
        with pytest.raises(ScopeUnavailable, match="newer deploy"):
            await client.state.session("s").patch_state(total=3)
        assert (await client.state.session("s").get()).state["total"] == 2


async def test_an_input_that_does_not_fit_is_refused_with_its_path() -> None:
    async with playing() as client:
        with pytest.raises(ValidationFailed) as refused:
            await client.flows.dispatch("game", "score", {"player": "bo", "points": "canary"}, session_id="s")
        assert [(one.field, one.reason) for one in refused.value.field_violations] == [
            ("spec.input/points", "TYPE"),
        ]
        assert "canary" not in str(refused.value)


async def test_a_write_that_does_not_fit_is_refused_with_its_path_and_leaves_no_trace() -> None:
    async with playing(plane="trusted") as client:
        await client.sessions.create("game", session_id="s")
        session = client.state.session("s")
        await session.push_state("rounds", {"player": "bo", "points": 1})
        with pytest.raises(SchemaViolation) as refused:
            await session.push_state("rounds", {"player": "canary", "points": -5})
        assert [one.field for one in refused.value.field_violations] == ["/rounds/1/points"]
        assert "canary" not in str(refused.value)
        with pytest.raises(SchemaViolation) as undeclared:
            await session.patch_state(unknown=1)
        assert [one.field for one in undeclared.value.field_violations] == ["/unknown"]
        record = await session.get()
        assert (record.version, record.state["rounds"]) == (1, [{"player": "bo", "points": 1}])


async def test_f6_what_the_program_draws_is_stored_when_a_request_begins() -> None:
    drawing = game(user={**USER, "token": {"type": "string", "x-drawn": True}})
    async with running_server(drawing) as server, server.connect(user="ada", plane="trusted") as client:
        for _ in range(2):
            await client.flows.call("game", "score", {"player": "bo", "points": 1})
        record = await client.state.user("ada", flow_kind="game").get()
        assert set(record.state) == {"token", "theme"}
        assert record.version == 2


async def test_a_run_whose_write_is_refused_fails() -> None:
    async with playing() as client:
        run = await client.flows.dispatch("game", "score", {"player": "bo", "points": 101}, session_id="s")
        events = [event async for event in run.events()]
        assert isinstance(events[-1], RequestFailed)
        assert (await client.sessions.snapshot("s")).client_data["session"]["total"] == 0


async def test_an_action_fails_in_its_own_words() -> None:
    async with playing() as client:
        run = await client.flows.dispatch("game", "give_up", {}, session_id="s")
        failed = [event async for event in run.events()][-1]
        assert isinstance(failed, RequestFailed)
        assert (failed.failure.reason, failed.failure.message) == ("NO_MORE", "the game is over")
        assert failed.failure.details == {"rounds": 0}


async def test_it_is_described_to_callers() -> None:
    async with playing(plane="trusted") as client:
        flow = await client.flows.get("game")
        assert [(one.name, one.input_schema) for one in flow.actions] == [
            ("give_up", {"type": "object"}),
            ("score", ROUND),
        ]
        session = next(scope for scope in flow.scopes if scope.scope is Scope.SESSION)
        assert session.state_schema == {"type": "object", "properties": SESSION}
        assert (session.exposed, session.derived) == (("total", "best"), ("leader",))


@handler
async def nothing(_: None, ctx: Context) -> None: ...


def of_models(user: type[BaseModel]) -> Flow:
    return define_flow("chat", actions={"act": action(block=nothing)}, user=User(state=user))


class Light(BaseModel):
    theme: str = "light"


class Numbered(BaseModel):
    theme: int = 0


class Dark(BaseModel):
    theme: str = "dark"


def test_it_shares_records_with_flows_of_models_that_declare_the_same() -> None:
    assert Catalogue[HostedFlow]([game(), of_models(Light)]).kinds() == ["chat", "game"]


def test_a_conflict_with_a_flow_of_models_is_refused() -> None:
    with pytest.raises(CrossFlowSchemaConflictError, match='incompatible-shape: field "theme": str vs int'):
        Catalogue[HostedFlow]([game(), of_models(Numbered)])


def test_other_defaults_than_those_of_a_flow_of_models_are_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert Catalogue[HostedFlow]([game(), of_models(Dark)]).kinds() == ["chat", "game"]
    (record,) = caplog.records
    assert 'field "theme" and give it different defaults' in record.getMessage()
