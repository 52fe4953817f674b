"""Records read and written in nobody's name, which flows share that declare some fields and not others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_client import (
    FlowStateClient,
    SchemaViolation,
    ScopeUnavailable,
    StateTypeConflict,
)
from flowstate_server.flows import Flow, User
from flowstate_server.model.scopes import user_scope
from tests.support.hosted import Hosted, hosted, play


class Chats(BaseModel):
    theme: str = "light"
    said: int = 0
    level: int = 1


class Orders(BaseModel):
    theme: str = "light"
    bought: list[str] = []
    level: int = 2


def renamed(fields: dict[str, Any]) -> dict[str, Any]:
    if "color" in fields:
        fields.setdefault("theme", fields.pop("color"))
    return fields


async def _nothing(ctx: Any) -> None: ...


def flow(kind: str, model: type[BaseModel], generation: int = 1, upgrade: Any = None) -> Flow:
    user = User(state=model, generation=generation, upgrade=upgrade)
    return play(_nothing, kind=kind, user=user)


def add(server: Hosted, flow: Flow) -> None:
    """Past the check of what flows may differ in, which is not what is tested."""
    catalogue = server.engine.catalogue
    catalogue._flows[flow.kind] = flow
    catalogue._remembered.clear()


@pytest.fixture
async def server() -> AsyncIterator[Hosted]:
    async with hosted(flow("chat", Chats)) as server:
        add(server, flow("shop", Orders))
        yield server


@pytest.fixture
async def client(server: Hosted) -> AsyncIterator[FlowStateClient]:
    async with server.client(plane="trusted", user=None) as client:
        yield client


async def test_fields_of_either_flow_are_written_and_read(client: FlowStateClient) -> None:
    user = client.state.user("ada")
    assert (await user.get()).state == {"theme": "light", "said": 0, "bought": []}
    async with user.batch() as batch:
        batch.inc_state(said=1)
        batch.push_state("bought", "tea")
        batch.patch_state(level=5)
    assert (await user.get()).state == {"theme": "light", "said": 1, "bought": ["tea"], "level": 5}
    assert (await client.state.user("ada", flow_kind="chat").get(paths=["/said", "/level"])).state == {
        "said": 1,
        "level": 5,
    }
    hashes = {
        (await client.state.user("ada", flow_kind=kind).get()).schema_hash for kind in (None, "chat", "shop")
    }
    assert len(hashes) == 3
    with pytest.raises(SchemaViolation) as refusal:
        await user.patch_state(unknown=1)
    assert "/unknown" in str(refusal.value)


async def test_a_default_in_which_flows_differ_is_nobodys(client: FlowStateClient) -> None:
    user = client.state.user("ada")
    for kind, level in (("chat", 1), ("shop", 2)):
        assert (await client.state.user("ada", flow_kind=kind).get()).state["level"] == level
    with pytest.raises(StateTypeConflict) as refusal:
        await user.inc_state(level=1)
    assert '"chat" and "shop"' in str(refusal.value)
    assert not (await user.get()).exists
    assert (await client.state.user("ada", flow_kind="shop").inc_state(level=1)).changed
    await user.inc_state(level=1)
    assert (await user.get()).state["level"] == 4


async def test_private_records_are_their_flows_alone(client: FlowStateClient) -> None:
    private = client.state.user("ada", flow_kind="chat", isolated=True)
    with pytest.raises(SchemaViolation):
        await private.push_state("bought", "tea")
    await private.inc_state(said=1)
    assert (await private.get()).state == {"theme": "light", "said": 1, "level": 1}
    assert not (await client.state.user("ada").get()).exists


async def test_upgrades_and_generations_of_all_flows_count(server: Hosted, client: FlowStateClient) -> None:
    user = client.state.user("ada")

    class Old(BaseModel):
        color: str = ""

    add(server, flow("chat", Old))
    await user.patch_state(color="red")
    add(server, flow("chat", Chats, 2, renamed))
    assert (await user.get()).state["theme"] == "red"
    await user.push_state("bought", "tea")
    key = user_scope("ada")
    stored = (await server.engine.store.load_states((key,)))[key]
    assert dict(stored.generations)["chat"] == 2
    # Who writes for all is nobody's successor: what an upgrade leaves out may be another flow's, and stays.
    assert stored.state == {"color": "red", "theme": "red", "bought": ["tea"]}

    add(server, flow("chat", Chats))
    assert (await user.get()).state["theme"] == "red"
    with pytest.raises(ScopeUnavailable) as refusal:
        await user.push_state("bought", "rum")
    assert "newer deploy" in str(refusal.value)
    with pytest.raises(ScopeUnavailable):
        await client.state.user("ada", flow_kind="shop").push_state("bought", "rum")
