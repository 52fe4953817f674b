"""``flowstate state copy``, as an operator uses it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from flowstate_client import FlowStateClient
from flowstate_server import maintenance
from flowstate_server.cli.state import _words
from flowstate_server.maintenance import CopiedState, Outcome, StateCopy
from flowstate_server.testing.server import running_server
from flowstate_server.testing.server_process import server_process
from tests.support import deploys
from tests.support.flows import APP, written_fields
from tests.support.store_urls import NewStore, new_stores

PRIVATE = ("--flow", "private", "--to", "isolated")
ASIDE = "tests.support.deploys:aside"
SHARED = ("--flow", "private", "--to", "shared")


@pytest.fixture
async def new_store(tmp_path: Path) -> AsyncIterator[NewStore]:
    async with new_stores(tmp_path) as make:
        yield make


def run(*arguments: str, app: str = APP) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, events on stdout, and stderr."""
    command = [sys.executable, "-m", "flowstate_server", "state", "copy", app, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


async def copied(*arguments: str, app: str = APP) -> tuple[int, list[dict[str, Any]], str]:
    return await asyncio.to_thread(run, *arguments, app=app)


async def fields(client: FlowStateClient, user: str, flow_kind: str = "") -> dict[str, Any] | None:
    record = await client.state.user(user, flow_kind=flow_kind or None).get()
    return written_fields(record.state) if record.exists else None


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_all_users_of_a_store_that_is_served(new_store: NewStore, kind: str) -> None:
    url = await new_store(kind)
    async with (
        server_process(APP, store=url) as server,
        FlowStateClient.connect(server.target, plane="trusted") as client,
    ):
        for user in ("ada", "bob"):
            await client.state.user(user).patch_state(count=1, names=[user])
        await client.state.user("bob", flow_kind="private").patch_state(count=7)
        await client.state.user("eve", flow_kind="private").patch_state(count=9)
        gone = client.state.user("gone")
        await gone.patch_state(count=3)
        await gone.delete()

        would = await copied("--store", url, *PRIVATE, "--all-users", "--dry-run")
        assert would == (
            1,
            [
                {"event": "would_copy", "user": "ada", "fields": ["count", "names"]},
                {"event": "refused", "user": "bob", "fields": ["count", "names"]},
                {"event": "done", "dry_run": True, "copied": 1, "same": 0, "refused": 1, "absent": 0},
            ],
            "",
        )
        assert await fields(client, "ada", "private") is None

        code, events, _ = await copied("--store", url, *PRIVATE, "--all-users")
        assert (code, events[-1]["copied"], events[-1]["refused"]) == (1, 1, 1)
        assert await fields(client, "ada", "private") == {"count": 1, "names": ["ada"]}
        assert await fields(client, "bob", "private") == {"count": 7}

        code, events, _ = await copied("--store", url, *PRIVATE, "--all-users", "--overwrite")
        assert (code, events[-1]["copied"], events[-1]["same"]) == (0, 1, 1)
        assert await fields(client, "bob", "private") == {"count": 1, "names": ["bob"]}
        assert await fields(client, "bob") == {"count": 1, "names": ["bob"]}

        assert (await copied("--store", url, *SHARED, "--user", "eve"))[0] == 0
        assert await fields(client, "eve") == {"count": 9}
        await client.state.user("eve").inc_state(count=1)  # a served record goes on
        assert await fields(client, "eve", "private") == {"count": 9}


@pytest.mark.parametrize(
    ("to", "source", "stored", "misfit"),
    [
        ("isolated", "chat", {"age": "old", "theme": "dark"}, ("report", "age", "int_type")),
        ("shared", "report", {"age": 42}, ("chat", "age", "string_type")),
    ],
)
async def test_what_does_not_fit_the_flows_that_read_it_there_stays_behind(
    new_store: NewStore, to: str, source: str, stored: dict[str, Any], misfit: tuple[str, str, str]
) -> None:
    url = await new_store("sqlite")
    target = "report" if to == "isolated" else "chat"
    async with running_server(deploys.aside, store=url) as server, server.connect(plane="trusted") as client:
        ada, bob = (client.state.user(id, flow_kind=source) for id in ("ada", "bob"))
        await ada.patch_state(stored)
        await bob.patch_state(theme="light")
        arguments = ("--store", url, "--flow", "report", "--to", to, "--all-users")
        refused = {
            "event": "refused",
            "user": "ada",
            "fields": sorted(stored),
            "misfits": [dict(zip(("flow", "field", "rule"), misfit, strict=True))],
        }
        for options in ("--dry-run", "--overwrite"):
            code, events, _ = await copied(*arguments, options, app=ASIDE)
            assert (code, events[0], events[-1]["refused"]) == (1, refused, 1)
            assert not (await client.state.user("ada", flow_kind=target).get()).exists
        assert (await client.state.user("bob", flow_kind=target).get()).state["theme"] == "light"
        card = client.resources.user("bob", flow_kind=source)["card"]
        await card.patch_state(age=stored["age"])
        code, events, _ = await copied(*arguments, app=ASIDE)
        assert code == 1
        assert events[1]["refused"] == ["card"]
        assert events[1]["misfits"] == [{"flow": target, "field": "resources.card", "rule": misfit[2]}]


async def test_where_there_is_nothing_to_copy_no_record_is_made(new_store: NewStore) -> None:
    url = await new_store("sqlite")
    async with running_server(deploys.aside, store=url) as server, server.connect(plane="trusted") as client:
        await client.state.org("acme", flow_kind="chat").patch_state(seats=3)
        code, events, _ = await copied(
            "--store", url, "--flow", "report", "--to", "isolated", "--org", "acme", app=ASIDE
        )
        assert (code, events[0]) == (4, {"event": "absent", "org": "acme", "fields": []})


async def test_one_of_a_folder_that_nobody_serves(new_store: NewStore) -> None:
    url = await new_store("file")
    async with (
        server_process(APP, store=url) as server,
        FlowStateClient.connect(server.target, plane="trusted") as client,
    ):
        await client.state.org("acme").patch_state(motto="on")
        code, _, problem = await copied("--store", url, *PRIVATE, "--org", "acme")
        assert code == 2
        assert "flowstate:" in problem
        assert await server.terminate() == 0
    assert (await copied("--store", url, *PRIVATE, "--org", "acme"))[0] == 0
    again = await copied("--store", url, *PRIVATE, "--org", "acme")
    assert again[1][0] == {"event": "same", "org": "acme", "fields": ["motto"]}
    async with (
        server_process(APP, store=url) as server,
        FlowStateClient.connect(server.target, plane="trusted") as client,
    ):
        assert (await client.state.org("acme", flow_kind="private").get()).state["motto"] == "on"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((*PRIVATE, "--user", "nobody"), 4, ""),
        (PRIVATE, 2, "name one of --user ID"),
        ((*PRIVATE, "--user", "ada", "--all-orgs"), 2, "name one of --user ID"),
        (("--flow", "nothing", "--to", "isolated", "--all-users"), 2, "no flow 'nothing', only forgetful"),
    ],
)
async def test_what_can_not_be_copied(
    new_store: NewStore, arguments: tuple[str, ...], code: int, words: str
) -> None:
    url = await new_store("sqlite")
    await maintenance.migrate(url)
    done = await copied("--store", url, *arguments)
    assert done[0] == code
    assert words in done[2]


async def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    code, events, problem = await copied(
        "--store", f"sqlite:///{tmp_path / 'no.db'}", *PRIVATE, "--all-users"
    )
    assert (code, events) == (2, [])
    assert "no.db" in problem
    assert not (tmp_path / "no.db").exists()


@pytest.mark.parametrize(
    ("dry_run", "words"), [(True, "user ada: would copy count"), (False, "user ada: count")]
)
def test_people_are_told_what_would_be_copied(dry_run: bool, words: str) -> None:
    what = StateCopy(scope="user", flow_kind="chat", to_isolated=True, dry_run=dry_run)
    assert _words(CopiedState("ada", Outcome.COPIED, ("count",)), what) == words
