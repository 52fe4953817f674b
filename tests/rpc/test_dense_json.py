"""JSON with blanks in it, as an editor or another program writes it, is taken wherever JSON is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate.v1 import (
    flow_service_pb2 as flows,
    session_service_pb2 as sessions,
    state_service_pb2 as states,
)
from flowstate.v1.types_pb2 import ScopeRef, Value
from flowstate_server.flows import Context, action, define_flow, handler
from flowstate_server.testing.server import running_server
from tests.support.served import served, spec
from tests.support.store_urls import DURABLE, new_store_url
from tests.support.wire import TRUSTED

NUMBERS = [1] * 3000
PAIRS = [[1, 2]] * 940


class Listed(BaseModel):
    rows: list[Any] = []


@handler(session_state=Listed)
async def echo(said: Listed, ctx: Context[Listed]) -> Listed:
    return said


ECHO = define_flow(kind="echo", actions={"echo": action(input=Listed, block=echo)})


def laid_out(value: object, blank: str) -> str:
    """The text as a template makes it: blanks around, and none in the list."""
    inner = json.dumps(value, separators=(",", ":"))
    return f'{{\n{blank}"rows":\n{blank}{inner}\n}}'


@handler(session_state=Listed)
async def push(rows: list[Any], ctx: Context[Listed]) -> int:
    for begin in range(0, len(rows), 10):
        await ctx.session.push_state("rows", *rows[begin : begin + 10])
    return len(ctx.session.state.rows)


GROWING = define_flow(kind="growing", actions={"push": action(block=push)})


@pytest.mark.parametrize("value", [NUMBERS[:1500], PAIRS], ids=["numbers", "pairs"])
@pytest.mark.parametrize("store", DURABLE)
async def test_a1_dense_state_is_read_again_after_a_restart(
    store: str, value: list[Any], tmp_path: Path
) -> None:
    async with new_store_url(store, tmp_path) as url:
        for start in range(2):
            async with (
                running_server(GROWING, store=url) as server,
                server.connect(user="u", plane="trusted") as client,
            ):
                state = client.state.session("s")
                if start == 0:
                    assert await client.flows.call("growing", "push", value, session_id="s") == len(value)
                assert (await state.get()).state == {"rows": value}
                assert not (await client.sessions.snapshot("s")).failures


@pytest.mark.parametrize("value", [NUMBERS, PAIRS], ids=["numbers", "pairs"])
@pytest.mark.parametrize("blank", ["  ", "\t"])
async def test_a2_dense_text_is_taken_as_input_metadata_and_state(value: list[Any], blank: str) -> None:
    text = laid_out(value, blank)
    async with served(None, ECHO) as server:
        created = await server.sessions.CreateSession(
            sessions.CreateSessionRequest(
                session=sessions.Session(
                    session_id="s1", flow_kind="echo", user_id="u1", metadata=Value(json=text)
                )
            )
        )
        call = spec("echo", flow_kind="echo", session_id="s1", request_id="r1")
        call.input.json = text
        reply = await server.flows.CallAction(flows.CallActionRequest(spec=call))
        commit = states.CommitStateRequest(return_state=states.RETURN_STATE_FULL)
        commit.mutations.add(scope=ScopeRef(session_id="s1")).ops.add(path="").set.json = text
        (record,) = (await server.states.CommitState(commit, metadata=TRUSTED)).records
        answer = await server.flows.GetActionRequest(
            flows.GetActionRequestRequest(request_id="r1"), metadata=TRUSTED
        )
    assert json.loads(created.session.metadata.json) == {"rows": value}
    assert json.loads(reply.action_request.output.json) == {"rows": value}
    assert json.loads(record.state.json) == {"rows": value}
    assert json.loads(answer.action_request.input.json) == {"rows": value}
