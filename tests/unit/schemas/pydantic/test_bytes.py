"""Bytes as the model that declares them writes them, by every operation."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, create_model

from flowstate_server.state import operations as op
from flowstate_server.state.apply import apply
from tests.unit.schemas.pydantic.checks import schema_of


class Inside(BaseModel):
    """Whose own configuration says nothing of bytes."""

    data: bytes = b""


class Holding(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    data: bytes


CONFIGS = [
    None,
    ConfigDict(ser_json_bytes="base64", val_json_bytes="base64"),
    ConfigDict(ser_json_bytes="hex", val_json_bytes="hex"),
]
KINDS: dict[str, tuple[Any, Any]] = {
    "list": (list[bytes], [b"null", b"abcd"]),
    "choices": (list[int | bytes], [b"null", 1]),
    "set": (set[bytes], {b"null"}),
    "map": (dict[str, bytes], {"a": b"null"}),
    "keys": (dict[bytes, bytes], {b"null": b"abcd"}),
    "encoded": (dict[str, Holding], {"a": Holding(data=b"null")}),
    "models": (list[Inside], [Inside(data=b"abcd")]),
}


@pytest.mark.parametrize("config", CONFIGS, ids=["utf8", "base64", "hex"])
@pytest.mark.parametrize("kind", KINDS)
def test_f3_bytes_are_read_as_they_were_written_by_every_operation(
    kind: str, config: ConfigDict | None
) -> None:
    annotation, value = KINDS[kind]
    model: Any = create_model("State", __config__=config, held=(annotation, ...))
    schema = schema_of(model)
    ways = [op.patch_state({"held": value}, schema.fields_json)]
    if isinstance(value, dict):
        puts = [op.set_state_record("held", key, item, schema.record_json) for key, item in value.items()]
        ways.append(tuple(put for part in puts for put in part))
    else:
        ways.append(op.push_state("held", list(value), schema.element_json))
    for way in ways:
        state = apply({}, way, schema).checked(schema).state
        view: Any = schema.view(model, state)
        assert view.held == value
    if isinstance(value, dict):
        deletes = [op.delete_state_record("held", key, schema.key_json) for key in value]
        state = apply({}, ways[0], schema).checked(schema).state
        gone = apply(state, tuple(part for parts in deletes for part in parts), schema).checked(schema)
        assert gone.state == {"held": {}}
