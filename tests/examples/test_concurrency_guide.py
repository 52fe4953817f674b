"""The guide to concurrency policies does what it says."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flowstate_server.testing.server import running_server
from tests.cli.flowstate_command import CHECKOUT

TEXT = (CHECKOUT / "docs" / "concurrency.md").read_text("utf-8")
FLOW, CALLS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
[PRINTED] = re.findall(r"^```text\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


async def test_the_example_prints_what_the_guide_says(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "my_desk"}
    exec(compile(FLOW + CALLS, "my_desk.py", "exec"), names)
    async with running_server(names["flowstate"]) as server, server.connect(user="ada") as client:
        await names["talk"](client)
    assert capsys.readouterr().out == PRINTED
