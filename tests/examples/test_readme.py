"""The README's code does what the README says."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from flowstate_client import ActionFailed, FlowStateClient
from flowstate_server.flows import action, define_flow
from flowstate_server.model.events import EventType
from flowstate_server.rpc.token_file import read_tokens
from flowstate_server.settings import PREFIX, SETTINGS, Settings
from flowstate_server.testing import run_flow, running_server
from tests.cli.flowstate_command import CHECKOUT, started, told

TEXT = (CHECKOUT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


(
    FLOW,
    BLOCK,
    SYNC,
    LIFESPAN,
    CALL,
    REOPEN,
    SCREEN,
    MEND,
    UPGRADE,
    KEPT,
    TEST,
    CONVERSATION,
    CONFTEST,
    SERVED_TEST,
) = blocks("python")


async def test_the_flow_passes_its_test(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("my_chat")
    names = vars(module)
    exec(compile(FLOW, "my_chat.py", "exec"), names)
    monkeypatch.setitem(sys.modules, "my_chat", module)
    exec(compile(TEST, "test_my_chat.py", "exec"), names)
    exec(compile(CONVERSATION, "test_my_chat.py", "exec"), names)
    await names["test_say"]()
    await names["test_a_conversation"]()


async def test_the_upgrade_passes_its_test() -> None:
    names: dict[str, Any] = {"__name__": "my_chat", "run_flow": run_flow}
    exec(compile(FLOW + UPGRADE, "my_chat.py", "exec"), names)
    await names["test_readers_of_the_first_generation"]()


NEWS = """
class Reader(BaseModel):
    topics: {kind}

@handler
async def follow(topic: str, ctx: Context[None, Reader]) -> object:
    await ctx.user.{write}
    return ctx.user.state.topics

