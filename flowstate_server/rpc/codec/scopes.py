"""Scopes: their kinds, and the references by which callers name them."""

from __future__ import annotations

from flowstate.v1 import types_pb2 as pb
from flowstate_server.engine.calls.state import ScopeTarget
from flowstate_server.model.ids import check_id
from flowstate_server.model.scopes import RECORD_SCOPES, ScopeKind
from flowstate_server.rpc.message_fields import required, under

_TO_WIRE = {
    ScopeKind.REQUEST: pb.SCOPE_KIND_REQUEST,
    ScopeKind.SESSION: pb.SCOPE_KIND_SESSION,
    ScopeKind.USER: pb.SCOPE_KIND_USER,
    ScopeKind.ORG: pb.SCOPE_KIND_ORG,
    ScopeKind.BLOCK: pb.SCOPE_KIND_BLOCK,
}
_OWNERS = {kind: f"{kind}_id" for kind in RECORD_SCOPES}
_OWNED = {owner: kind for kind, owner in _OWNERS.items()}
_FROM_WIRE = {_TO_WIRE[kind]: kind for kind in RECORD_SCOPES}


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
    return ScopeTarget(_OWNED[owner], target, flow_kind, ref.isolated)


def named_owner(ref: pb.ScopeRef) -> tuple[str, str]:
    """Scope kind and id as sent, unchecked; both empty where none is named."""
    owner = ref.WhichOneof("owner")
    return ("", "") if owner is None else (_OWNED[owner].value, getattr(ref, owner))


def set_scope_ref(ref: pb.ScopeRef, target: ScopeTarget) -> None:
    setattr(ref, _OWNERS[target.kind], target.id)
    if target.flow_kind:
        ref.flow_kind = target.flow_kind
    if target.isolated:
        ref.isolated = True
