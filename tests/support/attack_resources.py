"""The calls of the walk about resources."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message

from flowstate.v1 import resource_service_pb2 as pb, state_service_pb2 as states
from flowstate.v1.types_pb2 import Precondition, RecordMeta, ScopeRef, Value
from flowstate_server.model.json_values import encode_json
from tests.support.house import APART, KIND, House

Call = tuple[str, str, Message]
SINGLE, INSTANCE = "paper", "papers/1"


def owners(house: House) -> list[ScopeRef]:
    return [
        ScopeRef(session_id=house.session),
        ScopeRef(user_id=house.user, flow_kind=KIND),
        ScopeRef(org_id=house.org, flow_kind=KIND),
        ScopeRef(user_id=house.user, flow_kind=APART, isolated=True),
    ]


def resource(house: House, scope: ScopeRef, name: str = SINGLE) -> pb.Resource:
    state = encode_json({"shown": house.text, "hidden": house.hidden}).decode()
    return pb.Resource(
        scope=scope,
        name=name,
        state=Value(json=state),
        content=house.text.encode(),
        media_type="text/plain",
        content_sha256="0",
        meta=RecordMeta(incarnation=house.paper),
    )


def reads(house: House) -> Iterator[Call]:
    for number, scope in enumerate(owners(house)):
        get = pb.GetResourceRequest(scope=scope, name=SINGLE)
        yield f"resource {number}", "ResourceService/GetResource", get
        read = pb.ReadContentRequest(scope=scope, name=SINGLE)
        yield f"content {number}", "ResourceService/ReadContent", read

    of_org = ScopeRef(org_id=house.org, flow_kind=KIND)
    yield "resources of an org", "ResourceService/ListResources", pb.ListResourcesRequest(scope=of_org)


def lists(house: House) -> Iterator[tuple[str, str, pb.ListResourcesRequest]]:
    in_session = ScopeRef(session_id=house.session)
    yield "resources", "ResourceService/ListResources", pb.ListResourcesRequest(scope=in_session, page_size=1)
    of_user = ScopeRef(user_id=house.user, flow_kind=KIND)
    yield (
        "resources of a user",
        "ResourceService/ListResources",
        pb.ListResourcesRequest(scope=of_user, page_size=1),
    )


def keyed(house: House) -> Iterator[Call]:
    put = pb.PutResourceRequest(
        resource=resource(house, ScopeRef(session_id=house.session), INSTANCE), idempotency_key=house.key
    )
    yield "put with a key", "ResourceService/PutResource", put


def writes(house: House) -> Iterator[Call]:
    in_session = ScopeRef(session_id=house.session)
    known = Precondition(exists=True, incarnation=house.paper)
    put = pb.PutResourceRequest(
        resource=resource(house, in_session), precondition=known, request_id=house.open
    )
    yield "put for a request", "ResourceService/PutResource", put
    for number, scope in enumerate(owners(house)):
        one = pb.PutResourceRequest(resource=resource(house, scope))
        yield f"put {number}", "ResourceService/PutResource", one
    op = states.StateOp(path="/shown", set=Value(json=encode_json(house.text).decode()))
    mutation = states.StateMutation(scope=in_session, resource=SINGLE, ops=[op])
    commit = states.CommitStateRequest(mutations=[mutation])
    yield "commit to a resource", "StateService/CommitState", commit
    piece = pb.WriteContentRequest(
        scope=in_session,
        name=SINGLE,
        upload_id=house.key,
        data=house.text.encode(),
        finish=True,
        precondition=known,
        request_id=house.open,
    )
    yield "a piece", "ResourceService/WriteContent", piece
    for number, scope in enumerate(owners(house)):
        one_piece = pb.WriteContentRequest(scope=scope, name=INSTANCE, upload_id=house.key, data=b"text")
        yield f"piece {number}", "ResourceService/WriteContent", one_piece
    delete = pb.DeleteResourceRequest(
        scope=in_session, name=SINGLE, precondition=known, request_id=house.open
    )
    yield "resource deleted", "ResourceService/DeleteResource", delete
    for number, scope in enumerate(owners(house)):
        again = pb.DeleteResourceRequest(scope=scope, name=SINGLE, allow_missing=True)
        yield f"resource {number} deleted if there", "ResourceService/DeleteResource", again
