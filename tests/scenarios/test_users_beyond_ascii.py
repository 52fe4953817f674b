"""Ids may hold any character, wherever they travel."""

from __future__ import annotations

from typing import Any

import pytest

from flowstate_client import PermissionDenied, SessionNotFound
from flowstate_client.testing import record_events
from flowstate_server.flows import Context
from tests.support.hosted import hosted, play


async def _who(ctx: Context) -> list[str]:
    identity = ctx.session.identity
    return [identity.user_id, identity.org_id]


@pytest.mark.parametrize("name", ["zoë", "大", "😀", " ada", "ada ", "a\u00a0b"])
async def test_u7_a_user_and_an_org_of_any_characters(name: str) -> None:
    async with (
        hosted(play(_who)) as server,
        server.client(user=name, org=name) as client,
        server.client(user="ada") as other,
    ):
        run = await client.flows.dispatch("play", "play", session_id="s")
        assert await run.result(list[str]) == [name, name]
        assert (await record_events(run))[-1].type == "request.completed"
        assert (await client.sessions.get("s")).user_id == name
        with pytest.raises(SessionNotFound):
            await other.sessions.get("s")


async def test_who_calls_for_another_is_told_what_says_who_calls() -> None:
    async with hosted(play(_who)) as server, server.client(user="ada") as client:
        calls: list[Any] = [
            client.flows.call("play", "play", user_id="bob"),
            client.sessions.create("play", user_id="bob"),
        ]
        for call in calls:
            with pytest.raises(
                PermissionDenied, match=r"user_id names another user than .* or connection does"
            ):
                await call
