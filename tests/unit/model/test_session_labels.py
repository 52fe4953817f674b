"""Labels and resolve keys are stored: what they are made of may never change."""

from __future__ import annotations

from flowstate_server.model.identity import Tenant
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.model.resolve_keys import resolve_key
from flowstate_server.model.session_labels import labels

METADATA: JsonObject = {"k": {"b": 1, "a": 1.0}}

VALUES: list[Json] = [
    *(None, True, 0, -0.0, 0.0, 1, 1.0, -(2**63), 1e16, 1e300, 0.1, 1e-7, 5e-324),
    'é\x00\u2028\U0001d11e"\\/',
    {"b": [{"z": 1, "a": 2}], "é": "", "A": {}},
]
"""Whose text other versions of a JSON library might write otherwise."""


def test_labels_are_what_they_were() -> None:
    assert [label.hex() for label in labels(["a"], {})] == ["bedc735d8ca825306d36f03d15ee2da6"]
    assert [label.hex() for label in labels((), METADATA)] == ["788a2a6f80ad585da667afb31965f577"]
    assert [label.hex() for label in labels((), {"values": VALUES})] == ["81f01630e9beb8f1b251023dad5a4589"]
    assert labels(["a", "a"], METADATA) == labels(["a"], {}) | labels((), METADATA)


def test_resolve_keys_are_what_they_were() -> None:
    key = resolve_key(Tenant("t"), "chat", "ada", {"b": 1, "a": [1.0, None]})
    assert tuple(key) == (
        "t",
        "chat",
        "ada",
        "8075c44d7e50dec3f8149d7f772adea8115e4fbda82f803233dd0535ecda45db",
    )
    assert resolve_key(Tenant("t"), "chat", "ada", {"a": [1.0, None], "b": 1}) == key
