"""The code of the guide to resources does what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowstate_client import ResourceNotFound
from flowstate_server.testing.server import running_server
from tests.support.pages import Page, names_of

FLOW, CLIENT, TEST = Page("docs/guides/resources.md").blocks("python")


async def test_the_flow_passes_its_test() -> None:
    await names_of(FLOW, TEST)["test_the_plan_grows"]()


async def test_services_and_clients_reach_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = names_of(FLOW, CLIENT)
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG" * 500_000)
    async with running_server(names["flowstate"]) as server:
        async with server.connect(user="ada", plane="trusted") as service:
            said = {"topic": "trip", "text": "pack"}
            assert await service.flows.call("planner", "write_down", said, session_id="s1") == 1
            old = {"topic": "old", "text": "done"}
            assert await service.flows.call("planner", "write_down", old, session_id="s1") == 2
            await names["publish"](service, "s1", picture)
            assert (tmp_path / "copy.png").read_bytes() == picture.read_bytes()
            assert await names["forget"](service, "ada") == 1
        async with server.connect(user="ada") as screen:
            shown = await screen.resources.session("s1")["plan"].get()
            assert shown.state == {"title": "Plan, with a picture", "steps": ["pack", "done"]}
            assert await screen.resources.session("s1")["plan"].read() == picture.read_bytes()
            view = await screen.sessions.snapshot("s1")
            assert view.client_data["session"] == {"progress": "2 steps", "plan": shown.state}
            with pytest.raises(ResourceNotFound):
                await screen.resources.user("ada", flow_kind="planner")["trip/notes"].get()
    assert "2000000 2000000" in capsys.readouterr().out
