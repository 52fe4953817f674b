from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from flowstate_client import ActionFailed, FlowStateClient, FlowStateError, RequestStatus
from flowstate_server.cli.announcement import missing_of_store
from flowstate_server.settings import Settings
from tests.cli.flowstate_command import CHECKOUT, Done, completed, flowstate, started, told
from tests.cli.shell_terminal import typing

SLOW = "tests.cli.slow_flow:slow"
LOCALLY = ("--listen", "127.0.0.1:0")
CERTIFICATE = str(CHECKOUT / "tests/support/tls/localhost.cert.pem")
KEY = str(CHECKOUT / "tests/support/tls/localhost.key.pem")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_tells_its_parent_where_it_listens_and_stops_on_a_signal(number: signal.Signals) -> None:
    with started("serve", "examples.chat:flowstate", *LOCALLY, "--store", "memory") as process:
        listening = told(process, "listening")
        assert listening["address"].startswith("127.0.0.1:")
        assert not listening["address"].endswith(":0")
        assert listening["flows"] == {"chat": ["prefer", "say"]}
        assert listening["store"] == "memory"
        assert listening["pid"] == process.pid
        process.send_signal(number)
        told(process, "stopping")
        told(process, "stopped")
        assert process.wait(10) == 0


def test_it_stops_as_well_when_its_parent_has_gone() -> None:
    with started("serve", SLOW, *LOCALLY) as process:
        told(process, "listening")
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.terminate()
        assert process.wait(10) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize("form", ["sqlite:///{}", "file:{}"])
def test_a_store_that_is_created_is_told_as_such(form: str, tmp_path: Path) -> None:
    store = ("--store", form.format(tmp_path / "nope" / "chat"))
    for created in (True, False):
        with started("serve", SLOW, *LOCALLY, *store) as process:
            listening = told(process, "listening")
            assert (listening["created"], listening["persistent"]) == (created, True)
            process.terminate()
            assert process.wait(10) == 0


def test_a_terminal_is_told_the_whole_path_of_what_was_created(tmp_path: Path) -> None:
    path = tmp_path / "nope" / "chat"
    with typing(
        sys.executable, "-m", "flowstate_server", "serve", SLOW, *LOCALLY, "--store", f"file:{path}"
    ) as it:
        it.wait_for("Ctrl-C stops it.")
        assert f" (created at {path}; its folder was not there either, and was created)\r\n" in it.shown
        it.type("\x03")
        assert it.wait_for_end() == 0


def test_what_is_missing_of_a_store_is_its_file_and_its_folder(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    for name, missing in {"here": [], "new": ["new"], "nope/new": ["nope", "nope/new"]}.items():
        settings = Settings(store=f"sqlite:///{tmp_path / name}")
        assert list(missing_of_store(settings)) == [tmp_path / one for one in missing]
    assert not missing_of_store(Settings(store="memory"))
    assert not missing_of_store(Settings())


@pytest.mark.parametrize("store", [(), ("--store", "memory")])
def test_a_store_that_keeps_nothing_is_told_as_such(store: tuple[str, ...]) -> None:
    with started("serve", SLOW, *LOCALLY, *store) as process:
        listening = told(process, "listening")
        assert (listening["created"], listening["persistent"]) == (False, False)
        assert listening["store"] == "memory"


def test_settings_come_from_the_environment_and_options_win(tmp_path: Path) -> None:
    path = tmp_path / "from_environment.db"
    store = f"sqlite:///{path}"
    with started("serve", SLOW, *LOCALLY, FLOWSTATE_LISTEN="banana", FLOWSTATE_STORE=store) as process:
        told(process, "listening")
        assert path.exists()


def test_an_app_of_the_working_directory_with_a_store_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "my_app.py").write_text(
        "from flowstate_server.app import create_flowstate\n"
        "from flowstate_server.stores.sqlite.store import SqliteStore\n"
        "from tests.cli.slow_flow import slow\n"
        "app = create_flowstate(flows=[slow], stores={'default': SqliteStore('own.db')})\n"
    )
    with started("serve", "my_app:app", *LOCALLY, cwd=tmp_path) as process:
        assert told(process, "listening")["store"] == "SqliteStore"
        assert (tmp_path / "own.db").exists()


