"""Whatever code of authors raises about a value, be it a validator, a serializer, a factory or a derived value: that
write, call or value fails, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flowstate_client import ActionFailed, FlowStateClient, FlowStateError, NotFound, RunHandle
from flowstate_server.testing.server import running_server
from tests.support.hostile_flows import KINDS, armed
from tests.support.hostile_values import KIND, WRITES, flow
from tests.support.store_urls import ALL, new_store_url


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    armed.clear()


@dataclass
class Beside:
    client: FlowStateClient
    anybody: FlowStateClient
    neighbour: RunHandle

    async def call(self, action: str, value: Any) -> Any:
        return await self.client.flows.call(KIND, action, value, session_id="s", timeout=20.0)

    async def unharmed(self) -> None:
        """The run beside completes, and the next calls are served."""
        assert await self.neighbour.result(timeout=20.0) == 10
        assert await self.call("give", {}) == {"text": "given", "shown": ""}
        assert await self.call("write", {"after": "in the end"}) == "written"
        assert (await self.client.state.session("s").get()).state["after"] == "in the end"


@asynccontextmanager
async def beside(store: str, folder: Path) -> AsyncIterator[Beside]:
    async with (
        new_store_url(store, folder) as url,
        running_server(flow, store=url) as server,
        server.connect(user="u", plane="trusted") as client,
        server.connect(plane="trusted") as anybody,
    ):
        neighbour = await client.flows.dispatch(KIND, "wait", {}, session_id="beside")
        served = Beside(client, anybody, neighbour)
        assert await served.call("write", {"after": "first"}) == "written"
        yield served


def in_turn(*places: str) -> Iterator[tuple[str, str]]:
    """Every place with every kind; all of them in one test, or servers would take the time."""
    for place in places:
        for kind in KINDS:
            armed.clear()
            armed[place] = kind
            yield place, kind
    armed.clear()


@pytest.mark.parametrize("action", ["write", "write_in_thread"])
@pytest.mark.parametrize("store", ALL)
async def test_f1_what_the_code_of_a_field_raises_fails_the_write_of_a_block(
    store: str, action: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with beside(store, tmp_path) as served:
        for place, kind in in_turn(*WRITES):
            with pytest.raises(ActionFailed) as failed:
                await served.call(action, WRITES[place])
            assert failed.value.failure.reason == "INTERNAL", (place, kind)
            assert "secret" not in str(failed.value), (place, kind)
            assert failed.value.failure.error_id in caplog.text, (place, kind)
        await served.unharmed()


@pytest.mark.parametrize("store", ALL)
async def test_f1_what_the_code_of_a_field_raises_refuses_the_write_of_a_client(
    store: str, tmp_path: Path
) -> None:
    async with beside(store, tmp_path) as served:
        record = served.client.state.session("s")
        for place, kind in in_turn(*WRITES):
            with pytest.raises(FlowStateError) as refused:
                await record.patch_state(WRITES[place])
            assert "secret" not in str(refused.value), (place, kind)
        assert (await record.get()).version == 1
        await served.unharmed()


@pytest.mark.parametrize("store", ALL)
async def test_f1_what_a_validator_of_a_model_raises_fails_the_run(store: str, tmp_path: Path) -> None:
    async with beside(store, tmp_path) as served:
        await served.anybody.flows.call(KIND, "write_user", "drawn with it", user_id="another")
        for place, kind in in_turn("model validator"):
            with pytest.raises(ActionFailed) as failed:
                await served.anybody.flows.call(KIND, "write_user", "x", user_id="another")
            assert failed.value.failure.reason == "INTERNAL", (place, kind)
            assert "secret" not in str(failed.value), (place, kind)
        await served.unharmed()


@pytest.mark.parametrize("store", ALL)
async def test_f1_what_a_drawn_factory_raises_refuses_the_call(store: str, tmp_path: Path) -> None:
    """The record that it is to begin can't be stored, so neither is the request."""
    async with beside(store, tmp_path) as served:
        for place, kind in in_turn("drawn factory"):
            with pytest.raises(FlowStateError) as refused:
                await served.anybody.flows.call(KIND, "write_user", "x", user_id=kind, request_id=kind)
            assert not isinstance(refused.value, ActionFailed), (place, kind)
            assert "secret" not in str(refused.value), (place, kind)
            with pytest.raises(NotFound):
                await served.anybody.flows.handle(kind).result(timeout=5.0)
        await served.unharmed()


@pytest.mark.parametrize("store", ALL)
async def test_a3_what_validators_and_factories_of_inputs_raise_is_refused(
    store: str, tmp_path: Path
) -> None:
    async with beside(store, tmp_path) as served:
        for place, kind in in_turn("input validator", "input factory"):
            with pytest.raises(FlowStateError) as refused:
                await served.call("give", {"text": "given"})
            assert not isinstance(refused.value, ActionFailed), (place, kind)
            assert "secret" not in str(refused.value), (place, kind)
        await served.unharmed()


@pytest.mark.parametrize("store", ALL)
async def test_f1_what_the_code_of_an_output_raises_fails_the_request(store: str, tmp_path: Path) -> None:
    async with beside(store, tmp_path) as served:
        for place, kind in in_turn("output validator", "output serializer"):
            with pytest.raises(ActionFailed) as failed:
                await served.call("give", {})
            assert failed.value.failure.reason in ("INTERNAL", "OUTPUT_INVALID"), (place, kind)
            assert "secret" not in str(failed.value), (place, kind)
        await served.unharmed()


@pytest.mark.parametrize("store", ALL)
async def test_a3_a_derived_value_that_raises_is_missing_by_its_name_alone(
    store: str, tmp_path: Path
) -> None:
    names = {"derived value": "sync", "async derived value": "async"}
    async with beside(store, tmp_path) as served:
        for place, kind in in_turn(*names):
            snapshot = await served.client.sessions.snapshot("beside", timeout=20.0)
            failed = [name for failures in snapshot.failures.values() for name in failures]
            assert failed == [names[place]], (place, kind)
            shown = {"sync", "async", "other", "count"} - {names[place]}
            assert set(snapshot.client_data["session"]) == shown, (place, kind)
        await served.unharmed()
