from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

from examples.chat import chat
from examples.edit_and_answer_again import edit_and_answer_again
from flowstate_server.testing.child_signals import with_default_signals
from flowstate_server.testing.server import running_server

CHECKOUT = Path(__file__).parents[2]


async def test_the_last_message_is_edited_and_answered_again() -> None:
    async with running_server([chat]) as server, server.connect(plane="trusted", user="ada") as client:
        session = await client.sessions.create("chat")
        for message in ("Hello!", "How are you?", "Tell me a scret."):
            await client.flows.call("chat", "say", {"message": message}, session_id=session.id)
        before = [item async for item in client.sessions.items(session.id)]
        answer = await edit_and_answer_again(client, session.id, "Where were we?")
        after = [item async for item in client.sessions.items(session.id)]
        assert after[:4] == before[:4]
        assert [item.text for item in after[4:]] == ["Where were we?", answer]
        assert "How are you?" in answer
        assert "scret" not in answer
        turns = [item async for item in client.sessions.items(session.id, last_turns=2)]
        assert turns == after[2:]


def test_it_takes_ten_lines() -> None:
    assert len(inspect.getsource(edit_and_answer_again).splitlines()) <= 10


def test_it_runs_by_itself(tmp_path: Path) -> None:
    done = subprocess.run(
        with_default_signals(sys.executable, "-m", "examples.edit_and_answer_again"),
        cwd=CHECKOUT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    before, after = done.stdout.strip().split("\n\n")
    assert "Lisbin" in before
    assert "Lisbin" not in after
    assert "trip to Lisbon" in after
    assert len(before.splitlines()) == len(after.splitlines()) == 4
