from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.flowstate_command import started, told


@pytest.fixture(scope="module")
def chat_server() -> Iterator[str]:
    """The address of a server with the chat example."""
    with started("serve", "examples.chat:flowstate", "--listen", "127.0.0.1:0") as process:
        yield str(told(process, "listening")["address"])


@pytest.fixture(scope="module")
def slow_server() -> Iterator[str]:
    """The address of a server whose action takes as long as it is told."""
    with started("serve", "tests.cli.slow_flow:slow", "--listen", "127.0.0.1:0") as process:
        yield str(told(process, "listening")["address"])
