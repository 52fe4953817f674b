"""The guide to testing flows does what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import Page, in_module, my_chat

ONE_RUN, CONVERSATION, CONFTEST, SERVED_TEST = Page("docs/guides/testing.md").blocks("python")


async def test_the_flow_passes_its_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    names = in_module("my_chat", monkeypatch, my_chat(), ONE_RUN, CONVERSATION)
    await names["test_say"]()
    await names["test_a_conversation"]()


def test_the_server_passes_its_tests(tmp_path: Path) -> None:
    conftest = f'pytest_plugins = ["flowstate_server.testing.fixtures"]\n{CONFTEST}'
    for name, text in {"my_chat": my_chat(), "conftest": conftest, "test_served": SERVED_TEST}.items():
        (tmp_path / f"{name}.py").write_text(text)
    scope = "asyncio_default_fixture_loop_scope=function"
    command = (sys.executable, "-m", "pytest", "-W", "error", "-o", "asyncio_mode=auto", "-o", scope)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr
