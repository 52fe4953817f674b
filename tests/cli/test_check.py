"""``flowstate check``, as the gate of a deploy."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flowstate_server.app import FlowState
from flowstate_server.cli import check as module
from flowstate_server.cli.app_reference import BrokenApp, find_app
from flowstate_server.model.scopes import user_scope
from flowstate_server.store_urls import store_from_url
from flowstate_server.stores.contract.writes import ChangeState
from flowstate_server.testing.server import running_server
from flowstate_server.testing.store_contract.builders import put
from tests.cli.flowstate_command import Done, completed, flowstate
from tests.support import deploys
from tests.support.database_contents import database_contents
from tests.support.store_urls import DURABLE, SHARED, NewStore, new_stores

APPS = "tests.support.deploys"
SESSIONS = 7


@pytest.fixture
async def new_store(tmp_path: Path) -> AsyncIterator[NewStore]:
    async with new_stores(tmp_path) as make:
        yield make


@pytest.fixture(params=DURABLE)
async def filled(request: pytest.FixtureRequest, new_store: NewStore) -> str:
    url = await new_store(request.param)
    await fill(url, deploys.served)
    return url


async def fill(url: str, app: FlowState) -> None:
    """Sessions of two tenants, a user and an org, by the flows of ``app``."""
    async with running_server(app, store=url) as server:
        for tenant in ("", "acme"):
            async with server.connect(user="ada", tenant=tenant or None, plane="trusted") as client:
                for number in range(SESSIONS):
                    id = (await client.sessions.create("chat", session_id=f"s{number}")).id
                    state: dict[str, Any] = {"mode": deploys.CANARY if number else "chat"}
                    if number == 3:
                        state = {"low": 8, "high": 2}
                    if number == 4:
                        state["notes"] = {deploys.CANARY: deploys.CANARY}
                    await client.state.session(id).patch_state(state)
                await client.state.user("ada", flow_kind="chat").patch_state(theme="dark", age="42")
                await client.state.org("acme", flow_kind="chat").patch_state(seats=3)


async def check(app: str, url: str | None = None, *options: str) -> Done:
    arguments = [f"{APPS}:{app}", *(("--store", url) if url else ()), *options]
    return await asyncio.to_thread(flowstate, "check", *arguments)


async def checked(app: str, url: str, *options: str) -> tuple[int, dict[str, Any]]:
    done = await check(app, url, "--json", *options)
    assert done.stderr == ""
    assert deploys.CANARY not in done.stdout
    return done.code, json.loads(done.stdout)


async def test_without_a_store_the_flows_are_compared() -> None:
    done = await check("same")
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{APPS}:same: 1 flow, chat",
        "no store was named: what is stored, and the servers on it, were not looked at",
        "Deployable.",
    ]
    warned = await check("extends")
    assert warned.code == 0
    assert warned.stdout.count("warning: ") == 1
    assert warned.stdout.endswith("\nDeployable, with 1 warning.\n")
    assert 'only "shop" declares "name", which has no default' in warned.stdout


async def test_what_can_not_be_built_is_told_with_its_place() -> None:
    done = await asyncio.to_thread(completed, "check", "tests.support.broken_app:flowstate")
    assert (done.code, done.stderr) == (1, "")
    assert done.stdout.startswith(
        "problem: module tests.support.broken_app can't be loaded: CrossFlowSchemaConflictError"
    )
    assert 'Flows "chat" and "admin" declare incompatible user state schemas' in done.stdout
    assert '"admin" declares it in tests.support.deploys.Themed.' in done.stdout
    assert "(tests/support/broken_app.py, line 8)" in done.stdout
    told = await asyncio.to_thread(completed, "check", "tests.support.broken_app:flowstate", "--json")
    assert told.code == 1
    assert json.loads(told.stdout)["deployable"] is False
    assert "incompatible user state schemas" in json.loads(told.stdout)["problem"]


MISSPELLED = """\
from pydantic import BaseModel
from flowstate_server.flows import Context, handler


class Tone(BaseModel):
    tone: str = ""


@handler(user_state=Tone)
async def set_tone(tone: str, ctx: Context[None, Tone]) -> None:
    await ctx.user.patch_state(tonne=tone)
