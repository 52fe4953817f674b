"""Resources: references, writes, content, and what is shown of them."""

from __future__ import annotations

from flowstate.v1 import resource_service_pb2 as pb
from flowstate.v1.types_pb2 import Precondition as WirePrecondition
from flowstate_server.engine.calls.resources import (
    ContentPart,
    ContentPiece,
    ContentRead,
    ContentReceived,
    ResourceAnswer,
    ResourceDeletion,
    ResourcePage,
    ResourcePut,
    ResourceQuery,
    ResourceRef,
    ResourceWasPut,
    Shown,
)
from flowstate_server.engine.calls.state import Precondition
from flowstate_server.model.json_values import JsonObject
from flowstate_server.programs.resource_names import check_media_type
from flowstate_server.rpc.codec.scopes import decode_scope_ref, set_scope_ref
from flowstate_server.rpc.codec.state import decode_precondition
from flowstate_server.rpc.codec.time import set_time
from flowstate_server.rpc.fingerprints import fingerprint
from flowstate_server.rpc.json_values import decode_value
from flowstate_server.rpc.message_fields import invalid

_VIEWS = {
    pb.RESOURCE_VIEW_UNSPECIFIED: Shown.PLANE,
    pb.RESOURCE_VIEW_FULL: Shown.FULL,
    pb.RESOURCE_VIEW_CLIENT: Shown.CLIENT,
}
_FIELDS = ("state", "content", "media_type")
_LENGTH_DELIMITED = 2
_DATA = bytes([pb.ReadContentResponse.DATA_FIELD_NUMBER << 3 | _LENGTH_DELIMITED])

Named = pb.GetResourceRequest | pb.WriteContentRequest | pb.ReadContentRequest | pb.DeleteResourceRequest


def decode_resource_ref(request: Named) -> ResourceRef:
    return ResourceRef(decode_scope_ref(request.scope, "scope"), request.name)


def decode_view(view: pb.ResourceView.ValueType) -> Shown:
    if view not in _VIEWS:
        raise invalid("view", "view", "must be FULL or CLIENT")
    return _VIEWS[view]


def decode_resource_query(request: pb.ListResourcesRequest) -> ResourceQuery:
    return ResourceQuery(
        decode_scope_ref(request.scope, "scope"),
        prefix=request.name_prefix,
        page_size=request.page_size,
        page_token=request.page_token,
        shown=decode_view(request.view),
    )


def decode_put(request: pb.PutResourceRequest) -> ResourcePut:
    resource, fields = request.resource, _written(request)
    state: JsonObject | None = None
    if "state" in fields:
        state = _decode_state(resource) if resource.state.WhichOneof("encoding") else {}
    return ResourcePut(
        ResourceRef(decode_scope_ref(resource.scope, "resource.scope"), resource.name),
        state=state,
        content=(resource.content or None) if "content" in fields else None,
        clear_content="content" in fields and not resource.content,
        media_type=check_media_type("resource.media_type", resource.media_type)
        if "media_type" in fields
        else None,
        precondition=_precondition(request),
        idempotency_key=request.idempotency_key,
        fingerprint=fingerprint(request) if request.idempotency_key else "",
        request_id=request.request_id,
    )


def _written(request: pb.PutResourceRequest) -> frozenset[str]:
    """The fields to write: those in the mask, without one those that are set."""
    resource = request.resource
    if not request.update_mask.paths:
        is_set = {
            "state": resource.state.WhichOneof("encoding") is not None,
            "content": bool(resource.content),
            "media_type": bool(resource.media_type),
        }
        return frozenset([name for name in _FIELDS if is_set[name]])
    for index, path in enumerate(request.update_mask.paths):
        if path not in _FIELDS:
            raise invalid(
                f"update_mask.paths[{index}]", "unknown_path", "must be state, content or media_type"
            )
    return frozenset(request.update_mask.paths)


def _decode_state(resource: pb.Resource) -> JsonObject:
    state = decode_value(resource.state, "resource.state")
    if not isinstance(state, dict):
        raise invalid("resource.state", "object", "must be a JSON object")
    return state


def _precondition(
    request: pb.PutResourceRequest | pb.WriteContentRequest | pb.DeleteResourceRequest,
) -> Precondition | None:
    if not request.HasField("precondition"):
        return None
    precondition: WirePrecondition = request.precondition
    return decode_precondition(precondition, "precondition")


def decode_piece(request: pb.WriteContentRequest) -> ContentPiece:
    return ContentPiece(
        decode_resource_ref(request),
        upload_id=request.upload_id,
        position=request.position,
        data=request.data,
        finish=request.finish,
        sha256=request.content_sha256,
        media_type=check_media_type("media_type", request.media_type),
        precondition=_precondition(request),
        request_id=request.request_id,
    )


def decode_content_read(request: pb.ReadContentRequest) -> ContentRead:
    return ContentRead(decode_resource_ref(request), request.position, request.if_sha256)


def decode_resource_deletion(request: pb.DeleteResourceRequest) -> ResourceDeletion:
    return ResourceDeletion(
        decode_resource_ref(request), _precondition(request), request.allow_missing, request.request_id
    )


def encode_resource(answer: ResourceAnswer) -> pb.Resource:
    record = answer.record
    wire = pb.Resource(name=record.key.name, content=answer.content)
    set_scope_ref(wire.scope, answer.scope)
    if answer.state is not None:
        wire.state.json = answer.state.decode()
    if answer.content_shown:
        wire.media_type = record.media_type
        if record.content is not None:
            wire.content_size = record.content.size
            wire.content_sha256 = record.content.sha256
    meta = wire.meta
    meta.version = record.version
    meta.incarnation = record.incarnation
    if record.create_time:
        set_time(meta.create_time, record.create_time)
    if record.update_time:
        set_time(meta.update_time, record.update_time)
    return wire


def encode_resource_page(page: ResourcePage) -> pb.ListResourcesResponse:
    resources = [encode_resource(answer) for answer in page.resources]
    return pb.ListResourcesResponse(resources=resources, next_page_token=page.next_page_token)


def encode_put(put: ResourceWasPut) -> pb.PutResourceResponse:
    return pb.PutResourceResponse(
        resource=encode_resource(put.resource), replayed=put.replayed, changed=put.changed
    )


def encode_received(received: ContentReceived) -> pb.WriteContentResponse:
    return pb.WriteContentResponse(
        received=received.received,
        resource=None if received.resource is None else encode_resource(received.resource),
        changed=received.changed,
    )


def encode_part(part: ContentPart) -> bytes:
    """The bytes of a ``ReadContentResponse``. Two messages one after the other are read as one, so the piece is put
    behind the rest: through a message it would be copied twice more, a third of what a stream of content costs."""
    rest = pb.ReadContentResponse(
        resource=None if part.resource is None else encode_resource(part.resource), position=part.position
    )
    if not part.data:
        return rest.SerializeToString()
    return b"".join((rest.SerializeToString(), _DATA, _varint(len(part.data)), part.data))


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
