"""``flowstate client-stub``: what it writes can be read by people and checkers, and used."""

from __future__ import annotations

import asyncio
import datetime as dt
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from mypy import api

import examples.assistant
import examples.chat
from flowstate_client import FlowStateClient as AsynchronousClient, ItemDelta, ValidationFailed
from flowstate_client.sync import FlowStateClient as SynchronousClient
from flowstate_server.cli.stub.module import stub_of
from flowstate_server.testing.server import running_server
from tests.cli.flowstate_command import CHECKOUT, completed, flowstate
from tests.support import odd_flow

APPS = {
    "chat": "examples.chat:flowstate",
    "assistant": "examples.assistant:flowstate",
    "odd": "tests.support.odd_flow:flowstate",
}
AT = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stub of each application."""
    folder = tmp_path_factory.mktemp("stubs")
    for name, app in APPS.items():
        done = flowstate("client-stub", app)
        assert (done.code, done.stderr) == (0, "")
        (folder / f"{name}_stub.py").write_text(done.stdout, "utf-8")
    done = flowstate("client-stub", "--sync", APPS["chat"])
    assert (done.code, done.stderr) == (0, "")
    (folder / "chat_sync_stub.py").write_text(done.stdout, "utf-8")
    return folder


@pytest.fixture
def load(stubs: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    def module(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"{name}_stub", stubs / f"{name}_stub.py")
        assert spec is not None
        assert spec.loader is not None
        made = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, made)
        spec.loader.exec_module(made)
        return made

    return module


USE = """
from typing import assert_type

from assistant_stub import AssistantFlow
from chat_stub import ChatFlow, Preferences, Say
from flowstate_client import ActionStream, FlowStateClient
from flowstate_client.typed_flow import TypedRun
from odd_stub import Every, EveryEchoOutput, Node, OddFlow1Flow


async def use(client: FlowStateClient) -> None:
    chat = ChatFlow(client)
    assert_type(await chat.say(Say(message="hi"), session_id="s", timeout=1), str)
    assert_type(await chat.prefer(Preferences(tone="plain")), None)
    run = await chat.say.dispatch(Say(message="hi"))
    assert_type(run, TypedRun[str])
    assert_type(await run.result(), str)
    stream = chat.say.stream(Say(message="hi"), cancel_on_disconnect=True)
    assert_type(stream, ActionStream)
    assert_type(await chat.say.run(stream.run).result(), str)
    seen = await chat.snapshot("s")
    assert_type(seen.client_data.session.message_count, int | None)
    async for view in chat.watch("s"):
        assert_type(view.client_data.session.message_count, int | None)
    ticket = (await AssistantFlow(client).snapshot("s")).client_data.session.ticket
    assert ticket is not None
    assert_type(ticket.problems, list[str] | None)

    odd = OddFlow1Flow(client)
    assert_type(await odd.class_(None), int | None)
    assert_type(await odd.snapshot_("t"), dict[str, list[Node]])
    echoed = await odd.echo(Every(text="t", class_="c", at=__import__("datetime").datetime.now()))
    assert_type(echoed, EveryEchoOutput)

    await chat.say({"message": "hi"})  # type: ignore[arg-type]
    await chat.say(Say(text="hi"))  # type: ignore[call-arg]
    await chat.say(Say(message="hi"), session="s")  # type: ignore[call-arg]
    await chat.prefer(Preferences(tone="rude"))  # type: ignore[arg-type]
    await odd.class_("1")  # type: ignore[arg-type]
"""

USE_SYNC = """
from typing import assert_type

from chat_sync_stub import ChatFlow, Say
from flowstate_client import FlowStateClient as AsynchronousClient
from flowstate_client.sync import ActionStream, FlowStateClient
from flowstate_client.sync.typed_flow import TypedRun


def use(client: FlowStateClient, other: AsynchronousClient) -> None:
    chat = ChatFlow(client)
    assert_type(chat.say(Say(message="hi"), session_id="s", timeout=1), str)
    run = chat.say.dispatch(Say(message="hi"))
    assert_type(run, TypedRun[str])
    assert_type(run.result(), str)
    assert_type(chat.say.stream(Say(message="hi"), cancel_on_disconnect=True), ActionStream)
    assert_type(chat.snapshot("s").client_data.session.message_count, int | None)
    for view in chat.watch("s"):
        assert_type(view.client_data.session.message_count, int | None)

    chat.say(Say(message="hi"), session="s")  # type: ignore[call-arg]
    ChatFlow(other)  # type: ignore[arg-type]
