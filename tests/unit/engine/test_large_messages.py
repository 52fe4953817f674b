"""Which thread reads a message."""

from __future__ import annotations

import threading

import pytest

from flowstate_server.engine.large_messages import READ_AT_ONCE, read_aside


@pytest.mark.parametrize(("size", "aside"), [(0, False), (READ_AT_ONCE, False), (READ_AT_ONCE + 1, True)])
async def test_what_is_large_is_read_beside_the_loop(size: int, aside: bool) -> None:
    assert (await read_aside(size, threading.get_ident) != threading.get_ident()) is aside


@pytest.mark.parametrize("size", [0, READ_AT_ONCE + 1])
async def test_what_is_wrong_with_it_is_raised(size: int) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        await read_aside(size, int, "x")
