"""Servers on one store whose flows share records: they agree, or one of them does not serve."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_server.app import create_flowstate, store_from_url
from flowstate_server.engine import fleet as module
from flowstate_server.engine.engine import Engine
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import CrossFlowSchemaConflictError
from flowstate_server.flows import Context, Flow, User, action, define_flow, handler
from flowstate_server.flows.scope_config import UpgradeFunction
from flowstate_server.model.clock import SECOND, Seconds
from flowstate_server.model.documents import STORE_OWNER, Document, DocumentRange
from flowstate_server.model.recorded_flows import DECLARATION, SERVED, decode_served
from flowstate_server.stores.store import Store
from flowstate_server.testing.fixtures import StartServer
from flowstate_server.testing.waiting import until

DAY = 24 * 3600 * SECOND
QUICK = EngineSettings(lease=Seconds(0.6))
RESCUE = EngineSettings(allow_schema_conflict=True)


class Light(BaseModel):
    theme: str = "light"


class Numbered(BaseModel):
    theme: int = 0


class Sized(Light):
    size: int = 12


@handler
async def nothing(value: None, ctx: Context) -> None: ...


def flow(
    kind: str,
    model: type[BaseModel] | None = Light,
    generation: int = 1,
    upgrade: UpgradeFunction | None = None,
    **options: Any,
) -> Flow:
    user = User(state=model, generation=generation, upgrade=upgrade)
    return define_flow(kind, actions={"act": action(block=nothing)}, user=user, **options)


async def documents(store: Store, kind: str) -> list[Document]:
    return [*await store.read_documents(DocumentRange(STORE_OWNER, kind, limit=100))]


async def test_who_declares_a_shared_field_otherwise_is_refused(
    start_server: StartServer, shared_url: str
) -> None:
    entered: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        entered.append("lifespan")
        yield

    first = await start_server(flow("chat"), store=shared_url)
    other = flow("admin", Numbered, isolate_org_state=True)
    with pytest.raises(CrossFlowSchemaConflictError) as refused:
        await start_server(create_flowstate(flows=[other], lifespan=lifespan), store=shared_url)
    process = first.engine.instance_id
    assert str(refused.value) == (
        'Flows "chat" and "admin" declare incompatible user state schemas (incompatible-shape: field "theme": '
        "str vs int). Set isolate_user_state=True on one of the flows to opt out of cross-flow sharing, or reconcile "
        f'the schemas. Flow "chat" is served by process {process}.'
    )
    assert entered == [], "it is refused before anything of the application begins"
    store = first.engine.store
    assert [one.process for one in await store.leased()] == [process]
    assert [document.key.name[0] for document in await documents(store, DECLARATION)] == ["chat"]
    async with first.connect(user="ada") as client:
        await client.flows.call("chat", "act", None)


async def test_who_agrees_isolates_or_extends_is_served(
    start_server: StartServer, shared_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await start_server(flow("chat"), store=shared_url)
    await start_server(flow("same"), store=shared_url)
    await start_server(flow("alone", Numbered, isolate_user_state=True), store=shared_url)
    await start_server(flow("silent", None), store=shared_url)
    assert not caplog.records
    last = await start_server(flow("admin", Sized), store=shared_url)
    told = sorted(record.getMessage() for record in caplog.records)
    assert [text[: text.index(" share")] for text in told] == [
        'flows "chat" and "admin"',
        'flows "same" and "admin"',
    ]
    assert all('only "admin" declares "size"' in text for text in told)
    assert len(await documents(last.engine.store, SERVED)) == 3


async def test_a_server_that_has_stopped_is_in_nobodys_way(
    start_server: StartServer, durable_url: str
) -> None:
    first = await start_server(flow("chat"), store=durable_url)
    await first.stop()
    second = await start_server(flow("admin", Numbered), store=durable_url)
    kept = await documents(second.engine.store, DECLARATION)
    assert [document.key.name[0] for document in kept] == ["admin", "chat"], "for the check of a deploy"
    assert [document.key.name for document in await documents(second.engine.store, SERVED)] == [
        (second.engine.instance_id,)
    ]


async def test_a_rescue_is_told_loudly(
    start_server: StartServer, shared_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await start_server(flow("chat"), store=shared_url)
    rescue = await start_server(flow("admin", Numbered), store=shared_url, settings=RESCUE)
    async with rescue.connect(user="ada") as client:
        await client.flows.call("admin", "act", None)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("served all the same, as it was allowed: Flows")


async def test_another_deploy_of_a_flow_is_no_conflict(
    start_server: StartServer, shared_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is what it shares with its neighbours of before: all of them are on their way out."""
    await start_server([flow("chat"), flow("admin")], store=shared_url)
    new = [flow(kind, Numbered, generation=2) for kind in ("chat", "admin")]
    second = await start_server(new, store=shared_url)
    assert not caplog.records
    await second.stop()
    await start_server([flow("chat", Numbered), flow("admin", Numbered)], store=shared_url)
    told = sorted(record.getMessage() for record in caplog.records)
    for kind, text in zip(("admin", "chat"), told, strict=True):
        assert text.startswith(
            f'another deploy of flow "{kind}" declares the user state field "theme" otherwise'
        )
        assert "(incompatible-shape: str vs int) in the same generation, 1" in text


