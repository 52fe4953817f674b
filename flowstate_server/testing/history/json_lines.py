"""Histories as text, one JSON object a line, so that several client processes can each write their own.

A call is two lines: one before it is made, with its parts, one after it with its answers. What a killed process did not
get to write is thus known to be unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from flowstate_server.model.json_values import decode_json, encode_json
from flowstate_server.state.operations import (
    Append,
    DeleteRecord,
    Increment,
    Merge,
    Operation,
    PutRecord,
    Remove,
    SetValue,
    TestEqual,
    TestExists,
)
from flowstate_server.stores.contract.writes import AtVersion, Exists
from flowstate_server.testing.history.calls import (
    Answer,
    Call,
    Delete,
    History,
    Outcome,
    Part,
    Read,
    Write,
)

_KINDS: Mapping[str, Callable[..., Any]] = {
    kind.__name__: kind
    for kind in (
        *(TestEqual, TestExists, SetValue, Merge, Increment, Append, Remove, PutRecord, DeleteRecord),
        *(AtVersion, Exists, Write, Delete, Read, Answer),
    )
}
_TUPLES = frozenset(("key", "path", "values", "operations"))


def begun_line(call: Call) -> bytes:
    parts = [_encode(part) for part in call.parts]
    line = {"id": call.id, "began": call.began, "key": call.idempotency_key, "parts": parts}
    return encode_json(line) + b"\n"


def ended_line(call: Call) -> bytes:
    line = {
        "id": call.id,
        "ended": call.ended,
        "outcome": call.outcome.value,
        "answers": [_encode(answer) for answer in call.answers],
        "replayed": call.replayed,
        "refusal": call.refusal,
        "current": call.current,
    }
    return encode_json(line) + b"\n"


def read_history(*paths: Path) -> History:
    """The calls of all files. A last line that was cut off is dropped: its call has not ended, or was not made."""
    calls: dict[tuple[Path, str], Call] = {}
    for path in paths:
        for line in _whole_lines(path.read_bytes()):
            _take(calls, path, line)
    return History(list(calls.values()))


def _whole_lines(text: bytes) -> Iterable[Any]:
    return (decode_json(line) for line in text.split(b"\n")[:-1])


def _take(calls: dict[tuple[Path, str], Call], path: Path, line: Any) -> None:
    name = (path, line["id"])
    if "began" in line:
        parts: tuple[Part, ...] = tuple([_decode(part) for part in line["parts"]])
        calls[name] = Call(line["id"], parts, line["began"], idempotency_key=line["key"])
        return
    call = calls[name]
    call.ended = line["ended"]
    call.outcome = Outcome(line["outcome"])
    call.answers = tuple([_decode(answer) for answer in line["answers"]])
    call.replayed, call.refusal, call.current = line["replayed"], line["refusal"], line["current"]


def _encode(value: Part | Answer | Operation | AtVersion | Exists) -> dict[str, Any]:
    encoded: dict[str, Any] = {"is": type(value).__name__}
    for member in fields(value):
        found = getattr(value, member.name)
        if member.name == "operations":
            found = [_encode(operation) for operation in found]
        elif member.name == "precondition" and found is not None:
            found = _encode(found)
        encoded[member.name] = found
    return encoded


def _decode(encoded: dict[str, Any]) -> Any:
    members = dict(encoded)
    kind = members.pop("is")
    if "operations" in members:
        members["operations"] = [_decode(operation) for operation in members["operations"]]
    if members.get("precondition") is not None:
        members["precondition"] = _decode(members["precondition"])
    for name in _TUPLES & members.keys():
        # The key of a record operation is a text, that of a part names a record.
        if isinstance(members[name], list):
            members[name] = tuple(members[name])
    return _KINDS[kind](**members)