"""


@pytest.mark.timeout(180)
def test_mypy_accepts_the_stubs_and_what_uses_them_rightly(
    stubs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stubs / "use.py").write_text(USE, "utf-8")
    (stubs / "use_sync.py").write_text(USE_SYNC, "utf-8")
    monkeypatch.chdir(stubs)
    monkeypatch.setenv("MYPYPATH", os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "protos")]))

    files = sorted(str(file) for file in stubs.glob("*.py"))
    options = ("--strict", "--no-error-summary", "--config-file=", "--cache-dir", str(stubs / "cache"))
    report, problems, _ = api.run([*options, *files])

    assert (report, problems) == ("", "")


def test_the_stubs_are_formatted(stubs: Path) -> None:
    files = [str(file) for file in stubs.glob("*_stub.py")]
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--no-cache", "--diff", *files]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (0, "")


def test_every_process_writes_the_same(stubs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    assert completed("client-stub", APPS["odd"]).stdout == (stubs / "odd_stub.py").read_text("utf-8")


async def test_the_chat_is_called_by_its_stub(load: Callable[[str], Any]) -> None:
    stub = load("chat")
    async with running_server(examples.chat.flowstate) as server, server.connect(user="ada") as client:
        chat = stub.ChatFlow(client)
        assert await chat.prefer(stub.Preferences(tone="pirate"), session_id="s") is None
        run = await chat.say.dispatch(stub.Say(message="Plan a trip"), session_id="s")
        told = "".join([event.text async for event in run.events() if isinstance(event, ItemDelta)])
        assert await run.result() == told
        assert (run.session_id, run.attached) == ("s", False)
        async with chat.say.stream(stub.Say(message="In May"), session_id="s") as stream:
            assert [event.type async for event in stream][-1] == "request.completed"
        assert (await chat.say.run(stream.run).result()).startswith("Arr! Noted for the trip")
        view = (await chat.snapshot("s")).client_data
        assert (view.session.message_count, view.session.label, view.user.tone) == (
            2,
            "Planning: trip",
            "pirate",
        )
        async with chat.watch("s") as views:
            assert (await anext(views)).client_data == view


async def test_the_chat_is_called_without_an_event_loop(load: Callable[[str], Any]) -> None:
    stub = load("chat_sync")

    def converse(target: str) -> None:
        with SynchronousClient.connect(target, user="ada") as client:
            chat = stub.ChatFlow(client)
            assert chat.prefer(stub.Preferences(tone="pirate"), session_id="s") is None
            run = chat.say.dispatch(stub.Say(message="Plan a trip"), session_id="s")
            assert run.result() == "".join(
                event.text for event in run.events() if isinstance(event, ItemDelta)
            )
            assert (run.session_id, run.attached) == ("s", False)
            with chat.say.stream(stub.Say(message="In May"), session_id="s") as stream:
                assert [event.type for event in stream][-1] == "request.completed"
            assert chat.say.run(stream.run.request_id).result().startswith("Arr! Noted for the trip")
            assert chat.say.validate(stub.Say(message="In June"), session_id="s").action == "say"
            view = chat.snapshot("s").client_data
            assert (view.session.message_count, view.user.tone) == (2, "pirate")
            with chat.watch("s") as views:
                assert next(iter(views)).client_data == view

    async with running_server(examples.chat.flowstate) as server:
        await asyncio.to_thread(converse, server.target)


async def test_a_stub_of_the_synchronous_client_refuses_the_other(load: Callable[[str], Any]) -> None:
    async with AsynchronousClient.connect("127.0.0.1:1") as client:
        with pytest.raises(TypeError, match=r"^this stub takes a client of flowstate_client\.sync; "):
            load("chat_sync").ChatFlow(client)


def test_a_stub_refuses_the_synchronous_client(load: Callable[[str], Any]) -> None:
    with SynchronousClient.connect("127.0.0.1:1") as client:
        with pytest.raises(TypeError, match=r"^this stub takes a client of flowstate_client; "):
            load("chat").ChatFlow(client)


async def test_the_assistant_is_called_by_its_stub(load: Callable[[str], Any]) -> None:
    stub = load("assistant")
    async with running_server(examples.assistant.flowstate) as server, server.connect(user="ada") as client:
        assistant = stub.AssistantFlow(client)
        await assistant.say(stub.Say(message="The cup in order 8 is broken."), session_id="s")
        view = (await assistant.snapshot("s")).client_data
        assert isinstance(view.session.ticket, stub.AssistantTicketView)
        assert (view.session.ticket.order, view.session.ticket.status) == (8, "open")
        assert view.user.tone == "plain"


async def test_the_odd_flow_is_called_by_its_stub(load: Callable[[str], Any]) -> None:
    stub = load("odd")
    async with running_server(odd_flow.flowstate) as server, server.connect(user="ada") as client:
        odd = stub.OddFlow1Flow(client)
        tree = stub.Node(name="root", children=[stub.Node(name="leaf")])
        given = stub.Every(
            text="t", class_="c", at=AT, tree=tree, da_shed2=5, open=stub.Open(known=1, more=2)
        )
        back = await odd.echo(given, session_id="s")
        assert (back.class_, back.da_shed2, back.da_shed, back.at) == ("c", 5, 4, AT)
        assert (back.day, back.span, back.pair) == (dt.date(2026, 1, 2), dt.timedelta(days=1), (1, "one"))
        assert isinstance(back.key, UUID)  # the server made it: what was not given was not sent
        assert isinstance(back.shape, stub.Circle)
        assert back.tree == tree
        assert back.open.model_extra == {"more": 2}
        assert (back.price, back.raw, back.colour, back.level) == ("1.50", "raw", "red", 1)
        assert await odd.class_(None) is None
        assert await odd.class_(3) == 3
        assert await odd.other(stub.EveryOtherInput(other=4)) == [stub.EveryOtherInput(other=4)]
        assert await odd.snap_shot({"any": [1]}) == {"a": 1}
        assert await odd.snapshot_("A title", session_id="s") == {"pages": [stub.Node(name="first")]}
        view = (await odd.snapshot("s")).client_data.session
        assert (view.tree, view.date, view.tuple_, view.colours, view.shout) == (tree, None, 1, [], "LOUD")
        assert view.front_page.title == "A title"
        with pytest.raises(ValidationFailed):
            await odd.echo.validate(stub.Every(text="t", class_="c", at=AT, positive=11))


def test_an_app_that_is_not_there_is_told() -> None:
    done = flowstate("client-stub", "examples.chat:no_such_app")
    assert (done.code, done.stdout) == (2, "")
    assert (
        done.stderr
        == "flowstate: examples.chat:no_such_app: the module has no no_such_app; it has flowstate\n"
    )


def test_an_app_without_flows_has_a_stub_too() -> None:
    compile(stub_of([], "flowstate client-stub empty:flowstate"), "stub.py", "exec")
