"""Whatever code of authors raises, and wherever: it ends its own run and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from flowstate_client import ActionFailed, FlowStateClient, FlowStateError, RunHandle, SchemaViolation
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import (
    ActionError,
    ConcurrentModificationError,
    LeaseLostError,
    StoreUnavailableError,
)
from flowstate_server.flows import ClientView, Context, View, action, define_flow, handler
from flowstate_server.model.clock import Seconds
from flowstate_server.model.identity import Principal
from flowstate_server.programs.author_code import told_by
from flowstate_server.rpc.authenticators import OpenAuthenticator
from flowstate_server.rpc.call_metadata import CallMetadata
from flowstate_server.testing.flow_tester import run_flow
from flowstate_server.testing.server import running_server
from flowstate_server.testing.waiting import soon
from tests.support.hostile_flows import KIND, KINDS, PLACES, State, armed, flow, left, throw_at
from tests.support.store_urls import ALL, new_store_url


@dataclass
class Beside:
    """A server with a run of somebody else's under way."""

    client: FlowStateClient
    neighbour: RunHandle

    async def unharmed(self) -> None:
        """The run beside completes, and the next call is served."""
        assert await self.neighbour.result(timeout=20.0) == 10
        assert await self.client.flows.call(KIND, "take", {}, timeout=20.0) == {"text": "taken"}


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    armed.clear()
    left.clear()


@asynccontextmanager
async def beside(store: str, folder: Path) -> AsyncIterator[Beside]:
    async with (
        new_store_url(store, folder) as url,
        running_server(flow, store=url, settings=EngineSettings(cancel_grace=Seconds(0.5))) as server,
        server.connect(user="u", plane="trusted") as client,
    ):
        yield Beside(client, await client.flows.dispatch(KIND, "wait", {}, session_id="beside"))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("store", ALL)
