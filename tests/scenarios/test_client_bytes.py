"""Bytes from clients: read as they were written where a model declares them, refused by the name of the field else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import Base64Bytes, BaseModel, ConfigDict

from flowstate_client import FlowStateClient
from flowstate_server.flows import Context, Flow, Session, User, action, define_flow, handler
from flowstate_server.testing.server import running_server
from tests.support.declared_types import Encoded

DATA = b"null"
OTHER: dict[str, Any] = {"other": {"a": DATA}}


class State(BaseModel):
    """``DATA`` is text in base64, too, of other bytes."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    data: bytes = b""
    several: list[bytes] = []
    by_name: dict[bytes, bytes] = {}
    maybe: bytes | None = None
    inside: Encoded = Encoded()


class Plain(BaseModel):
    data: bytes = b""
    encoded: Base64Bytes = b""


class Sent(BaseModel):
    encoded: Base64Bytes


@handler
async def size(given: Sent, ctx: Context[State]) -> int:
    return len(given.encoded)


def flow() -> Flow:
    return define_flow(
        "bytes", actions={"size": action(block=size)}, session=Session(state=State), user=User(state=Plain)
    )


async def test_f3_bytes_are_read_as_they_were_written_by_a_handle_with_a_model() -> None:
    async with running_server(flow()) as server, server.connect(user="ada", plane="trusted") as client:
        session = client.state.session((await client.sessions.create("bytes")).id, model=State)
        await session.patch_state(data=DATA, maybe=DATA, inside=Encoded(data=DATA))
        await session.push_state("several", DATA, b"\xff")
        await session.set_state_record("by_name", DATA, b"\xff")
        written = State(
            data=DATA, maybe=DATA, several=[DATA, b"\xff"], by_name={DATA: b"\xff"}, inside=Encoded(data=DATA)
        )
        assert (await session.get()).state == written
        for again in (written, dict(written)):
            assert not (await session.set_state(again)).changed
        assert not (await session.atomic_state(dict)).changed
        await session.delete_state_record("by_name", DATA)
        async with session.batch() as batch:
            batch.push_state("several", b"1")
        assert (await session.get()).state == written.model_copy(
            update={"several": [DATA, b"\xff", b"1"], "by_name": {}}
        )


async def test_f3_a_model_that_is_given_later_says_how_bytes_are_written() -> None:
    async with running_server(flow()) as server, server.connect(user="ada", plane="trusted") as client:
        bare = client.state.session((await client.sessions.create("bytes")).id)
        await bare.atomic_state(lambda state: {"data": state.data + DATA}, model=State)
        async with client.state.batch() as batch:
            batch.user("ada", flow_kind="bytes", model=Plain).patch_state(data=DATA, encoded=DATA)
        user = client.state.user("ada", flow_kind="bytes")
        assert (await bare.get(model=State)).state.data == DATA
        assert (await user.get(model=Plain)).state == Plain.model_construct(data=DATA, encoded=DATA)


REFUSED: list[tuple[Callable[[FlowStateClient], Any], str]] = [
    (lambda client: client.state.session("s").patch_state({"data": DATA}), "/data"),
    (lambda client: client.state.session("s").set_state({"data": DATA}), "/data"),
    (lambda client: client.state.session("s").push_state("several", DATA), "/several"),
    (lambda client: client.state.session("s").set_state_record("by_name", "a", DATA), "/by_name"),
    (lambda client: client.state.session("s").set_state_record("by_name", DATA, "a"), "/by_name"),
    (lambda client: client.state.session("s").delete_state_record("by_name", DATA), "/by_name"),
    (lambda client: client.state.session("s").batch().patch_state(data=DATA), "/data"),
    (lambda client: client.state.batch().session("s").patch_state(data=[DATA]), "/data/0"),
    (lambda client: client.state.session("s", model=Plain).patch_state(OTHER), "/other/a"),
    (lambda client: client.flows.call("bytes", "size", {"encoded": DATA}), "/encoded"),
    (lambda client: client.flows.stream("bytes", "size", {"encoded": DATA}), "/encoded"),
    (lambda client: client.journal.append("s", "text", data={"a": DATA}), "/a"),
]


@pytest.mark.parametrize(("write", "place"), REFUSED)
async def test_f3_bytes_that_no_model_declares_are_refused_by_name(
    write: Callable[[FlowStateClient], Any], place: str
) -> None:
    async with FlowStateClient.connect("127.0.0.1:1") as client:
        with pytest.raises(ValueError, match=f"^{place}: .*bytes have no one JSON form") as refused:
            await write(client)
        assert "null" not in str(refused.value)


async def test_f3_an_input_that_declares_bytes_arrives_as_it_is() -> None:
    async with running_server(flow()) as server, server.connect(user="ada", plane="trusted") as client:
        assert await client.flows.call("bytes", "size", Sent.model_construct(encoded=b"\xff\x00")) == 2
