"""Benchmarks speak the contract with ``bytes json`` and the one with ``string json``."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from benchmarks import values

FIELD = descriptor_pb2.FieldDescriptorProto


@pytest.mark.parametrize("form", [FIELD.TYPE_BYTES, FIELD.TYPE_STRING])
def test_json_is_written_and_read_in_either_form(
    form: descriptor_pb2.FieldDescriptorProto.Type.ValueType, monkeypatch: pytest.MonkeyPatch
) -> None:
    value_class = _value_class(form)
    monkeypatch.setattr(values, "Value", value_class)
    message = value_class(json=values.json_field({"text": "été"}))
    assert json.loads(message.json) == {"text": "été"}


def _value_class(form: descriptor_pb2.FieldDescriptorProto.Type.ValueType) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="value.proto", syntax="proto3")
    field = FIELD(name="json", number=1, type=form, label=FIELD.LABEL_OPTIONAL)
    file.message_type.add(name="Value").field.append(field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Value"))
