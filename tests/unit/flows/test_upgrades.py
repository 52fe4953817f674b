"""Generations and upgrades of stored state, as blocks and tests of flows meet them."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, cast

import pytest
from pydantic import BaseModel, Field, FutureDatetime

from flowstate_server.errors import (
    ScopeUnavailableError,
    StateValidationError,
)
from flowstate_server.flows import (
    ClientView,
    Context,
    Flow,
    Org,
    Session,
    User,
    action,
    define_flow,
    handler,
)
from flowstate_server.flows.block import Block
from flowstate_server.testing import FlowRunFailed, FlowTester, run_flow

Fields = dict[str, Any]


class Profile(BaseModel):
    """Its first generation had ``colour: int`` and ``names: str``."""

    shade: Literal["dark", "light"] = "light"
    names: set[str] = set()
    visits: int = 0


OLD: Fields = {"colour": 1, "names": "b,a", "visits": 4}
NEW: Fields = {"names": ["a", "b"], "visits": 4, "shade": "dark"}


def upgrade(fields: Fields) -> Fields:
    if "colour" in fields:
        fields["shade"] = "dark" if fields.pop("colour") else "light"
    if isinstance(fields.get("names"), str):
        fields["names"] = set(fields["names"].split(","))
    return fields


def flow_of(block: Block[Any, Any], using: Callable[[Fields], Any] | None = upgrade, **parts: Any) -> Flow:
    shown = ClientView(expose=["shade", "names"], derived={"loud": lambda view: view.state.shade.upper()})
    session = Session(state=Profile, generation=2, upgrade=using, client=shown)
    return define_flow("desk", actions={"go": action(block=block)}, **{"session": session, **parts})


@handler(session_state=Profile)
async def look(_: None, ctx: Context[Profile]) -> Fields:
    return ctx.session.state.model_dump(mode="json")


@handler(session_state=Profile)
async def visit(_: None, ctx: Context[Profile]) -> int:
    return (await ctx.session.inc_state(visits=1)).version


@handler(session_state=Profile)
async def swap(_: None, ctx: Context[Profile]) -> None:
    seen = []

    def change(now: Profile) -> Fields:
        seen.append(now.shade)
        return {"visits": now.visits * 2}

    await ctx.session.atomic_state(change)
    assert seen == ["dark"]


async def old(flow: Flow, state: Fields = OLD, generation: int = 1, **more: Any) -> Any:
    return await run_flow(flow, "go", None, session_state=state, state_generation=generation, **more)


async def test_a_block_reads_what_an_older_generation_stored() -> None:
    run = await old(flow_of(look))
    assert {**run.output, "names": sorted(run.output["names"])} == NEW
    assert run.session.stored == OLD
    assert run.session.version == 1
    assert run.session.state_as(Profile).names == {"a", "b"}


async def test_an_upgrade_is_stored_with_the_next_write_and_its_event_tells_both() -> None:
    run = await old(flow_of(visit))
    assert run.session.stored == {**NEW, "visits": 5}
    assert (run.output, run.session.version) == (2, 2)
    (change,) = [event.payload for event in run.events if event.type == "state_change"]
    assert change.changed == {"/names": ["a", "b"], "/shade": "dark", "/visits": 5}
    assert list(change.removed) == ["/colour"]
    assert (change.previous_version, change.version) == (1, 2)


async def test_atomic_state_computes_from_the_upgraded_state() -> None:
    assert (await old(flow_of(swap))).session.stored == {**NEW, "visits": 8}


async def test_clients_see_the_upgraded_state() -> None:
    run = await old(flow_of(look))
    assert run.client_data["session"] == {"shade": "dark", "names": ["a", "b"], "loud": "DARK"}


async def test_the_same_fields_in_every_scope() -> None:
    class Kept(BaseModel):
        n: str = ""

    def text(fields: Fields) -> Fields:
        return {**fields, "n": str(fields["n"])}

    @handler(user_state=Kept, org_state=Kept)
    async def read(_: None, ctx: Context) -> list[str]:
        assert ctx.org is not None
        await ctx.org.patch_state(n=ctx.org.state.n + "!")
        return [ctx.user.state.n, ctx.org.state.n]

    user, org = User(generation=3, upgrade=text), Org(generation=2, upgrade=text)
    for alone in (False, True):
        isolated = {"isolate_user_state": alone, "isolate_org_state": alone}
        flow = flow_of(read, None, session=Session(), user=user, org=org, **isolated)
        stored: Fields = {"user_state": {"n": 1}, "org_state": {"n": 2}, "org_id": "o", "state_generation": 1}
        run = await run_flow(flow, "go", None, **stored)
        assert run.output == ["1", "2!"]
        assert (run.user.stored, run.org and run.org.stored) == ({"n": 1}, {"n": "2!"})


async def test_a_record_of_this_generation_is_left_alone() -> None:
    calls: list[Fields] = []

    def counted(fields: Fields) -> Fields:
        calls.append(fields)
        return upgrade(fields)

    async with FlowTester(flow_of(visit, counted)) as tester:
        state: Any = {"session_id": "s", "session_state": OLD, "state_generation": 1}
        await tester.run("go", None, **state)
        before = len(calls)
        again = await tester.run("go", None, session_id="s")
        assert len(calls) == before
        assert again.session.stored == {**NEW, "visits": 6}
    new = await run_flow(flow_of(visit, counted), "go", None)
    assert len(calls) == before
    assert new.session.stored == {"visits": 1}


async def test_an_upgrade_runs_outside_the_transaction_alone_unless_somebody_wrote_meanwhile() -> None:
    callers: list[str] = []

    def counted(fields: Fields) -> Fields:
        callers.append(threading.current_thread().name)
        return upgrade(fields)

    await old(flow_of(visit, counted))
    assert callers == ["flowstate-upgrade"] * 2, "to see whether it makes the same of the same"


async def test_a_write_that_changes_nothing_stores_the_upgrade_all_the_same() -> None:
    @handler(session_state=Profile)
    async def nothing(_: None, ctx: Context[Profile]) -> list[bool]:
        return [(await ctx.session.patch_state(visits=4)).changed for _ in range(2)]

    run = await old(flow_of(nothing))
    assert run.output == [True, False]
    assert run.session.stored == NEW


@pytest.mark.parametrize("given", ["2001-09-09T01:46:40Z", datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)])
async def test_what_was_in_the_future_once_is_upgraded_when_it_has_passed(given: object) -> None:
    class Due(BaseModel):
        due: FutureDatetime | None = None
        visits: int = 0

    @handler(session_state=Due)
    async def read(_: None, ctx: Context[Due]) -> int:
        await ctx.session.inc_state(visits=1)
        assert ctx.session.state.due is not None
        return ctx.session.state.due.year

    scope = Session(state=Due, generation=2, upgrade=lambda fields: {**fields, "due": given})
    run = await old(flow_of(read, session=scope), {"due": 1_000_000_000})
    assert (run.output, run.session.stored["due"]) == (2001, "2001-09-09T01:46:40Z")


async def test_what_an_upgrade_does_not_give_is_removed() -> None:
    run = await old(flow_of(visit, lambda fields: {"visits": fields["visits"]}), {**OLD, "shade": "dark"})
    assert run.session.stored == {"visits": 5}


async def test_what_an_upgrade_returns_is_said_in_one_sentence() -> None:
    with pytest.raises(FlowRunFailed) as failed:
        await old(flow_of(look, cast(Any, lambda fields: None)), {"visits": 1})
    assert str(failed.value.__cause__).endswith("failed: it returned None, not a dict of fields.")


async def test_a_field_that_an_upgrade_passes_on_is_not_judged() -> None:
    run = await old(flow_of(visit, lambda fields: fields), {"visits": 1, "shade": 7})
    assert run.session.stored == {"visits": 2, "shade": 7}
    assert "shade" in run.client_failures["session"]
    with pytest.raises(FlowRunFailed) as failed:
        await old(flow_of(look, lambda fields: fields), {"visits": 1, "shade": 7})
    assert isinstance(failed.value.__cause__, StateValidationError)


async def test_a_field_that_does_not_fit_without_upgrade_says_how_to_mend_it() -> None:
    class Told(BaseModel):
        n: str = ""
        other: int = 0

    @handler(session_state=Told)
    async def read(which: str, ctx: Context[Told]) -> Any:
        await ctx.session.inc_state(other=1)
        return getattr(ctx.session.state, which)

    flow = flow_of(read, session=Session(state=Told))
    with pytest.raises(FlowRunFailed, match=r"/n.*upgrade=") as failed:
        await run_flow(flow, "go", "n", session_state={"n": 1}, state_generation=1)
    assert failed.value.run.session.stored == {"n": 1, "other": 1}
    assert (await run_flow(flow, "go", "other", session_state={"n": 1}, state_generation=1)).output == 1


class Unprintable(Exception):
    def __str__(self) -> str:
        raise SystemExit("not this either")


def raising(error: BaseException) -> Callable[[Fields], Fields]:
    def bad(fields: Fields) -> Fields:
        raise error

    return bad


async def waits(fields: Fields) -> Fields:
    return fields


@pytest.mark.parametrize(
    "bad",
    [
        *map(raising, (KeyError("c4nary"), SystemExit(3), KeyboardInterrupt(), GeneratorExit())),
        *map(raising, (StopIteration(1), Unprintable(), ExceptionGroup("c4nary", [ValueError("c4nary")]))),
        lambda fields: None,
        lambda fields: [*fields],
        lambda fields: waits(fields),  # noqa: PLW0108 - seen only when it is called
        lambda fields: {**fields, "shade": "c4nary"},
        lambda fields: {**fields, "visits": "c4nary"},
        lambda fields: {**fields, "nowhere": "c4nary"},
        lambda fields: {**fields, "colour": 2},
        lambda fields: {**fields, "visits": 2**63},
        lambda fields: {**fields, "visits": float("nan")},
        lambda fields: {**fields, "names": object()},
        lambda fields: {**fields, 7: 1},
    ],
)
@pytest.mark.parametrize("block", [look, visit, swap])
async def test_an_upgrade_that_fails_fails_its_readers_and_writers_by_name(
    block: Block[Any, Any], bad: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    run = await old(flow_of(block, bad), check=False)
    assert isinstance(run.exception, ScopeUnavailableError)
    assert run.failure is not None
    assert run.failure.reason == "SCOPE_UNAVAILABLE"
    for part in ('flow "desk"', "session record", "from generation 1 to 2"):
        assert part in str(run.exception)
        assert part in repr(run)
    assert "c4nary" not in str(run.exception)
    assert (run.session.stored, run.session.version) == (OLD, 1)
    assert run.client_failures["session"].keys() == {"shade", "names", "loud"}


async def test_a_failing_upgrade_hurts_nobody_who_does_not_look_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @handler
    async def speak(_: None, ctx: Context) -> str:
        await ctx.user.refresh()
        await ctx.add_item("message", "hello")
        return ctx.session.id and "done"

    run = await old(flow_of(speak, raising(ValueError("why"))))
    assert run.output == "done"
    assert any("why" in str(record.exc_info) for record in caplog.records)


async def test_what_an_upgrade_changes_in_place_changes_nothing_else() -> None:
    def spoils(fields: Fields) -> Fields:
        fields["names"].append("c")
        raise ValueError

    async with FlowTester(flow_of(look, spoils)) as tester:
        run = await tester.run("go", None, check=False, session_state={"names": ["a"]}, state_generation=1)
        assert run.session.stored == {"names": ["a"]}


async def test_a_record_of_a_newer_deploy_is_read_and_not_written() -> None:
    newer = {"visits": 3, "shade": "blue", "later": 1}
    assert (await old(flow_of(reads_visits), newer, 3)).output == 3
    run = await old(flow_of(reads_visits), newer, 3)
    assert run.client_data["session"] == {"names": []}
    assert run.client_failures["session"].keys() == {"shade", "loud"}
    for block in (visit, swap_visits):
        run = await old(flow_of(block), newer, 3, check=False)
        assert isinstance(run.exception, ScopeUnavailableError)
        for part in ("newer deploy", 'flow "desk"', "session record", "generation 3", "is 2"):
            assert part in str(run.exception)
        assert (run.session.stored, run.session.version) == (newer, 1)


async def test_a_factory_keeps_no_run_from_reading_what_may_not_be_written() -> None:
    class Drawn(Profile):
        token: str = Field(default_factory=lambda: uuid.uuid4().hex)

    @handler(session_state=Drawn)
    async def read(_: None, ctx: Context[Drawn]) -> int:
        return ctx.session.state.visits

    flow = flow_of(read, session=Session(state=Drawn, generation=2, upgrade=upgrade))
    newer = await old(flow, {"visits": 3}, 3)
    assert (newer.output, newer.session.stored) == (3, {"visits": 3})
    older = await old(flow, {"visits": 3, "colour": 0})
    assert older.session.stored.keys() == {"visits", "colour", "token"}  # no event tells of what is drawn
    assert older.session.upgraded.keys() == {"visits", "shade", "token"}
    bad = flow_of(read, session=Session(state=Drawn, generation=2, upgrade=raising(ValueError())))
    failed = await old(bad, {"visits": 3}, check=False)
    assert isinstance(failed.exception, ScopeUnavailableError)


@handler(session_state=Profile)
async def reads_visits(_: None, ctx: Context[Profile]) -> int:
    return ctx.session.state.visits


@handler(session_state=Profile)
async def swap_visits(_: None, ctx: Context[Profile]) -> None:
    await ctx.session.atomic_state(lambda now: {"visits": now.visits + 1})
