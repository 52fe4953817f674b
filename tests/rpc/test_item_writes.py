from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from flowstate.v1 import session_service_pb2 as pb
from flowstate.v1.events_pb2 import Item
from flowstate.v1.flow_service_pb2 import CallActionRequest, DispatchActionRequest, GetActionRequestRequest
from flowstate.v1.types_pb2 import AUDIENCE_CLIENT, AUDIENCE_HISTORY, AUDIENCE_INTERNAL, Value
from flowstate_server.engine.records import removal_reading
from flowstate_server.errors import Reason
from tests.support.served import Served, served, spec
from tests.support.wire import TRUSTED, refused

MIB = 1024 * 1024
TENANT = (*TRUSTED, ("x-tenant-id", "other"))


def item(json: str = "1", kind: str = "custom", **fields: Any) -> Item:
    return Item(kind=kind, content=Value(json=json), **fields)


async def _session(server: Served, session_id: str = "s1") -> None:
    session = pb.Session(flow_kind="talk", user_id="u1", session_id=session_id)
    await server.sessions.CreateSession(pb.CreateSessionRequest(session=session))


async def _append(
    server: Served, *items: Item, metadata: Any = TRUSTED, session_id: str = "s1", **fields: Any
) -> pb.AppendItemsResponse:
    request = pb.AppendItemsRequest(session_id=session_id, items=items, **fields)
    return await server.sessions.AppendItems(request, metadata=metadata)


async def _remove(server: Served, metadata: Any = TRUSTED, **fields: Any) -> pb.RemoveItemsResponse:
    request = pb.RemoveItemsRequest(**{"session_id": "s1", **fields})
    return await server.sessions.RemoveItems(request, metadata=metadata)


async def _listed(server: Served) -> list[Item]:
    answer = await server.sessions.ListItems(pb.ListItemsRequest(session_id="s1"), metadata=TRUSTED)
    return list(answer.items)


async def test_what_is_added_is_listed() -> None:
    async with served() as server:
        await _session(server)
        answer = await _append(
            server,
            item(
                '{"parts": [{"type": "text", "text": "ü"}]}',
                "message",
                role="user",
                audiences=[AUDIENCE_CLIENT],
            ),
            item('{"call_id":"c","arguments":{}}', "tool_call", name="search", audiences=[AUDIENCE_HISTORY]),
            item("null", item_id="ignored", request_id="ignored", index=7, removed=True),
        )
        assert not answer.replayed
        assert [one.index for one in answer.items] == [0, 1, 2]
        assert [list(one.audiences) for one in answer.items] == [[AUDIENCE_CLIENT], [AUDIENCE_HISTORY], []]
        assert len({one.item_id for one in answer.items} - {"ignored"}) == 3
        assert [one.content.json for one in answer.items][2] == "null"
        assert await _listed(server) == list(answer.items)


@pytest.mark.parametrize(
    ("items", "fields"),
    [
        ([], ["items"]),
        ([item()] * 501, ["items"]),
        ([item(kind="")], ["items[0].kind"]),
        ([item(), item(kind="note")], ["items[1].kind"]),
        ([Item(kind="custom")], ["items[0].content"]),
        ([item("{", "custom")], ["items[0].content"]),
        ([item('{"a":1e999}', "custom")], ["items[0].content/a"]),
        ([item("1", "message")], ["items[0].content"]),
        (
            [item('{"parts":[{"type":"text"}],"more":1}', "message")],
            ["items[0].content/parts/0/text", "items[0].content/more"],
        ),
        ([item('{"call_id":"","output":1}', "tool_output")], ["items[0].content/call_id"]),
        ([item(role="a\n")], ["items[0].role"]),
        ([item(name="n" * 129)], ["items[0].name"]),
        ([item(audiences=[AUDIENCE_CLIENT, AUDIENCE_INTERNAL])], ["items[0].audiences[1]"]),
        ([item(audiences=[0])], ["items[0].audiences[0]"]),
    ],
)
async def test_items_that_are_refused_are_named(items: Sequence[Item], fields: list[str]) -> None:
    async with served() as server:
        await _session(server)
        refusal = await refused(
            _append(server, item(), *items) if len(items) == 501 else _append(server, *items)
        )
        assert refusal.fields == fields
        assert await _listed(server) == []


async def test_large_content_is_refused() -> None:
    async with served() as server:
        await _session(server)
        largest = item(f'"{"x" * (MIB - 2)}"')
        over = item(f'"{"x" * (MIB - 1)}"')
        for items in ([item(), over], [largest] * 3 + [item(f'"{"x" * (MIB // 2)}"')]):
            assert (await refused(_append(server, *items))).reason is Reason.MESSAGE_TOO_LARGE
        assert len((await _append(server, *[largest] * 3)).items) == 3


async def test_a_repeat_of_an_append() -> None:
    async with served() as server:
        await _session(server)
        first = await _append(server, item(), item("2"), idempotency_key="k")
        again = await _append(server, item(), item("2"), idempotency_key="k")
        assert again.replayed
        assert list(again.items) == [Item(item_id=one.item_id) for one in first.items]
        other = await refused(_append(server, item("3"), idempotency_key="k"))
        assert other.reason is Reason.IDEMPOTENCY_KEY_REUSED
        assert len(await _listed(server)) == 2