async def test_a_deploy_of_one_flow_alone_has_to_agree_with_its_neighbours(
    start_server: StartServer, shared_url: str
) -> None:
    await start_server([flow("chat"), flow("admin")], store=shared_url)
    with pytest.raises(CrossFlowSchemaConflictError, match='Flows "admin" and "chat" declare'):
        await start_server(flow("chat", Numbered, generation=2), store=shared_url)


async def test_two_flows_that_upgrade_one_field_are_refused_across_servers_too(
    start_server: StartServer, shared_url: str
) -> None:
    first, second = (flow(kind, generation=2, upgrade=dict) for kind in ("chat", "admin"))
    await start_server(first, store=shared_url)
    with pytest.raises(CrossFlowSchemaConflictError) as refused:
        await start_server(second, store=shared_url)
    assert (refused.value.field, refused.value.reason) == ("theme", "incompatible-upgrades")


async def test_of_two_that_start_at_once_and_conflict_never_both_serve(shared_url: str) -> None:
    served = refused = 0
    for _ in range(8):
        engines = [
            create_flowstate(flows=[flow(kind, model)]).engine(store_from_url(shared_url))
            for kind, model in (("chat", Light), ("admin", Numbered))
        ]
        answers = await asyncio.gather(*(engine.open() for engine in engines), return_exceptions=True)
        opened = [engine for engine, answer in zip(engines, answers, strict=True) if answer is None]
        assert len(opened) <= 1
        assert all(
            isinstance(answer, CrossFlowSchemaConflictError) for answer in answers if answer is not None
        )
        served += len(opened)
        refused += 2 - len(opened)
        for engine in opened:
            await engine.close()
    assert refused >= 8


async def test_what_is_recorded_is_kept_for_thirty_days_and_confirmed(
    shared_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def opened() -> Engine:
        engine = create_flowstate(flows=[flow("chat")]).engine(store_from_url(shared_url), QUICK)
        await engine.open()
        return engine

    engine = await opened()
    (first,) = await documents(engine.store, DECLARATION)
    assert first.expire_time - first.update_time == 30 * DAY
    await engine.close()
    monkeypatch.setattr(module, "CONFIRMED_EVERY", 0.1)
    engine = await opened()
    (again,) = await documents(engine.store, DECLARATION)
    assert again.key == first.key
    assert again.expire_time > first.expire_time, "confirmed at the start"

    async def confirmed() -> bool:
        (newest,) = await documents(engine.store, DECLARATION)
        return newest.expire_time > again.expire_time

    await until(confirmed)
    await engine.close()


async def test_a_process_that_was_fenced_records_anew(
    shared_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_flowstate(flows=[flow("chat")]).engine(store_from_url(shared_url), QUICK)
    await engine.open()
    fenced = engine.instance_id
    await engine.supervisor.begin_anew(fenced)

    async def recorded() -> bool:
        (served,) = await documents(engine.store, SERVED)
        return served.key.name == (engine.instance_id,) and bool(decode_served(served))

    await until(recorded)
    assert engine.instance_id != fenced
    await engine.close()


async def test_what_a_later_release_records_is_passed_over(
    start_server: StartServer,
    shared_url: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as later:
        later.setattr(module, "encode_declaration", lambda flow: {"format": 9})
        await start_server(flow("chat"), store=shared_url)
    await start_server(flow("admin", Numbered), store=shared_url)
    assert "of the flow chat can't be understood and is passed over: KeyError" in caplog.text
