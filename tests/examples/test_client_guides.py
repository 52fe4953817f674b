"""The guides to typed clients and to histories do what they say."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from flowstate_client import NewItem
from flowstate_server.flows import Context, action, define_flow, handler
from flowstate_server.testing.fixtures import StartServer
from tests.cli.flowstate_command import CHECKOUT, flowstate


def blocks(guide: str) -> list[str]:
    text = (CHECKOUT / "docs" / "guides" / guide).read_text("utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


async def test_the_stub_is_called(
    start_server: StartServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flow, use = blocks("client-stub.md")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "shop_app.py").write_text(flow, "utf-8")
    (tmp_path / "shop_client.py").write_text(flowstate("client-stub", "shop_app:flowstate").stdout, "utf-8")
    names: dict[str, Any] = {"__name__": "caller"}
    try:
        exec(compile(use, "caller.py", "exec", dont_inherit=True), names)
        server = await start_server(importlib.import_module("shop_app").flowstate)
        async with server.connect(user="ada") as client:
            await names["buy"](client)
    finally:
        for name in ("shop_app", "shop_client"):
            sys.modules.pop(name, None)
    assert capsys.readouterr().out == "1 x tea 3\n6\n3\n"


@handler
async def say(text: str, ctx: Context) -> None:
    await ctx.add_item("message", text, role="user")
    await ctx.tool_call("look", {"at": text}, call_id="1")
    await ctx.tool_output("1", "nothing")


async def test_the_history_is_told(start_server: StartServer, capsys: pytest.CaptureFixture[str]) -> None:
    [code] = blocks("history.md")
    names: dict[str, Any] = {"__name__": "caller"}
    exec(compile(code, "caller.py", "exec", dont_inherit=True), names)
    server = await start_server(define_flow(kind="talk", actions={"say": action(block=say)}))
    async with server.connect(user="ada", plane="trusted") as client:
        await client.flows.call("talk", "say", "hello", session_id="s")
        await client.sessions.append_items("s", [NewItem("custom", {"chart": 1})])
        told = await names["messages"](client, "s")
    assert [message["role"] for message in told] == ["user", "assistant", "tool"]
    assert capsys.readouterr().out == "['custom']\n"
