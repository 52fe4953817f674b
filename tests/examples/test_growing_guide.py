"""The guide to growing does what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowstate_client import SessionNotFound
from flowstate_server.testing import running_server
from tests.support.pages import Page, names_of

PAGE = Page("docs/guides/growing.md")
[DATABASES] = PAGE.blocks("python")
[SERVE] = PAGE.blocks("console")


async def test_tenants_are_kept_in_several_databases(tmp_path: Path) -> None:
    names = names_of(DATABASES)
    databases = {name: f"sqlite:///{tmp_path / name}.db" for name in ("default", "second")}
    app = names["application"](databases)
    assert "--profile second" in SERVE
    async with (
        running_server(app, store=app.store_of("default")) as first,
        running_server(app, store=app.store_of("second")) as second,
    ):
        servers, homes = {"default": first.target, "second": second.target}, {"acme": "second"}
        for tenant, other in (("acme", first), ("beta", second)):
            async with names["client_of"](tenant, homes, servers) as client:
                await client.flows.call("notes", "keep", {"text": "tea"}, session_id="s1", user_id="ada")
                assert (await client.sessions.get("s1")).user_id == "ada"
            async with other.connect(tenant=tenant, plane="trusted") as elsewhere:
                with pytest.raises(SessionNotFound):
                    await elsewhere.sessions.get("s1")
