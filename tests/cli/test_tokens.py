"""Commands at a server that asks for tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.flowstate_command import Done, flowstate, started, told


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that knows a service, which may ask for everybody, and Ada's app."""
    tokens: Path = tmp_path_factory.mktemp("tokens") / "tokens.toml"
    tokens.write_text(
        '[[tokens]]\ntoken = "of-the-service"\nplane = "trusted"\n\n[[tokens]]\ntoken = "token-of-ada"\nuser = "ada"\n'
    )
    command = ("serve", "tests.cli.desk_flow:app", "--listen", "127.0.0.1:0", "--tokens", str(tokens))
    with started(*command) as process:
        yield str(told(process, "listening")["address"])


def ask(server: str, token: str, *arguments: str) -> Done:
    return flowstate(*arguments, FLOWSTATE_SERVER=server, FLOWSTATE_TOKEN=token)


def test_a_service_lists_those_of_one_user(server: str) -> None:
    for user in ("ada", "bob"):
        done = ask(
            server, "of-the-service", "sessions", "create", "desk", "--user", user, "--id", f"of-{user}"
        )
        assert done.code == 0, done.stderr

    def listed(token: str, *options: str) -> list[str]:
        done = ask(server, token, "sessions", "list", *options)
        assert done.code == 0, done.stderr
        return [json.loads(line)["session_id"] for line in done.stdout.splitlines()]

    assert listed("of-the-service") == ["of-bob", "of-ada"]
    assert listed("of-the-service", "--user", "ada") == ["of-ada"]
    assert listed("token-of-ada") == ["of-ada"]
    assert ask(server, "token-of-ada", "sessions", "show", "of-bob").code == 4


def test_state_takes_the_token_of_a_service(server: str) -> None:
    assert ask(server, "of-the-service", "state", "inc", "user", "eve", "visits=1").code == 0
    for command in (("state", "get", "user", "ada"), ("journal", "list", "of-ada")):
        refused = ask(server, "token-of-ada", *command)
        assert (refused.code, refused.stdout) == (1, "")
        assert "ACCESS_DENIED" in refused.stderr
        assert "the method needs the trusted plane; this takes the token of a service (" in refused.stderr
        assert "--trusted" not in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


def test_no_token_is_asked_for(server: str) -> None:
    refused = ask(server, "", "sessions", "list")
    assert refused.code == 1
    assert "No token was given; give --token or FLOWSTATE_TOKEN (" in refused.stderr
    assert ask(server, "", "health").code == 0, "a probe has none"


def test_a_token_that_is_not_known_is_told_from_none(server: str) -> None:
    refused = ask(server, "mistyped", "sessions", "list")
    assert refused.code == 1
    assert refused.stderr.startswith(
        "flowstate: This token is not known to the server (CREDENTIALS_INVALID, "
    )
    assert "give --token" not in refused.stderr


def test_what_a_token_is_not_for_is_named_as_an_option(server: str) -> None:
    for option in ("--trusted", "--tenant=other"):
        refused = ask(server, "token-of-ada", "sessions", "list", option)
        assert refused.code == 1
        assert f"flowstate: {option.partition('=')[0]} is not what the token is for (" in refused.stderr
        assert "x-" not in refused.stderr
    refused = ask(server, "token-of-ada", "requests", "list", "--user", "bob")
    assert refused.code == 1
    assert "flowstate: --user names another user than the caller's token " in refused.stderr


def test_a_token_sees_no_session_of_another_user(server: str) -> None:
    refused = ask(server, "token-of-ada", "items", "nowhere")
    assert refused.code == 4
    assert "No session nowhere; perhaps another user's; see flowstate sessions list (" in refused.stderr
    assert "--user" not in refused.stderr
