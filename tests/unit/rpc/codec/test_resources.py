from __future__ import annotations

import pytest

from flowstate.v1 import resource_service_pb2 as pb
from flowstate_server.engine.calls.resources import ContentPart, ResourceAnswer
from flowstate_server.engine.calls.state import ScopeTarget
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.resources import ResourceKey, ResourceRecord
from flowstate_server.model.scopes import ScopeKind, SessionKey, session_scope
from flowstate_server.rpc.codec.resources import encode_part

SCOPE = session_scope(SessionKey(NO_TENANT, "s"))


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 1 << 20])
def test_a_part_is_read_as_it_was_made(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    for position in (0, 1 << 40):
        part = pb.ReadContentResponse.FromString(encode_part(ContentPart(position, data)))
        assert part == pb.ReadContentResponse(position=position, data=data)


def test_the_first_part_has_the_resource() -> None:
    record = ResourceRecord(ResourceKey(SCOPE, "a"), 3, exists=True)
    answer = ResourceAnswer(ScopeTarget(ScopeKind.SESSION, "s"), record, b'{"a":1}')
    part = pb.ReadContentResponse.FromString(encode_part(ContentPart(5, b"data", answer)))
    assert (part.position, part.data) == (5, b"data")
    assert (part.resource.name, part.resource.meta.version) == ("a", 3)
    assert part.resource.state.json == '{"a":1}'
