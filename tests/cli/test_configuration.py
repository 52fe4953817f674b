from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from flowstate_server.cli.application import application
from flowstate_server.cli.configuration import OF_THE_COMMANDS, unknown_variables
from flowstate_server.settings import PREFIX, SETTINGS
from tests.cli.flowstate_command import flowstate


def test_what_no_setting_and_no_option_reads_is_unknown() -> None:
    assert unknown_variables({"FLOWSTATE_LEAS": "3", "FLOWSTATE_": "x", "HOME": "/"}) == [
        "FLOWSTATE_",
        "FLOWSTATE_LEAS",
    ]


@pytest.mark.parametrize(
    "name",
    [
        *(f"FLOWSTATE_{name.upper()}" for name in SETTINGS),
        *sorted(OF_THE_COMMANDS),
        "FLOWSTATE_TEST_POSTGRES_URL",
        "FLOWSTATE_PORT_7437_TCP_ADDR",
        "FLOWSTATE_SERVICE_HOST",
    ],
)
def test_what_is_read_by_something_is_known(name: str) -> None:
    assert unknown_variables({name: "1"}) == []


def test_an_empty_variable_counts_as_absent() -> None:
    assert unknown_variables({"FLOWSTATE_LEAS": ""}) == []


def test_the_variables_of_the_commands_are_those_of_their_options() -> None:
    command: Any = typer.main.get_command(application)
    command.load_all()
    # One that a command reads, too, is a setting's.
    of_settings = {PREFIX + name.upper() for name in SETTINGS}
    assert set(_variables(command)) - of_settings == OF_THE_COMMANDS


def _variables(command: Any) -> Iterator[str]:
    for option in command.params:
        if isinstance(option.envvar, str):
            yield option.envvar
    for one in getattr(command, "commands", {}).values():
        yield from _variables(one)


def test_a_server_warns_of_them_once_without_their_values(caplog: pytest.LogCaptureFixture) -> None:
    flowstate("serve", "examples.chit:flowstate", FLOWSTATE_LEAS="secret", FLOWSTATE_PROFIL="x")
    (warning,) = [one for one in caplog.records if one.levelname == "WARNING"]
    told = (
        "FLOWSTATE_LEAS (did you mean FLOWSTATE_LEASE?), FLOWSTATE_PROFIL (did you mean FLOWSTATE_PROFILE?)"
    )
    assert warning.getMessage().endswith(f": {told}")
    assert "secret" not in caplog.text
