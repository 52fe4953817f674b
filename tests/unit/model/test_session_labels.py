"""Labels and resolve keys are stored: what they are made of may never change."""

from __future__ import annotations

from flowstate_server.model.identity import Tenant
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.resolve_keys import resolve_key
from flowstate_server.model.session_labels import labels

METADATA: JsonObject = {"k": {"b": 1, "a": 1.0}}


def test_labels_are_what_they_were() -> None:
    assert [label.hex() for label in labels(["a"], {})] == ["bedc735d8ca825306d36f03d15ee2da6"]
    assert [label.hex() for label in labels((), METADATA)] == ["788a2a6f80ad585da667afb31965f577"]
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
