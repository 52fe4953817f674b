"""The files of the guide to deploying name what there is."""

from __future__ import annotations

import configparser
import re

from flowstate_server.settings import PREFIX, SETTINGS
from tests.support.pages import Page, commands

PAGE = Page("docs/guides/deploying.md")
[UNIT] = PAGE.blocks("ini")
[DOCKERFILE] = PAGE.blocks("dockerfile")
[PROBES] = PAGE.blocks("yaml")
SERVE, WORKERS = PAGE.blocks("console")

VARIABLES = {PREFIX + name.upper() for name in SETTINGS} | {f"{PREFIX}LOG_LEVEL", f"{PREFIX}LOG_FORMAT"}


def test_the_settings_are_settings() -> None:
    named = set(re.findall(rf"{PREFIX}[A-Z_]+\b", PAGE.text))
    assert named
    assert named <= VARIABLES


def test_the_unit_is_one_and_serves_what_the_container_serves() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(UNIT)
    assert unit.sections() == ["Unit", "Service", "Install"]
    [serve] = commands(SERVE)
    [workers] = commands(WORKERS)
    assert workers.words[1:3] == serve.words[1:3]
    assert unit["Service"]["ExecStart"].split()[1:] == serve.words[1:3]
    assert '"serve", "my_chat:flowstate"' in DOCKERFILE


def test_the_probes_ask_where_it_listens() -> None:
    ports = set(re.findall(r"\b7\d{3}\b", UNIT + DOCKERFILE + PROBES))
    assert ports == {"7437"}
