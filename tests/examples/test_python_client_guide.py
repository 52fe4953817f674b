"""The code of the guide to the Python client does what the guide says."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_client import ClientConfig, FlowStateClient
from flowstate_client.config import ClientConfig as Config
from flowstate_server.flows import ActionError, ClientView, Context, Session, action, define_flow, handler
from flowstate_server.testing.server import RunningServer, running_server
from tests.cli.flowstate_command import CHECKOUT

TEXT = (CHECKOUT / "docs/guides/python-client.md").read_text("utf-8")
CODE = re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


class Say(BaseModel):
    message: str


class Counted(BaseModel):
    message_count: int = 0


@handler(session_state=Counted)
async def reply(say: Say, ctx: Context[Counted]) -> str:
    if say.message == "no":
        raise ActionError("REFUSED", "I will not")
    await ctx.session.inc_state(message_count=1)
    async with ctx.message() as message:
        await message.write(f"You said: {say.message}")
    return message.text


CHAT = define_flow(
    kind="chat",
    session=Session(client=ClientView(expose=["message_count"])),
    actions={"say": action(input=Say, block=reply)},
)


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(CHAT) as running:
        yield running


@pytest.fixture
async def client(server: RunningServer) -> AsyncIterator[FlowStateClient]:
    async with server.connect(user="ada") as opened:
        yield opened


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    found: dict[str, Any] = {"__name__": "my_client"}
    exec(compile("".join(CODE), "my_client.py", "exec", dont_inherit=True), found)
    return found


async def test_connect_and_call(
    names: dict[str, Any], server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    await names["main"](server.target)
    assert capsys.readouterr().out == "You said: hi\n"
    await asyncio.to_thread(names["script"], server.target)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "request.created"
    assert lines[-4] == "You said: hi"
    assert lines[-1] == "{'session': {'message_count': 1}}"


async def test_follow(
    names: dict[str, Any], client: FlowStateClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await names["follow"](client) == "You said: hello there"
    assert capsys.readouterr().out == "You said: hello there{'message_count': 1}\n"
    assert await names["once"](client, "7") == await names["once"](client, "7") == "You said: 7"
    assert capsys.readouterr().out == "started\nfound\n"


async def test_lists(
    names: dict[str, Any], client: FlowStateClient, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(51):
        await client.sessions.create("chat", title=f"Talk {number}", tags=["open"] if number < 2 else [])
    token = await names["lists"](client)
    assert capsys.readouterr().out.splitlines()[2:] == ["Talk 50", "50", "1"]
    assert await names["lists"](client, token) == ""


async def test_what_goes_wrong(names: dict[str, Any], client: FlowStateClient) -> None:
    assert await names["careful"](client, "hi") == "You said: hi"
    assert await names["careful"](client, "no") == "REFUSED: I will not"
    assert (await names["careful"](client, 5)).startswith("spec.input")
    config = ClientConfig(timeout=0.2)
    async with FlowStateClient.connect("127.0.0.1:1", user="ada", config=config) as lost:
        assert await names["careful"](lost, "hi") == "later"


def test_the_numbers_are_those_of_the_configuration() -> None:
    config = Config()
    told = {name: float(number) for name, number in re.findall(r"`(\w+)` \((\d+)", TEXT)}
    assert told == {name: getattr(config, name) for name in ("read_attempts", "timeout", "cas_attempts")}


async def test_correlation_ids(
    names: dict[str, Any], server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "shop"):
        id = await names["traced"](server.target)
    told = [record.getMessage() for record in caplog.records if record.name == "shop"]
    assert [re.sub(r"[\d.]+ s", "0 s", line) for line in told] == [
        "FlowService/CallAction OK in 0 s (order-17)",
        f"FlowService/CallAction OK in 0 s ({id})",
    ]


async def test_tokens(names: dict[str, Any], server: RunningServer) -> None:
    fetched: list[int] = []

    async def fetch() -> tuple[str, float]:
        fetched.append(len(fetched))
        return f"token-{len(fetched)}", 90.0

    assert await names["with_tokens"](server.target, fetch)
    tokens = names["Tokens"](fetch)
    assert await tokens() == await tokens() == {"authorization": "Bearer token-2"}


async def test_the_tests_of_the_guide_pass(names: dict[str, Any], server: RunningServer) -> None:
    async with server.connect(plane="trusted") as trusted:
        await names["test_greet"](trusted)
        await names["test_an_outage"](trusted)
