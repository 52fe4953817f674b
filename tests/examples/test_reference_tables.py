"""The tables of the reference are those of the code."""

from __future__ import annotations

import re
from typing import Any

from flowstate_client import events
from flowstate_client.error_reasons import REASONS
from flowstate_server.model.events import EventType
from flowstate_server.rpc.codec.failures import FAILURE_CODES
from flowstate_server.rpc.error_status import ERROR_STATUS
from flowstate_server.settings import PREFIX, SETTINGS, Settings
from tests.support.pages import Page


def test_the_table_of_settings_is_theirs() -> None:
    rows = [
        f"| `{PREFIX}{name.upper()}` | {_default(name)} | {setting.text} |"
        for name, setting in SETTINGS.items()
    ]
    rows.append("| `FLOWSTATE_LOG_LEVEL` | `info` | What is logged to stderr. |")
    rows.append("| `FLOWSTATE_LOG_FORMAT` | `text` | `json`: each line is a JSON object. |")
    page = Page("docs/reference/settings.md")
    assert re.findall(r"^\| `FLOWSTATE_.*\|$", page.text, re.MULTILINE) == rows


def _default(name: str) -> str:
    value: Any = getattr(Settings(), name)
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"`{value:.10g}`"
    return f"`{value}`" if value is not None else SETTINGS[name].shown or "–"


def test_each_reason_has_its_row() -> None:
    calls, runs = Page("docs/reference/errors.md").text.split("## Runs")
    told = dict(re.findall(r"^\| `([A-Z_]+)` \| (`\w+` \| `\w+`) \|", calls, re.MULTILINE))
    served = {reason.value: row.code.name for reason, row in ERROR_STATUS.items()} | {
        "LOG_CORRUPTED": "DATA_LOSS"
    }
    assert told == {reason: f"`{served[reason]}` | `{raised.__name__}`" for reason, raised in REASONS.items()}
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", runs, re.MULTILINE)) == set(FAILURE_CODES)


def test_each_type_of_event_has_its_row() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| `(\w+)` \|", Page("docs/reference/events.md").text, re.MULTILINE)
    assert {name for name, _ in rows} == {kind.value for kind in EventType} | {"trimmed"}  # no event of a log
    assert all(hasattr(events, shown) for _, shown in rows)


def test_the_limits_are_those_of_the_settings() -> None:
    text = Page("docs/reference/limits.md").text
    named = re.findall(r"^\| .* \| ([\d.,]+) ?(MiB|s)?.* \| `FLOWSTATE_([A-Z_]+)` \|$", text, re.MULTILINE)
    assert len(named) > 8
    for number, unit, name in named:
        scale = {"MiB": 1024 * 1024}.get(unit, 1)
        assert getattr(Settings(), name.lower()) == float(number.replace(",", "")) * scale, name
