"""What arrives at the server of the operations that the client makes, and what they make of a state."""

from __future__ import annotations

from typing import Any, cast

from flowstate_client.codec import JsonCodec
from flowstate_client.field_types import field_types
from flowstate_client.state_verbs import StateOp, StateVerbs
from flowstate_server.model.json_values import Json, JsonObject, decode_json
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.state import operations as op
from flowstate_server.state.apply import apply, difference
from flowstate_server.state.operations import Operation

CODEC = JsonCodec()


def written(
    state: JsonObject, operations: tuple[Operation, ...], schema: ModelSchema
) -> tuple[JsonObject, bool]:
    applied = apply(state, operations, schema).checked(schema)
    return applied.state, not difference(state, applied).empty


class Sent(StateVerbs[tuple[Operation, ...], Any]):
    """What arrives of what the client gives, with a model for its handle or without."""

    def __init__(self, model: Any) -> None:
        self._codec = CODEC
        self._types = field_types(model)

    def _submit(self, ops: Any) -> tuple[Operation, ...]:
        return tuple(operation for one in ops for operation in self._arrived(one))

    def _arrived(self, one: StateOp) -> tuple[Operation, ...]:
        match one.WhichOneof("op"):
            case "set":
                return op.set_state(_json(one.set))
            case "merge":
                return op.patch_state(cast(JsonObject, _json(one.merge.value)))
            case "append":
                return op.push_state(one.path[1:], [_json(item) for item in one.append.items])
            case "put_record":
                return op.set_state_record(one.path[1:], one.put_record.key, _json(one.put_record.value))
            case _:
                return op.delete_state_record(one.path[1:], one.delete_record.key)


def _json(value: Any) -> Json:
    return decode_json(value.json.encode())
