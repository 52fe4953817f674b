"""Scopes: their kinds, and the references by which callers name them."""

from __future__ import annotations

from flowstate.v1 import types_pb2 as pb
from flowstate_server.engine.calls import ScopeTarget
from flowstate_server.model.ids import check_id
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.rpc.message_fields import required, under

_TO_WIRE = {
    ScopeKind.REQUEST: pb.SCOPE_KIND_REQUEST,
    ScopeKind.SESSION: pb.SCOPE_KIND_SESSION,
    ScopeKind.USER: pb.SCOPE_KIND_USER,
    ScopeKind.ORG: pb.SCOPE_KIND_ORG,
}
_FROM_WIRE = {wire: kind for kind, wire in _TO_WIRE.items()}


def encode_scope_kind(kind: ScopeKind) -> pb.ScopeKind.ValueType:
    return _TO_WIRE[kind]


def decode_scope_kind(kind: pb.ScopeKind.ValueType) -> ScopeKind | None:
    """``None`` for one that names no record: unspecified, block, or unknown to this server."""
    return _FROM_WIRE.get(kind)


def decode_scope_ref(ref: pb.ScopeRef, path: str) -> ScopeTarget:
    owner = ref.WhichOneof("owner")
    if owner is None:
        raise required(f"{path}.owner")
    with under(path):
        target = check_id(owner, getattr(ref, owner))
        flow_kind = check_id("flow_kind", ref.flow_kind, required=False)
    return ScopeTarget(ScopeKind(owner.removesuffix("_id")), target, flow_kind)


def encode_scope_ref(target: ScopeTarget) -> pb.ScopeRef:
    ref = pb.ScopeRef(flow_kind=target.flow_kind)
    setattr(ref, f"{target.kind}_id", target.id)
    return ref
