"""JSON in messages, under every contract that is compared: ``Value.json`` was ``bytes`` once and is ``string`` now."""

from __future__ import annotations

import json
from typing import Any

from flowstate.v1.types_pb2 import Value


def json_field(value: object) -> Any:
    """What to assign to ``Value.json``. Reading needs nothing of the kind: ``json.loads`` takes both."""
    text = json.dumps(value)
    field = Value.DESCRIPTOR.fields_by_name["json"]
    return text.encode() if field.type == field.TYPE_BYTES else text
