"""Servers that stop, restart, hang or refuse."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

import pytest

from flowstate_client.testing import FaultProxy
from flowstate_server.errors import StoreOpenError, StoreUnavailableError, StoreUnreachableError
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.contract.watch import Topic, TopicKind
from flowstate_server.stores.postgres import PostgresStore, connections
from flowstate_server.testing.waiting import soon, until
from tests.stores.sqlite import batches
from tests.support.ports import lasting_port
from tests.support.postgres_server import GUARDED_ROLE, PostgresServer, execute, fetch

U1 = user_scope("u1")
SECRET = "pa55-word%2Fwith:signs"


async def served(store: PostgresStore) -> bool:
    try:
        await store.commit(batches.add_one())
        await store.load_states([U1])
    except StoreUnavailableError:
        return False
    return True


@pytest.mark.parametrize("immediate", [False, True], ids=["fast", "immediate"])
async def test_a_restarted_server_is_served_from_again(server: PostgresServer, immediate: bool) -> None:
    store, other = (PostgresStore(server.dsn()) for _ in range(2))
    await store.open()
    await other.open()
    assert await served(store)
    await asyncio.to_thread(server.stop, immediate=immediate)
    assert not await served(store)
    with pytest.raises(StoreUnavailableError):
        await store.get_session(batches.SESSION)
    await asyncio.to_thread(server.start)
    begin = time.monotonic()
    await until(lambda: served(store))
    assert time.monotonic() - begin < 2
    before = (await other.load_states([U1]))[U1].version
    with other.watch([Topic(TopicKind.USER, NO_TENANT, "u1")]) as watch:
        await store.commit(batches.add_one())
        await soon(watch.wait(), 2)
    assert (await other.load_states([U1]))[U1].version == before + 1
    await store.close()
    await other.close()


async def test_everything_acknowledged_survives_a_killed_server(server: PostgresServer) -> None:
    store = PostgresStore(server.dsn())
    await store.open()
    acknowledged = 0

    async def work(enough: asyncio.Event, killed: asyncio.Event) -> None:
        nonlocal acknowledged
        while not killed.is_set():
            await store.commit((*batches.add_one("left"), *batches.add_one("right")))
            acknowledged += 1
            if acknowledged >= wanted:
                enough.set()

    for _ in range(3):
        wanted = acknowledged + 50
        enough, killed = asyncio.Event(), asyncio.Event()
        workers = [asyncio.create_task(work(enough, killed)) for _ in range(8)]
        await soon(enough.wait())
        await asyncio.to_thread(server.restart, immediate=True)
        killed.set()
        await asyncio.gather(*workers, return_exceptions=True)
        await until(lambda: served(store))
        left, right = user_scope("left"), user_scope("right")
        states = await store.load_states([left, right])
        assert states[left].version == states[right].version >= acknowledged
        acknowledged = states[left].version
    await store.close()


async def test_a_hanging_server_is_unavailable_in_bounded_time(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "STATEMENT_SECONDS", 0.3)
    monkeypatch.setattr(connections, "BEGIN_SECONDS", 0.3)
    monkeypatch.setattr(connections, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(connections, "CLOSE_SECONDS", 0.3)
    parts = urlsplit(dsn)
    async with FaultProxy(f"127.0.0.1:{parts.port}") as proxy:
        store = PostgresStore(parts._replace(netloc=f"postgres@{proxy.target}").geturl())
        await store.open()
        assert await served(store)
        proxy.stall()
        for call in (store.commit(batches.add_one()), store.load_states([U1]), store.time()):
            with pytest.raises(StoreUnavailableError):
                await soon(call, 3)
        proxy.heal()
        proxy.cut()
        await until(lambda: served(store))
        await store.close()


class TestOpening:
    async def refusal(self, dsn: str, *, passing: bool = False, **options: str) -> str:
        store = PostgresStore(dsn, **options)  # type: ignore[arg-type]
        with pytest.raises(StoreOpenError) as refused:
            await store.open()
        assert isinstance(refused.value, StoreUnreachableError) is passing
        assert refused.value.__cause__ is None
        text = f"{refused.value} {refused.value!r} {refused.value.__context__} {store!r}"
        assert "pa55" not in text
        assert "signs" not in text
        return str(refused.value)

    async def test_a_wrong_password(self, server: PostgresServer) -> None:
        await execute(server.dsn(), f"CREATE ROLE {GUARDED_ROLE} LOGIN SUPERUSER PASSWORD 'right'")
        for password in (SECRET, ""):
            problem = await self.refusal(server.dsn(user=GUARDED_ROLE, password=password))
            assert f"127.0.0.1:{server.port}/postgres: " in problem
            assert "password" in problem
        store = PostgresStore(server.dsn(user=GUARDED_ROLE, password="right"))
        await store.open()
        await store.close()

    async def test_a_missing_database(self, dsn: str) -> None:
        wrong = urlsplit(dsn)._replace(path="/nowhere").geturl()
        assert 'database "nowhere" does not exist' in await self.refusal(wrong)

    async def test_nobody_there(self) -> None:
        url = f"postgresql://u:{SECRET}@127.0.0.1:{lasting_port()}/db?password={SECRET}"
        assert "127.0.0.1" in await self.refusal(url, passing=True)

    @pytest.mark.parametrize(
        "url",
        [
            f"postgresql://u:{SECRET}/@host/db",
            f"postgresql://u:12345/{SECRET}@host/db",
            f"postgresql://u:{SECRET}@host:port/db",
            f"mysql://u:{SECRET}@host/db",
            f"host=localhost password={SECRET}",
            f"postgresql://u:{SECRET}@[::1/db",
            "",
        ],
    )
    async def test_no_url_of_a_postgres_database(self, url: str) -> None:
        assert "the Postgres URL" in await self.refusal(url)

    async def test_a_wrong_url_to_listen_at(self, dsn: str) -> None:
        wrong = f"postgresql://u:{SECRET}@127.0.0.1:{lasting_port()}/db"
        await self.refusal(dsn, passing=True, listen_dsn=wrong)
        assert "the Postgres URL" in await self.refusal(dsn, listen_dsn="nonsense")

    async def test_what_hosters_add_to_urls_is_left_out(self, dsn: str) -> None:
        store = PostgresStore(f"{dsn}?pgbouncer=true&channel_binding=require&connection_limit=1")
        await store.open()
        await store.close()

    async def test_a_failed_opening_leaves_no_connection(self, dsn: str) -> None:
        await self.refusal(dsn, passing=True, listen_dsn=f"postgresql://127.0.0.1:{lasting_port()}/db")
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        await until(lambda: _none(dsn, others))


async def _none(dsn: str, query: str) -> bool:
    return await fetch(dsn, query) == [(0,)]


async def test_errors_that_reach_a_caller_name_no_password(server: PostgresServer) -> None:
    await execute(server.dsn(), f"CREATE ROLE {GUARDED_ROLE} LOGIN SUPERUSER PASSWORD 'pa55-word'")
    store = PostgresStore(server.dsn(user=GUARDED_ROLE, password="pa55-word"))
    await store.open()
    await execute(server.dsn(), f"ALTER ROLE {GUARDED_ROLE} PASSWORD 'another'")
    await asyncio.to_thread(server.restart)
    seen: BaseException | None
    for call in (store.commit(batches.add_one()), store.time()):
        with pytest.raises(StoreUnavailableError) as refused:
            await call
        seen = refused.value
        while seen is not None:
            assert "pa55" not in f"{seen} {seen!r}"
            seen = seen.__cause__ or seen.__context__
    await store.close()
