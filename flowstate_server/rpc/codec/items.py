"""Items."""

from __future__ import annotations

from collections.abc import Collection

from flowstate.v1 import events_pb2, session_service_pb2 as pb
from flowstate.v1.types_pb2 import AUDIENCE_CLIENT, AUDIENCE_HISTORY, Audience as WireAudience
from flowstate_server.engine.calls.items import (
    ItemAppend,
    ItemRemovalCall,
    ItemsAppended,
    ItemsRemoved,
    NewItem,
)
from flowstate_server.engine.calls.lists import ItemList, ItemQuery
from flowstate_server.model.clock import Micros
from flowstate_server.model.ids import check_id
from flowstate_server.model.items import Audience, Item
from flowstate_server.rpc.codec.audiences import decode_audience
from flowstate_server.rpc.codec.time import encode_time
from flowstate_server.rpc.fingerprints import fingerprint
from flowstate_server.rpc.json_values import decode_value, encode_text
from flowstate_server.rpc.message_fields import invalid

_AUDIENCES = {Audience.CLIENT: AUDIENCE_CLIENT, Audience.HISTORY: AUDIENCE_HISTORY}


def decode_item_query(request: pb.ListItemsRequest) -> ItemQuery:
    return ItemQuery(
        session_id=check_id("session_id", request.session_id),
        request_id=check_id("request_id", request.request_id, required=False),
        last_turns=request.last_turns,
        audience=decode_audience(request.audience, "audience"),
        newest_first=request.newest_first,
        page_size=request.page_size,
        page_token=request.page_token,
    )


def encode_item_list(listed: ItemList) -> pb.ListItemsResponse:
    items = [encode_item(record.item, record.request_id, record.create_time) for record in listed.items]
    return pb.ListItemsResponse(items=items, next_page_token=listed.next_page_token)


def decode_item_append(request: pb.AppendItemsRequest) -> ItemAppend:
    return ItemAppend(
        session_id=request.session_id,
        items=[_decode_new(item, f"items[{place}]") for place, item in enumerate(request.items)],
        request_id=request.request_id,
        idempotency_key=request.idempotency_key,
        fingerprint=fingerprint(request) if request.idempotency_key else "",
    )


def _decode_new(item: events_pb2.Item, path: str) -> NewItem:
    audiences = [
        _decode_outside(audience, f"{path}.audiences[{place}]")
        for place, audience in enumerate(item.audiences)
    ]
    return NewItem(item.kind, decode_value(item.content, f"{path}.content"), item.role, item.name, audiences)


def _decode_outside(audience: WireAudience.ValueType, path: str) -> Audience:
    for known, wire in _AUDIENCES.items():
        if wire == audience:
            return known
    raise invalid(path, "enum", "must be CLIENT or HISTORY")


def encode_items_appended(appended: ItemsAppended) -> pb.AppendItemsResponse:
    if appended.replayed:
        remembered = [events_pb2.Item(item_id=item_id) for item_id in appended.item_ids]
        return pb.AppendItemsResponse(items=remembered, replayed=True)
    items = [encode_item(record.item, record.request_id, record.create_time) for record in appended.items]
    return pb.AppendItemsResponse(items=items)


def decode_item_removal(request: pb.RemoveItemsRequest) -> ItemRemovalCall:
    which = request.WhichOneof("which")
    return ItemRemovalCall(
        session_id=request.session_id,
        ids=tuple(request.ids.item_ids) if which == "ids" else None,
        newest=request.newest if which == "newest" else None,
        after=request.after_item_id if which == "after_item_id" else None,
        idempotency_key=request.idempotency_key,
        fingerprint=fingerprint(request) if request.idempotency_key else "",
    )


def encode_items_removed(removed: ItemsRemoved) -> pb.RemoveItemsResponse:
    return pb.RemoveItemsResponse(item_ids=removed.item_ids, replayed=removed.replayed)


def encode_item(item: Item, request_id: str, time: Micros) -> events_pb2.Item:
    return events_pb2.Item(
        item_id=item.item_id,
        kind=item.kind.value,
        role=item.role,
        content=encode_text(item.content) if item.content else None,
        audiences=_encode_audiences(item.audiences),
        create_time=encode_time(time),
        request_id=request_id,
        index=item.index,
        name=item.name,
        removed=item.removed,
    )


def _encode_audiences(audiences: Collection[Audience]) -> list[WireAudience.ValueType]:
    return [wire for audience, wire in _AUDIENCES.items() if audience in audiences]