async def test_a_repeat_of_a_removal() -> None:
    async with served() as server:
        await _session(server)
        await _append(server, item(), item("2"), item("3"))
        first = await _remove(server, newest=1, idempotency_key="k")
        again = await _remove(server, newest=1, idempotency_key="k")
        assert (again.replayed, list(again.item_ids)) == (True, list(first.item_ids))
        other = await refused(_remove(server, newest=2, idempotency_key="k"))
        assert other.reason is Reason.IDEMPOTENCY_KEY_REUSED
        nothing = await _remove(server, ids=pb.ItemIds(item_ids=first.item_ids), idempotency_key="n")
        assert (nothing.replayed, list(nothing.item_ids)) == (False, [])
        assert (await _remove(server, ids=pb.ItemIds(item_ids=first.item_ids), idempotency_key="n")).replayed
        assert [one.content.json for one in await _listed(server)] == ["1", "2"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({}, "which"),
        ({"ids": pb.ItemIds()}, "ids.item_ids"),
        ({"ids": pb.ItemIds(item_ids=["i"] * 501)}, "ids.item_ids"),
        ({"ids": pb.ItemIds(item_ids=["i", ""])}, "ids.item_ids[1]"),
        ({"newest": 0}, "newest"),
        ({"newest": -1}, "newest"),
        ({"newest": 501}, "newest"),
        ({"after_item_id": ""}, "after_item_id"),
        ({"newest": 1, "session_id": ""}, "session_id"),
        ({"newest": 1, "idempotency_key": "k" * 129}, "idempotency_key"),
    ],
)
async def test_removals_that_are_refused_are_named(fields: dict[str, Any], path: str) -> None:
    async with served() as server:
        await _session(server)
        await _append(server, item())
        assert (await refused(_remove(server, **fields))).fields == [path]
        assert len(await _listed(server)) == 1


async def test_the_client_plane_may_not() -> None:
    async with served() as server:
        await _session(server)
        for call in (_append(server, item(), metadata=()), _remove(server, metadata=(), newest=1)):
            assert (await refused(call)).reason is Reason.ACCESS_DENIED


async def test_what_is_another_tenants_is_what_never_was() -> None:
    async with served() as server:
        await _session(server)
        [own] = (await _append(server, item())).items
        for session_id in ("s1", "never"):
            for call in (
                _append(server, item(), session_id=session_id, metadata=TENANT),
                _remove(server, session_id=session_id, newest=1, metadata=TENANT),
            ):
                refusal = await refused(call)
                assert (refusal.reason, refusal.metadata) == (
                    Reason.SESSION_NOT_FOUND,
                    {"session_id": session_id},
                )
        session = pb.Session(flow_kind="talk", user_id="u1", session_id="s1")
        await server.sessions.CreateSession(pb.CreateSessionRequest(session=session), metadata=TENANT)
        refusals = []
        for item_id in (own.item_id, "item_never"):
            refusals.append(
                await refused(_remove(server, ids=pb.ItemIds(item_ids=[item_id]), metadata=TENANT))
            )
            assert refusals[-1].metadata == {"item_id": item_id}
        assert {refusal.reason for refusal in refusals} == {Reason.ITEM_NOT_FOUND}
        assert len(await _listed(server)) == 1


async def test_requests_of_others_are_not_found() -> None:
    async with served() as server:
        await _session(server)
        await _session(server, "s2")
        held = DispatchActionRequest(spec=spec("hold", session_id="s2", request_id="r2"))
        await server.flows.DispatchAction(held)
        for request_id in ("r2", "never"):
            refusal = await refused(_append(server, item(), request_id=request_id))
            assert (refusal.reason, refusal.metadata) == (
                Reason.REQUEST_NOT_FOUND,
                {"request_id": request_id},
            )
        server.gate.opened.set()


async def _run(server: Served, request_id: str) -> None:
    call = CallActionRequest(spec=spec("say", session_id="s1", request_id=request_id))
    await server.flows.CallAction(call)


@pytest.mark.parametrize("at_once", [1, 2, 500])
async def test_what_goes_along_is_found_page_by_page(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal_reading, "READ_AT_ONCE", at_once)
    async with served() as server:
        await _session(server)
        await _run(server, "r1")
        first = (await _append(server, item("1"), item("2"))).items
        await _run(server, "r2")
        second = (await _append(server, item("3"), item("4"), item("5"))).items
        [said, said_again] = [one for one in await _listed(server) if one.kind == "message"]
        gone = [first[0], first[1], second[1], said]
        ids = pb.ItemIds(item_ids=[one.item_id for one in reversed(gone)])
        removed = await _remove(server, ids=ids)
        assert list(removed.item_ids) == [one.item_id for one in (said, *first, second[1])]
        left = [said_again, second[0], second[2]]
        assert await _listed(server) == left
        turns = pb.ListItemsRequest(session_id="s1", last_turns=2)
        assert list((await server.sessions.ListItems(turns, metadata=TRUSTED)).items) == left
        for request_id, has_input in (("r1", False), ("r2", True)):
            get = GetActionRequestRequest(request_id=request_id)
            record = (await server.flows.GetActionRequest(get)).action_request
            assert (record.HasField("input"), record.HasField("output")) == (has_input, has_input)
        after = await _remove(server, after_item_id=first[1].item_id)
        assert list(after.item_ids) == [one.item_id for one in left]
        assert await _listed(server) == []


async def test_too_many_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal_reading, "MOST_ITEMS", 2)
    async with served() as server:
        await _session(server)
        added = (await _append(server, *[item()] * 4)).items
        refusal = await refused(_remove(server, after_item_id=added[0].item_id))
        assert (refusal.reason, refusal.fields) == (Reason.VALIDATION_FAILED, ["after_item_id"])
        assert len((await _remove(server, after_item_id=added[1].item_id)).item_ids) == 2