"""


def test_a_line_that_an_error_names_is_the_only_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "misspelled.py").write_text(MISSPELLED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # it adds the working directory
    with pytest.raises(BrokenApp) as broken:
        find_app("misspelled:flowstate")
    assert 'misspelled.py:11: ctx.user.patch_state names "tonne"' in str(broken.value)
    assert "line 9" not in str(broken.value)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("nowhere:flowstate",), "there is no module nowhere"),
        ((f"{APPS}:nothing_here",), "the module has no nothing_here"),
        ((APPS,), "is not module:attribute"),
        ((f"{APPS}:same", "--store", "memory"), "memory is empty in a new process"),
        (
            (f"{APPS}:same", "--store", "sqlite:///not/there.db"),
            "the store can't be checked: there is no store at",
        ),
        ((f"{APPS}:same", "--store", "oracle://x"), "no store for"),
        ((f"{APPS}:same", "--all"), "--all needs a --store"),
    ],
)
def test_what_can_not_be_checked(arguments: tuple[str, ...], problem: str) -> None:
    done = flowstate("check", *arguments)
    assert (done.code, done.stdout) == (2, "")
    assert problem in done.stderr


async def test_records_that_do_not_fit_are_told_by_flow_scope_field_and_key(filled: str) -> None:
    code, told = await checked("changed", filled)
    assert code == 1
    assert told["deployable"] is False
    assert told["store"]["looked_at"] == {"session": 2 * SESSIONS, "user": 1, "org": 1}
    misfits = {
        (one["flow"], one["scope"], one["field"], one["rule"]): one for one in told["store"]["misfits"]
    }
    assert set(misfits) == {
        ("chat", "session", "mode", "literal_error"),
        ("chat", "session", "notes", "int_type"),
        ("chat", "session", "", "value_error"),
        ("chat", "user", "age", "int_type"),
    }
    modes = misfits["chat", "session", "mode", "literal_error"]
    assert modes["count"] == 2 * (SESSIONS - 2)
    assert {"tenant": "acme", "id": "s1"} in modes["keys"]
    assert misfits["chat", "user", "age", "int_type"]["keys"] == [{"tenant": "", "id": "ada"}]
    done = await check("changed", filled)
    assert (done.code, done.stderr) == (1, "")
    assert 'problem: flow "chat", session state, /mode: Input should be ' in done.stdout
    assert " (literal_error): 10 sessions: s1, " in done.stdout
    assert "session state, /notes/*: Input should be a valid integer (int_type): 2 sessions" in done.stdout
    refused = 'flow "chat", session state, as a whole: refused by a validator (value_error): 2 sessions: s3, acme/s3'
    assert refused in done.stdout
    assert (
        "mend it: let the fields take what is stored, or give Session(...) and User(...) a gen" in done.stdout
    )
    assert done.stdout.endswith("Not deployable.\n")
    assert deploys.CANARY not in done.stdout


async def test_what_fits_or_is_upgraded_can_be_deployed(filled: str) -> None:
    for app in ("same", "upgraded"):
        code, told = await checked(app, filled, "--strict")
        assert (code, told["deployable"], told["store"]["misfits"]) == (0, True, [])
    code, told = await checked("isolated", filled)
    assert (code, told["store"]["looked_at"]) == (0, {"session": 2 * SESSIONS, "org": 1})
    assert told["store"]["of_other_flows"] == 1, "the shared record stays where it is"


def line_of(text: str) -> int:
    source = Path(deploys.__file__).read_text().splitlines()
    return next(number for number, line in enumerate(source, start=1) if text in line)


async def test_an_upgrade_that_returns_nothing_is_told_so(filled: str) -> None:
    code, told = await checked("forgotten", filled)
    assert code == 1
    assert [(one["field"], one["rule"], one["detail"]) for one in told["store"]["misfits"]] == [
        ("", "upgrade_failed", "it returned None, not a dict of fields")
    ]


async def test_stored_fields_that_no_flow_declares_are_warned_of(filled: str) -> None:
    code, told = await checked("renamed", filled)
    text = '"theme" is stored in 1 record and declared by no flow; renamed? see upgrade= of User(...)'
    assert (code, told["deployable"], told["store"]["misfits"]) == (0, True, [])
    assert told["warnings"] == [{"message": f"user state: {text}", "loud": True}]
    done = await check("renamed", filled)
    assert (done.code, done.stderr) == (0, "")
    assert f"warning: user state: {text}" in done.stdout.splitlines()
    assert done.stdout.endswith("\nDeployable, with 1 warning.\n")
    strictly = await check("renamed", filled, "--strict")
    assert (strictly.code, strictly.stderr) == (1, "")
    assert strictly.stdout.endswith("\nNot deployable: 1 warning, and --strict.\n")
    code, told = await checked("renamed", filled, "--strict")
    assert (code, told["deployable"], told["store"]["misfits"]) == (1, False, [])
    code, told = await checked("less", filled)
    assert code == 0
    assert [warning["message"].partition(" and ")[0] for warning in told["warnings"]] == [
        f'session state of flow "chat": "{name}" is stored in {2 * number} records'
        for name, number in (("high", 1), ("low", 1), ("mode", SESSIONS - 1), ("notes", 1))
    ]


@pytest.mark.parametrize("app", ["same", "renamed_with_upgrade"])
async def test_fields_that_are_declared_or_upgraded_are_not_warned_of(filled: str, app: str) -> None:
    assert (await checked(app, filled))[1]["warnings"] == []


async def test_fields_of_other_services_in_shared_records_are_theirs(new_store: NewStore) -> None:
    url = await new_store("sqlite")
    await fill(url, deploys.served)
    async with running_server(deploys.shop, store=url) as server:
        async with server.connect(user="ada", plane="trusted") as client:
            await client.state.user("ada", flow_kind="shop").patch_state(name="Ada")
    for app in ("same", "extends"):
        _, told = await checked(app, url)
        assert [one for one in told["warnings"] if "declared by no flow" in one["message"]] == []


async def test_fields_without_default_that_no_record_has_are_warned_of(filled: str) -> None:
    code, told = await checked("required", filled)
    assert (code, told["deployable"], told["store"]["misfits"]) == (0, True, [])
    assert [(one["message"], one["loud"]) for one in told["warnings"]] == [
        (
            f'flow "chat", user state: "{name}" has no default and the 1 record looked at lacks it; reading it fails '
            "until it is written: give it a default, or an upgrade that makes it",
            True,
        )
        for name in ("email", "phone")
    ]
    store = store_from_url(filled)
    await store.open()
    await store.commit((put(user_scope("bob"), {"email": deploys.CANARY}),))
    await store.close()
    _, told = await checked("required", filled)
    (phone,) = told["warnings"]
    assert '"phone" has no default and none of the 2 records looked at has it' in phone["message"]


async def test_an_upgrade_that_fails_is_told_by_its_flow(filled: str) -> None:
    store = store_from_url(filled)
    await store.open()
    await store.commit((put(user_scope("bob"), {"age": deploys.CANARY}),))
    await store.close()
    code, told = await checked("upgraded", filled)
    assert code == 1
    assert told["store"]["misfits"] == [
        {
            "flow": "chat",
            "scope": "user",
            "field": "",
            "rule": "upgrade_failed",
            "detail": f"ValueError in tests/support/deploys.py, line {line_of('int(fields[')}",
            "path": "",
            "message": "",
            "count": 1,
            "keys": [{"tenant": "", "id": "bob"}],
        }
    ]


async def test_a_deploy_that_is_taken_back_may_not_write_what_a_newer_one_wrote(filled: str) -> None:
    async with running_server(deploys.upgraded, store=filled) as server:
        async with server.connect(user="ada", plane="trusted") as client:
            await client.state.user("ada", flow_kind="chat").patch_state(theme="blue")
    code, told = await checked("served", filled)
    assert code == 1
    (misfit,) = told["store"]["misfits"]
    assert (misfit["flow"], misfit["scope"], misfit["rule"]) == ("chat", "user", "newer_generation")
    assert "of generation 2; this server's is 1" in misfit["detail"]


@pytest.mark.parametrize("kind", SHARED)
async def test_a_store_that_is_served_is_looked_at_and_left_as_it_is(new_store: NewStore, kind: str) -> None:
    url = await new_store(kind)
    await fill(url, deploys.served)
    async with running_server(deploys.served, store=url) as server:
        before = database_contents(Path(url.removeprefix("sqlite:///"))) if kind == "sqlite" else None
        processes = await server.engine.store.read_processes()
        code, told = await checked("neighbour", url, "--all")
        assert code == 1
        (conflict,) = told["conflicts"]
        assert (conflict["flow_a"], conflict["flow_b"], conflict["reason"]) == (
            "chat",
            "admin",
            "incompatible-shape",
        )
        assert conflict["message"].endswith(f'Flow "chat" is served by process {server.engine.instance_id}.')
        left = {one.process for one in await server.engine.store.read_processes()}
        assert left <= {one.process for one in processes}
        if before is not None:
            assert database_contents(Path(url.removeprefix("sqlite:///"))) == before
        assert (await checked("same", url))[0] == 0
        code, told = await checked("changed", url)
        assert told["conflicts"] == []
        assert (
            'another deploy of flow "chat" declares the user state field "age"'
            in told["warnings"][0]["message"]
        )
    code, told = await checked("neighbour", url)
    assert told["conflicts"] == []
    assert told["warnings"][0]["loud"] is True
    assert 'Flow "chat" was served not long ago.' in told["warnings"][0]["message"]


async def test_a_folder_that_is_served_can_not_be_looked_at(new_store: NewStore) -> None:
    url = await new_store("file")
    async with running_server(deploys.served, store=url):
        done = await check("same", url)
    assert (done.code, done.stdout) == (2, "")
    assert "the store can't be checked: " in done.stderr
    assert "is in use by another process" in done.stderr
    assert (await check("same", url)).code == 0


async def test_damaged_records_are_counted(new_store: NewStore) -> None:
    url = await new_store("sqlite")
    await fill(url, deploys.served)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
        database.execute("UPDATE states SET text = CAST('{' AS BLOB) WHERE id IN ('ada', 's2')")
        database.execute(
            "UPDATE sessions SET tags = CAST('[' AS BLOB) WHERE session_id = 's5' AND tenant = 'acme'"
        )
        database.commit()
    code, told = await checked("same", url)
    assert (code, told["deployable"], told["store"]["misfits"]) == (1, False, [])
    assert told["store"]["damaged"] == 1 + 2 + 1
    done = await check("same", url)
    assert "problem: 4 records can't be understood; flowstate store check says which" in done.stdout


async def test_tables_that_are_not_there_yet_are_asked_for(new_store: NewStore) -> None:
    url = await new_store("sqlite")
    await fill(url, deploys.served)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
        database.execute("DROP TABLE documents")
        database.commit()
    done = await check("same", url)
    assert (done.code, done.stdout) == (2, "")
    assert "the store can't be read: no such table: documents" in done.stderr
    assert f"if an older release made it, run flowstate store migrate {url} first" in done.stderr


async def test_progress_is_told_on_stderr(new_store: NewStore, monkeypatch: pytest.MonkeyPatch) -> None:
    url = await new_store("sqlite")
    await fill(url, deploys.served)
    monkeypatch.setattr(module, "PROGRESS_SECONDS", 0.0)
    done = await check("same", url, "--all", "--json")
    assert json.loads(done.stdout)["store"]["all"] is True
    assert done.stderr.splitlines()[-1] == f"looked at {2 * SESSIONS + 2} records ..."
    assert (await check("same", url, "--json")).stderr == ""


async def test_records_of_flows_that_are_not_deployed_are_left_out(filled: str) -> None:
    code, told = await checked("other", filled)
    assert (code, told["store"]["misfits"], told["store"]["looked_at"]) == (0, [], {})
    assert told["store"]["of_other_flows"] == 2 * SESSIONS + 2


async def test_a_sample_is_small_and_all_is_all(new_store: NewStore) -> None:
    url = await new_store("sqlite")
    store = store_from_url(url)
    await store.open()
    users = 6000
    for first in range(0, users, 500):
        batch: tuple[ChangeState, ...] = tuple(
            put(user_scope(f"user-{number:05}"), {"age": "1"}) for number in range(first, first + 500)
        )
        await store.commit(batch)
    await store.close()
    _, told = await checked("changed", url)
    assert 900 <= told["store"]["looked_at"]["user"] <= 1100
    keys = [key["id"] for key in told["store"]["misfits"][0]["keys"]]
    assert len(keys) == 100
    done = await check("changed", url, "--all", "--json")
    (misfit,) = json.loads(done.stdout)["store"]["misfits"]
    assert misfit["count"] == users


def test_it_reads_its_store_from_the_environment(tmp_path: Path) -> None:
    done = flowstate("check", f"{APPS}:same", FLOWSTATE_STORE=f"sqlite:///{tmp_path / 'none.db'}")
    assert (done.code, "there is no store at" in done.stderr) == (2, True)
