"""The guide to calling a server does what it says."""

from __future__ import annotations

import json
import re

import pytest
from google.protobuf import json_format

from flowstate.v1.flow_service_pb2 import CallActionRequest
from flowstate_server.testing import running_server
from tests.support.pages import DOCUMENTS, Page, commands, my_chat, names_of

PAGE = Page("docs/guides/calling.md")
SHELL, PROTOC, GRPCURL = PAGE.blocks("console")
[CLIENT] = PAGE.blocks("python")


async def test_the_client_calls(capsys: pytest.CaptureFixture[str]) -> None:
    async with running_server(names_of(my_chat())["flowstate"]) as server:
        await names_of(CLIENT.replace("127.0.0.1:7437", server.target))["main"]()
    assert capsys.readouterr().out == "You said: hello \n"


def test_the_shell_commands_are_those_of_this_page() -> None:
    assert [command.words[1] for command in commands(SHELL)] == [
        "call",
        "tail",
        "tail",
        "watch",
        "sessions",
    ]


def test_what_protoc_and_grpcurl_are_given_is_of_the_contract() -> None:
    [protoc] = commands(PROTOC)
    assert "protos/flowstate/v1/*.proto" in protoc.words
    [grpcurl] = commands(GRPCURL)
    message = json_format.ParseDict(json.loads(grpcurl.words[3]), CallActionRequest())
    assert json.loads(message.spec.input.json) == {"message": "hello"}
    assert grpcurl.words[-1] == "flowstate.v1.FlowService/CallAction"


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    from flowstate_server.cli import problem

    assert "(command-line.md#exit-codes)" in PAGE.text
    table = (DOCUMENTS / "guides/command-line.md").read_text("utf-8")
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    codes = {value for name, value in vars(problem).items() if name.isupper() and isinstance(value, int)}
    assert codes <= told
