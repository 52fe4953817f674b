"""The guide to sharing and isolation does what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowstate_server.testing import running_server
from tests.cli.flowstate_command import flowstate
from tests.support.pages import Page, commands, my_chat, names_of

PAGE = Page("docs/guides/sharing.md")
[FLOWS] = PAGE.blocks("python")
COPY, CHECK = PAGE.blocks("console")


async def test_two_flows_share_a_record_and_a_third_one_has_its_own() -> None:
    names = names_of(FLOWS)
    async with (
        running_server(names["flowstate"]) as server,
        server.connect(user="ada", plane="trusted") as ada,
    ):
        await ada.flows.call("settings", "prefer", "warm", session_id="s1")
        assert await ada.flows.call("letters", "tone", None, session_id="s2") == "warm"
        assert (await ada.sessions.snapshot("s1")).client_data["user"] == {"tone": "warm"}
        assert "tone" not in str((await ada.sessions.snapshot("s2")).client_data)
        assert await ada.flows.call("themes", "count", None) == 1
        assert (await ada.state.user("ada").get()).state == {"tone": "warm"}
        assert (await ada.state.user("ada", flow_kind="themes").get()).state == {"theme": 1}


def test_the_commands_look_at_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    isolated = my_chat().replace('kind="chat",', 'kind="chat", isolate_user_state=True,')
    (tmp_path / "my_chat.py").write_text(isolated)
    assert flowstate("store", "migrate", "sqlite:///chat.db").code == 0
    [check] = commands(CHECK)
    assert flowstate(*check.words[1:]).code == 0
    [copy] = commands(COPY)
    done = flowstate(*copy.words[1:])
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])
