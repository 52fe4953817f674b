"""Checking states against schemas."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_server.errors import StateValidationError, Violation
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.pydantic.merge import Declaration, merge_declarations
from flowstate_server.schemas.pydantic.schema import ModelSchema


def schema_of(*models: type[BaseModel]) -> ModelSchema:
    return merge_declarations(ScopeKind.SESSION, [Declaration(model, model.__name__) for model in models])


def check(state: Any, *touched: str, schema: ModelSchema) -> JsonObject:
    return schema.check(state, frozenset(touched or state), {})


def refusal(state: Any, *touched: str, schema: ModelSchema) -> tuple[Violation, ...]:
    with pytest.raises(StateValidationError) as refused:
        check(state, *touched, schema=schema)
    assert refused.value.scope == "session"
    return refused.value.violations