news = define_flow(kind="news", actions={{"follow": action(block=follow)}})
"""


async def test_a_client_mends_what_does_not_fit_any_more(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'news.db'}"
    before, after = (
        NEWS.format(kind=kind, write=write)
        for kind, write in (
            ('str = ""', "patch_state(topics=topic)"),
            ("list[str] = []", 'push_state("topics", topic)'),
        )
    )
    names: dict[str, Any] = {"__name__": "my_news"}
    exec(compile(FLOW + before, "my_news.py", "exec"), names)
    async with running_server([names["news"]], store=store) as server, server.connect(user="ada") as client:
        await client.flows.call("news", "follow", "tea,coffee")
    exec(
        compile(after + "from flowstate_client import FlowStateClient\n" + MEND, "my_news.py", "exec"), names
    )
    async with (
        running_server([names["news"]], store=store) as server,
        server.connect(user="ada", plane="trusted") as client,
    ):
        with pytest.raises(ActionFailed):
            await client.flows.call("news", "follow", "cocoa")
        await names["mend"](client)
        assert await client.flows.call("news", "follow", "cocoa") == ["tea", "coffee", "cocoa"]
        await client.state.user("ada", flow_kind="news").unset_state("topics")
        assert await client.flows.call("news", "follow", "cocoa") == ["cocoa"]


async def test_a_page_that_is_loaded_again_gets_its_conversation_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names: dict[str, Any] = {"__name__": "my_chat", "FlowStateClient": FlowStateClient}
    exec(compile(FLOW + REOPEN, "my_chat.py", "exec"), names)
    async with running_server(names["flowstate"]) as server, server.connect(user="ada") as client:
        await client.flows.call("chat", "say", {"message": "one"}, session_id="s1")
        events = names["reopen"](client, "s1")
        first = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.1)  # it may come at any moment; this is the one in which the page is up
        await client.flows.call("chat", "say", {"message": "two"}, session_id="s1")
        seen = [await first]
        while seen[-1].type != "request.completed":
            seen.append(await anext(events))
        await events.aclose()
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "{'session': {'message_count': 1}}"
    assert ["one" in line for line in told[1:]] == [True, True]
    assert seen[0].type == "request.created"
    assert len([event for event in seen if event.type == "item.done"]) == 2


async def test_a_screen_shows_events_and_what_the_flow_shows(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "my_chat"}
    imported = "from flowstate_client import FlowStateClient\n"
    exec(compile(FLOW + imported + SCREEN, "my_chat.py", "exec", dont_inherit=True), names)
    async with running_server([names["chat"]]) as server, server.connect(user="ada") as client:
        await names["screen"](client)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("request.created ")
    assert lines[-2:] == ["request.completed 1", "{'session': {'message_count': 1}}"]


async def test_a_block_has_what_the_lifespan_yields() -> None:
    names: dict[str, Any] = {"__name__": "my_chat"}
    exec(compile(FLOW + LIFESPAN, "my_chat.py", "exec"), names)
    async with running_server(names["flowstate"]) as server, server.connect(user="ada") as client:
        assert await client.flows.call("shop", "quote", "tea") == "tea: 42"
        assert await client.flows.call("chat", "say", {"message": "hi"}) == "You said: hi "

    async def of(prices: object, article: str) -> int:
        return 7

    fake = type("FakePrices", (names["Prices"],), {"of": of})
    run = await run_flow(names["shop"], "quote", "tea", dependencies=fake())
    assert run.output == "tea: 7"


def test_the_server_passes_its_tests(tmp_path: Path) -> None:
    conftest = f'pytest_plugins = ["flowstate_server.testing.fixtures"]\n{CONFTEST}'
    for name, text in {"my_chat": FLOW, "conftest": conftest, "test_served": SERVED_TEST}.items():
        (tmp_path / f"{name}.py").write_text(text)
    scope = "asyncio_default_fixture_loop_scope=function"
    command = (sys.executable, "-m", "pytest", "-W", "error", "-o", "asyncio_mode=auto", "-o", scope)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr


async def test_a_sync_handler_writes_too() -> None:
    names: dict[str, Any] = {"__name__": "my_chat"}
    exec(compile(FLOW + SYNC, "my_chat.py", "exec"), names)
    flow = define_flow(kind="prices", actions={"look_up": action(block=names["look_up"])})
    run = await run_flow(flow, "look_up", "tea")
    assert (run.output, run.session.state.message_count) == ("tea: 3", 1)


@pytest.mark.parametrize("org", ["", "acme"])
async def test_a_block_has_what_is_said(org: str) -> None:
    names: dict[str, Any] = {"__name__": "my_chat"}
    exec(compile(FLOW + BLOCK, "my_chat.py", "exec"), names)
    flow = define_flow(kind="answers", actions={"answer": action(block=names["answer"])})
    ran = await run_flow(flow, "answer", {"message": "hello"}, org_id=org)
    assert ran.output == "0 items so far, in a plain tone"
    assert EventType.CUSTOM in ran.event_types()
    assert [item.kind for item in ran.items] == ["message"]
    assert [(note.text, note.data) for note in ran.journal] == [("answered", {"items": 0})]
    assert (ran.org is not None and ran.org.state.answers == 1) == bool(org)


async def test_the_flow_can_be_served_and_called(tmp_path: Path) -> None:
    (tmp_path / "my_chat.py").write_text(FLOW)
    command = ("serve", "my_chat:flowstate", "--store", "sqlite:///chat.db", "--listen", "127.0.0.1:0")
    with started(*command, cwd=tmp_path) as process:
        address = told(process, "listening")["address"]
        names: dict[str, Any] = {"__name__": "call"}
        exec(compile(CALL.replace("127.0.0.1:7437", address), "call.py", "exec"), names)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            await names["main"]()
    expected = "You said: hello You said: hello \n{'session': {'message_count': 1}}\n"
    assert printed.getvalue() == expected


def test_a_flow_says_how_long_its_sessions_are_kept() -> None:
    names: dict[str, Any] = {}
    exec(compile(KEPT, "my_chat.py", "exec"), names)
    keeping = names["kept"].keeping
    assert (keeping.ttl, keeping.ephemeral_ttl) == (90 * 86400.0, 86400.0)
    assert (keeping.retention.max_turns, keeping.retention.seconds) == (500, 30 * 86400.0)


def test_the_token_file_is_one(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(blocks("toml")[0].replace("…", "0" * 64, 1))
    ((_, principal),) = read_tokens(path)
    assert (principal.tenant, principal.name) == ("acme", "shop backend")


def test_the_table_of_settings_is_theirs() -> None:
    rows = [
        f"| `{PREFIX}{name.upper()}` | {_default(name)} | {setting.text} |"
        for name, setting in SETTINGS.items()
    ]
    rows.append("| `FLOWSTATE_LOG_LEVEL` | `info` | What is logged to stderr. |")
    rows.append("| `FLOWSTATE_LOG_FORMAT` | `text` | `json`: each line is a JSON object. |")
    assert re.findall(r"^\| `FLOWSTATE_.*\|$", TEXT, re.MULTILINE) == rows


def _default(name: str) -> str:
    value: Any = getattr(Settings(), name)
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"`{value:.10g}`"
    return f"`{value}`" if value is not None else SETTINGS[name].shown or "–"