async def test_a_signal_waits_for_runs_that_are_under_way() -> None:
    with started("serve", SLOW, *LOCALLY) as process:
        async with FlowStateClient.connect(told(process, "listening")["address"], user="u") as client:
            run = await client.flows.dispatch("slow", "nap", 0.5)
            result = asyncio.create_task(run.result(str))
            # The wait is to be there before the signal, and nothing tells that it is.
            await asyncio.sleep(0.1)
            process.terminate()
            assert await result == "rested"
        assert process.wait(10) == 0


async def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    store = ("--store", f"sqlite:///{tmp_path / 'slow.db'}")
    with started("serve", SLOW, *LOCALLY, *store) as process:
        async with FlowStateClient.connect(told(process, "listening")["address"], user="u") as client:
            run = await client.flows.dispatch("slow", "nap", 60.0)
        began = time.monotonic()
        process.terminate()
        told(process, "stopping")
        process.terminate()
        assert process.wait(10) == 1
        assert time.monotonic() - began < 5
    with started("serve", SLOW, *LOCALLY, *store) as process:
        async with FlowStateClient.connect(told(process, "listening")["address"], user="u") as client:
            with pytest.raises(ActionFailed) as failed:
                await client.flows.handle(run.request_id).result(timeout=10)
    assert failed.value.status is RequestStatus.INTERRUPTED


async def test_tokens_decide_who_calls(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[[tokens]]\ntoken = "a secret"\nuser = "ada"\n')
    with started("serve", SLOW, *LOCALLY, "--tokens", str(tokens)) as process:
        address = told(process, "listening")["address"]
        async with FlowStateClient.connect(address, token="a secret") as ada:
            assert await ada.flows.call("slow", "nap", 0.0) == "rested"
        async with FlowStateClient.connect(address, user="ada") as nobody:
            with pytest.raises(FlowStateError, match="CREDENTIALS_INVALID"):
                await nobody.flows.call("slow", "nap", 0.0)


REFUSED = {
    "no attribute named": (["examples.chat"], "not module:attribute"),
    "unknown module": (["examples.chit:flowstate"], "there is no module examples.chit"),
    "unknown attribute": (["examples.chat:nope"], "the module has no nope"),
    "another attribute": (["tests.support.deploys:flow"], "has no flow; it has served and same and"),
    "a file": (["../todo.py:flow"], "name the module, not its file: todo:flow --app-dir .."),
    "neither app nor flow": (["examples.chat:label"], "neither a FlowState nor a Flow"),
    "two slashes": (
        ["examples.chat:flowstate", "--store", "sqlite://chat.db"],
        "four to one at an absolute path (sqlite:////var/lib/chat.db)",
    ),
    "beyond loopback": (["examples.chat:flowstate", "--listen", "0.0.0.0:0"], "--insecure"),
    "unknown store": (["examples.chat:flowstate", "--store", "mongo://x"], "no store for 'mongo:...'"),
    "unknown profile": (
        ["examples.chat:flowstate", "--profile", "archiv"],
        "there is no store profile 'archiv', only default",
    ),
    "store and profile": (
        ["examples.chat:flowstate", "--profile", "default", "--store", "memory"],
        "(--profile, FLOWSTATE_PROFILE) exclude each other",
    ),
    "store that can't be opened": (
        ["examples.chat:flowstate", "--store", "sqlite:////dev/null/x"],
        "can't be opened",
    ),
    "unprotected": (["examples.chat:flowstate", "--listen", "0.0.0.0:0"], "refusing to listen on 0.0.0.0:0"),
    "key without certificate": (
        ["examples.chat:flowstate", "--tls-key", "key.pem"],
        "--tls-cert and --tls-key go together",
    ),
    "no token file": (
        ["examples.chat:flowstate", "--tokens", "/nowhere"],
        "token file /nowhere: No such file or directory",
    ),
    "no such port": (["examples.chat:flowstate", "--listen", "127.0.0.1:99999"], "ports end at 65535"),
    "no key file": (
        ["examples.chat:flowstate", "--tls-cert", CERTIFICATE, "--tls-key", "/nowhere"],
        "TLS file /nowhere: No such file or directory",
    ),
    "swapped TLS files": (
        ["examples.chat:flowstate", "--tls-cert", KEY, "--tls-key", CERTIFICATE],
        f"{KEY} (certificate) and {CERTIFICATE} (key) are no",
    ),
}


@pytest.mark.parametrize(("arguments", "problem"), REFUSED.values(), ids=REFUSED)
def test_what_can_not_be_served_is_one_line_and_exit_code_2(arguments: list[str], problem: str) -> None:
    _assert_refused(flowstate("serve", *arguments, FLOWSTATE_LISTEN="127.0.0.1:0"), problem)


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"FLOWSTATE_PROFILE": "nope"}, "there is no store profile 'nope'"),
        ({"FLOWSTATE_PROFILE": "default", "FLOWSTATE_STORE": "memory"}, "exclude each other"),
    ],
    ids=["unknown", "with a store"],
)
def test_a_profile_of_the_environment_is_refused_alike(environment: dict[str, str], problem: str) -> None:
    _assert_refused(flowstate("serve", "examples.chat:flowstate", *LOCALLY, **environment), problem)


