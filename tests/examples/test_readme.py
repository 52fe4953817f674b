"""A new user gets with the README from nothing to a flow, a server, and calls from three sides."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from flowstate_server.testing import running_server
from tests.cli.flowstate_command import CHECKOUT, flowstate, started, told
from tests.support.pages import Page, commands, names_of

PAGE = Page("README.md")
MAKE, SERVE, CALL = PAGE.blocks("console")
FLOW, CLIENT = PAGE.blocks("python")
[NODE] = PAGE.blocks("js")
INDEX = Page("docs/index.md")
NODE_MODULES = CHECKOUT / "examples" / "node" / "node_modules"


def test_what_it_serves_is_called_from_the_shell_and_from_python(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_chat.py").write_text(FLOW)
    [serve] = commands(SERVE)
    with started(*serve.words[1:], "--listen", "127.0.0.1:0", cwd=tmp_path) as process:
        address = told(process, "listening")["address"]
        call, watch, tail = commands(CALL)
        done = flowstate(*call.words[1:], FLOWSTATE_SERVER=address)
        assert done.stdout == call.printed == '"You said: hello"\n'
        assert (watch.words[1], tail.words[1]) == ("watch", "tail")

        main = names_of(CLIENT.replace("127.0.0.1:7437", address))["main"]
        asyncio.run(main())
        assert capsys.readouterr().out == "You said: again\n{'session': {'message_count': 2}}\n"


FAILING = """
@handler
async def refuse(say: Say, ctx: Context) -> str:
    raise ActionError("NOT_NOW", "not now")


chat = define_flow(kind="chat", actions={"say": action(input=Say, block=refuse)})
flowstate = create_flowstate(flows=[chat])
"""


@pytest.mark.skipif(
    not (shutil.which("node") and (NODE_MODULES / "@grpc" / "proto-loader").is_dir()),
    reason="needs Node and the packages of examples/node, which `make test-polyglot` installs",
)
@pytest.mark.parametrize(
    ("flow", "shown"),
    [
        ((FLOW,), ("You said: from Node\n", "")),
        ((FLOW, "from flowstate_server.flows import ActionError", FAILING), ("", "NOT_NOW: not now\n")),
    ],
    ids=["said", "failed"],
)
async def test_what_it_serves_is_called_from_node(
    tmp_path: Path, flow: tuple[str, ...], shown: tuple[str, str]
) -> None:
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    (tmp_path / "protos").symlink_to(CHECKOUT / "protos")
    async with running_server(names_of(*flow)["flowstate"]) as server:
        (tmp_path / "call.mjs").write_text(NODE.replace("127.0.0.1:7437", server.target))
        node = await asyncio.create_subprocess_exec(
            "node", "call.mjs", cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        async with asyncio.timeout(30):
            stdout, stderr = await node.communicate()
    assert (stdout.decode(), stderr.decode()) == shown


def test_the_site_begins_with_the_same_example() -> None:
    assert INDEX.blocks("console") == [MAKE, SERVE, CALL]
    assert INDEX.blocks("python") == [FLOW, CLIENT]


def test_it_begins_with_two_commands_and_is_short() -> None:
    assert [command.words[:2] for command in commands(MAKE)] == [
        ["make", "demo"],
        ["source", ".venv/bin/activate"],
    ]
    assert len(PAGE.text.splitlines()) < 150
