"""An author's upgrade of stored fields, as a function from JSON to JSON."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import cast

from flowstate_server.errors import UpgradeResultError
from flowstate_server.flows.scope_config import UpgradeFunction
from flowstate_server.model.json_values import Json, JsonObject, copy_json, same_json
from flowstate_server.programs.description import Upgrade
from flowstate_server.schemas.pydantic.schema import ModelSchema


def compiled_upgrade(function: UpgradeFunction | None, schema: ModelSchema) -> Upgrade | None:
    """``function`` of an author for a server: what it changes becomes JSON by the types of the fields in ``schema``."""
    if function is None:
        return None

    def upgrade(fields: JsonObject) -> JsonObject:
        __tracebackhide__ = True
        given: object = function(copy_json(fields))
        if inspect.iscoroutine(given):
            given.close()
        if not isinstance(given, Mapping):
            kind = "None" if given is None else type(given).__name__
            raise UpgradeResultError(kind)
        # What it passes on is not judged: a field that does not fit any more fails alone, when it is read.
        kept = {name: fields[name] for name in given if name in fields and _same(fields[name], given[name])}
        made = {name: value for name, value in given.items() if name not in kept}
        return {**kept, **cast(JsonObject, schema.fields_json(made, ""))}

    return upgrade


def _same(stored: Json, given: object) -> bool:
    try:
        return same_json(stored, cast(Json, given))
    except TypeError:  # what orjson has no form for is another value for certain
        return False