async def test_f1_what_a_block_raises_fails_its_request_and_nothing_else(
    store: str, place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with beside(store, tmp_path) as served:
        for kind in KINDS:
            with pytest.raises(ActionFailed) as failed:
                await served.client.flows.call(KIND, "at", {"place": place, "kind": kind}, timeout=20.0)
            failure = failed.value.failure
            assert failure.reason == "INTERNAL", kind
            assert "secret" not in str(failed.value), kind
            assert failure.error_id in caplog.text, kind
        await served.unharmed()


@pytest.mark.parametrize("kind", ["system exit", "keyboard interrupt", "generator exit", "cancelled"])
async def test_a_validator_that_exits_refuses_the_write_by_its_field(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exit_ = type(KINDS[kind]()).__name__
    async with beside("memory", tmp_path) as served:
        armed["state validator"] = kind
        with pytest.raises(SchemaViolation) as refused:
            await served.client.state.session("beside").patch_state({"text": "checked"})
        armed.clear()
        assert [(one.field, one.reason) for one in refused.value.field_violations] == [
            ("/text", "VALIDATOR_RAISED")
        ]
        assert f"its validator raised {exit_}" in str(refused.value)
        assert "secret" not in str(refused.value)
        assert "in throw_at" in caplog.text, "the log has the traceback"
        await served.unharmed()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_f1_a_task_that_a_block_leaves_behind_ends_alone(kind: str, tmp_path: Path) -> None:
    async with beside("memory", tmp_path) as served:
        assert await served.client.flows.call(KIND, "leave_task", {"kind": kind}, timeout=20.0) == "left"
        await asyncio.wait(left)
        await served.unharmed()
        for task in left:
            assert task.cancelled() or task.exception() is not None


@pytest.mark.parametrize("kind", KINDS)
async def test_f1_an_authenticator_that_raises_refuses_its_call(kind: str) -> None:
    class Broken(OpenAuthenticator):
        async def authenticate(self, metadata: CallMetadata, peer: str) -> Principal:
            throw_at("authenticator")
            return await super().authenticate(metadata, peer)

    async with (
        running_server(flow, authenticator=Broken("x-tenant-id")) as server,
        server.connect(user="u") as client,
    ):
        armed["authenticator"] = kind
        with pytest.raises(FlowStateError):
            await client.flows.call(KIND, "take", {}, timeout=5.0)
        armed.clear()
        assert await client.flows.call(KIND, "take", {}, timeout=20.0) == {"text": "taken"}


async def test_f1_who_awaits_a_task_that_exits_gets_an_error_that_says_so() -> None:
    caught: list[BaseException] = []

    async def leave() -> None:
        raise SystemExit("usage")

    @handler
    async def catches(value: None, ctx: Context) -> str:
        try:
            await asyncio.create_task(leave())
        except RuntimeError as error:
            caught.append(error)
        return "caught"

    run = await run_flow(define_flow("f", actions={"a": action(block=catches)}), "a", None)
    assert run.output == "caught"
    assert str(caught[0]) == "the function raised SystemExit"
    assert isinstance(caught[0].__cause__, SystemExit)


async def test_f1_a_cancelled_task_that_never_began_leaves_no_warning() -> None:
    @handler
    async def cancels(value: None, ctx: Context) -> str:
        task = asyncio.create_task(asyncio.sleep(1.0))
        task.cancel()
        await asyncio.wait((task,))
        return "cancelled" if task.cancelled() else "ended"

    run = await run_flow(define_flow("f", actions={"a": action(block=cancels)}), "a", None)
    assert run.output == "cancelled"


async def test_f1_an_operation_run_from_the_event_loop_is_refused_at_once() -> None:
    errors: list[str] = []

    @handler(session_state=State)
    async def runs(value: None, ctx: Context[State]) -> int:
        try:
            ctx.run(ctx.session.inc_state(count=1))
        except RuntimeError as error:
            errors.append(str(error))
        await ctx.session.inc_state(count=1)
        return ctx.session.state.count

    run = await soon(run_flow(define_flow("f", actions={"a": action(block=runs)}), "a", None))
    assert run.output == 1
    assert "await" in errors[0]


GROUPS: dict[str, tuple[list[Exception], str, bool]] = {
    "one": ([ActionError("OUT_OF_STOCK", "none left", retryable=True)], "OUT_OF_STOCK", True),
    "two of a kind": ([ActionError("NO", "no"), ActionError("NO", "no")], "NO", False),
    "two codes": ([ActionError("NO", "no"), ActionError("NEVER", "never")], "INTERNAL", False),
    "beside a bug": ([ActionError("NO", "no"), ValueError("no")], "INTERNAL", False),
    "nested": ([ExceptionGroup("inner", [ActionError("NO", "no")])], "NO", False),
    "a lost race": ([ConcurrentModificationError("session", 3)], "WRITE_CONFLICT", True),
    "no store": ([StoreUnavailableError(), StoreUnavailableError()], "STORE_UNAVAILABLE", True),
}


@pytest.mark.parametrize("case", GROUPS)
async def test_f10_a_group_is_the_one_known_error_in_it(case: str) -> None:
    errors, reason, retryable = GROUPS[case]

    @handler
    async def fails(value: None, ctx: Context) -> None:
        raise ExceptionGroup("several", errors)

    run = await run_flow(define_flow("f", actions={"a": action(block=fails)}), "a", None, check=False)
    assert run.failure is not None
    assert (run.failure.reason, run.failure.retryable) == (reason, retryable)


async def test_f10_an_error_in_a_task_group_keeps_its_code_beside_cancellations() -> None:
    async def out_of_stock() -> None:
        raise ActionError("OUT_OF_STOCK", "none left", {"left": 0}, retryable=True)

    @handler
    async def fails(value: None, ctx: Context) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.sleep(60.0))
            tasks.create_task(out_of_stock())

    run = await run_flow(define_flow("f", actions={"a": action(block=fails)}), "a", None, check=False)
    assert run.failure is not None
    assert (run.failure.reason, run.failure.message, run.failure.retryable) == (
        "OUT_OF_STOCK",
        "none left",
        True,
    )
    assert run.failure.details == {"left": 0}


async def test_f10_a_group_out_of_a_derived_value_is_the_error_in_it() -> None:
    async def grouped(view: View[State]) -> None:
        raise ExceptionGroup("several", [ActionError("NO", "not for you")])

    failure = await ClientView(derived={"a": grouped}).derive("a", View(State()))
    assert (failure.reason, failure.message) == ("NO", "not for you")  # type: ignore[union-attr]


def test_f10_cancellations_and_lost_leases_in_a_group() -> None:
    action_error = ActionError("NO", "no")
    beside_cancellation = BaseExceptionGroup("g", [asyncio.CancelledError(), action_error])
    assert told_by(beside_cancellation) is action_error
    lost = LeaseLostError()
    assert told_by(ExceptionGroup("g", [lost, LeaseLostError()])) is lost
    cancelled = BaseExceptionGroup("g", [asyncio.CancelledError()])
    assert told_by(cancelled) is cancelled


async def test_f10_a_failure_of_children_in_a_group_is_told_once() -> None:
    @handler(name="child")
    async def fails(value: None, ctx: Context) -> None:
        raise ActionError("NO", "no")

    @handler(uses=[fails])
    async def parent(value: None, ctx: Context) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ctx.execute(fails, None))

    run = await run_flow(define_flow("f", actions={"a": action(block=parent)}), "a", None, check=False)
    assert [kind for kind in run.event_types() if kind.value == "block.failed"] == ["block.failed"]
    assert run.failure is not None
    assert run.failure.reason == "NO"
