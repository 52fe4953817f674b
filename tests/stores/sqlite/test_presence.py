"""Which processes are known to be dead: those whose lock is free, on this machine, beyond doubt."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from flowstate_server.stores.contract.backend import Presence
from flowstate_server.stores.sqlite import SqliteStore, presence as presence_module
from flowstate_server.testing.child_signals import with_default_signals

HOLD = """
import asyncio, sys
from flowstate_server.stores.sqlite import SqliteStore
async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    store.presence.hold("first")
    store.presence.hold("second")
    print("held", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await store.close()
asyncio.run(main())
"""


@pytest.fixture
def presence(store: SqliteStore) -> Presence:
    assert store.presence is not None
    return store.presence


@pytest.fixture
def holder(path: Path, presence: Presence) -> Iterator[Popen[str]]:
    """Another process that has the store open, as two processes one after the other."""
    command = with_default_signals(sys.executable, "-c", HOLD, str(path))
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def own_files(path: Path) -> set[Path]:
    return set(path.parent.glob("*-open-*"))


def test_w9_a_killed_process_is_known_dead_and_a_living_one_is_not(
    presence: Presence, holder: Popen[str]
) -> None:
    presence.hold("own")
    assert not any(map(presence.known_dead, ("first", "second", "own", "unknown")))
    holder.kill()
    holder.wait()
    assert presence.known_dead("first")
    assert presence.known_dead("second")
    assert not any(map(presence.known_dead, ("own", "unknown")))


def test_w9_what_another_machine_or_boot_wrote_is_doubtful(
    path: Path, presence: Presence, holder: Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    holder.kill()
    holder.wait()
    for machine in ("another", None):
        monkeypatch.setattr(presence_module, "_machine", lambda machine=machine: machine)
        assert not presence.known_dead("first")


@pytest.mark.parametrize("said", ["", "{", "[]", "{}", '{"processes": ["first"]}', "null"])
def test_w9_what_can_not_be_read_is_doubtful(path: Path, presence: Presence, said: str) -> None:
    path.with_name(f"{path.name}-open-0").write_text(said)
    assert not presence.known_dead("first")


async def test_w9_files_of_the_dead_go_in_time(
    path: Path, presence: Presence, holder: Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = own_files(path)
    holder.kill()
    holder.wait()
    assert not presence.known_dead("unknown")
    assert own_files(path) == before
    monkeypatch.setattr(presence_module, "FORGET_SECONDS", 0.0)
    assert not presence.known_dead("unknown")
    [left] = own_files(path)
    assert json.loads(left.read_text())["processes"] == []