def test_a_setting_that_is_wrong_is_named() -> None:
    _assert_refused(flowstate("serve", SLOW, *LOCALLY, FLOWSTATE_LEASE="soon"), "FLOWSTATE_LEASE: ")


def test_a_schema_conflict_is_named_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "at_odds.py").write_text(CONFLICT)
    done = completed("serve", "at_odds:flow", *LOCALLY, cwd=tmp_path)
    _assert_refused(done, "SchemaConflictError")
    assert "(at_odds.py, line 19)" in done.stderr


def test_a_port_in_use_is_named_before_a_store_is_made(tmp_path: Path) -> None:
    with started("serve", SLOW, *LOCALLY) as process:
        address = told(process, "listening")["address"]
        busy = ("serve", SLOW, "--listen", address, "--store", f"sqlite:///{tmp_path}/new/chat.db")
        _assert_refused(
            completed(*busy), f"can't listen on {address}: address already in use; --listen", code=3
        )
    assert list(tmp_path.iterdir()) == [], "no store was made"


def test_a_store_that_is_away_is_told_by_another_code_than_a_mistake() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"postgres://ada@127.0.0.1:{closed.getsockname()[1]}/chat"
        _assert_refused(
            completed("serve", SLOW, *LOCALLY, "--store", url), ": [Errno 111] Connection refused", code=3
        )


def test_a_store_that_another_process_has_may_be_free_later(tmp_path: Path) -> None:
    serve = ("serve", SLOW, *LOCALLY, "--store", f"file://{tmp_path}/chat")
    with started(*serve) as process:
        told(process, "listening")
        _assert_refused(completed(*serve), "is in use by another process", code=3)


async def test_what_is_stored_and_no_flow_declares_any_more_is_warned_of(tmp_path: Path) -> None:
    kept = ("--store", f"sqlite:///{tmp_path}/kept.db")
    (tmp_path / "counting.py").write_text(COUNTING)
    with started("serve", "counting:flow", *LOCALLY, *kept, cwd=tmp_path) as process:
        async with FlowStateClient.connect(told(process, "listening")["address"], user="ada") as client:
            assert await client.flows.call("counting", "next", session_id="s1") == 1
        process.terminate()
        process.wait(10)
    (tmp_path / "counting.py").write_text(COUNTING.replace("next_id", "newest_id"))
    with started("serve", "counting:flow", *LOCALLY, *kept, cwd=tmp_path) as process:
        told(process, "listening")
        assert process.stderr is not None
        assert (
            '"next_id" is stored in 1 record and declared by no flow; renamed?' in process.stderr.readline()
        )


def _assert_refused(done: Done, problem: str, code: int = 2) -> None:
    assert done.code == code
    assert done.stdout == ""
    assert problem in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("flowstate: ")
    assert len(_without_log(done.stderr)) == 1


def _without_log(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if not re.match(r"\d{4}-\d\d-\d\d ", line)]


COUNTING = """
from pydantic import BaseModel
from flowstate_server.flows import Context, action, define_flow, handler

class Counted(BaseModel):
    next_id: int = 0

@handler(session_state=Counted)
async def next_one(_: None, ctx: Context[Counted]) -> int:
    await ctx.session.inc_state(next_id=1)
    return ctx.session.state.next_id

flow = define_flow("counting", actions={"next": action(block=next_one)})
"""

CONFLICT = """
from pydantic import BaseModel
from flowstate_server.flows import Context, action, define_flow, handler, sequencer

class One(BaseModel):
    n: int = 0

class Other(BaseModel):
    n: str = ""

@handler(session_state=One)
async def one(x: int, ctx: Context[One]) -> int:
    return x

@handler(session_state=Other)
async def other(x: int, ctx: Context[Other]) -> int:
    return x

flow = define_flow("f", actions={"a": action(block=sequencer("s").step(one).step(other))})
"""
