"""Page tokens are bound to their query and can't be edited."""

from __future__ import annotations

import pytest

from flowstate_server.engine.records.page_token import PageTokens
from flowstate_server.errors import PageTokenInvalidError

TOKENS = PageTokens("key")


def test_a_token_gives_back_its_position() -> None:
    token = TOKENS.make(["sessions", "tenant"], [17, "sess_\u00e9"])
    assert TOKENS.read(["sessions", "tenant"], token) == [17, "sess_\u00e9"]


@pytest.mark.parametrize("query", [["sessions", "other"], ["sessions"], None])
def test_a_token_of_another_query_is_refused(query: list[str] | None) -> None:
    token = TOKENS.make(["sessions", "tenant"], [17, "s"])
    with pytest.raises(PageTokenInvalidError):
        TOKENS.read(list(query) if query else None, token)


@pytest.mark.parametrize("position", range(0, 30, 3))
def test_an_edited_token_is_refused(position: int) -> None:
    token = TOKENS.make("query", [17, "s"])
    edited = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]
    with pytest.raises(PageTokenInvalidError):
        TOKENS.read("query", edited)


@pytest.mark.parametrize("token", ["x", "\u00e9", "====", "A" * 500, ""])
def test_garbage_is_refused(token: str) -> None:
    with pytest.raises(PageTokenInvalidError):
        TOKENS.read("query", token)


def test_servers_with_another_key_refuse_it() -> None:
    with pytest.raises(PageTokenInvalidError):
        PageTokens("another").read("query", TOKENS.make("query", 1))
