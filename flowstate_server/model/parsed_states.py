"""Records of states of which more is known than their texts."""

from __future__ import annotations

from flowstate_server.model.clock import Micros
from flowstate_server.model.json_values import EMPTY_OBJECT, JsonObject
from flowstate_server.model.layered_state import LayeredState
from flowstate_server.model.records import Generations, StateRecord
from flowstate_server.model.scopes import ScopeKey
from flowstate_server.model.state_parts import Fitting, StateParts


def state_record(
    key: ScopeKey,
    *,
    version: int,
    incarnation: str,
    state: JsonObject | LayeredState,
    text: bytes | StateParts,
    create_time: Micros,
    update_time: Micros,
    generations: Generations = (),
    schema_hash: str = "",
    fitting: Fitting | None = None,
) -> StateRecord:
    """An existing record whose ``state`` is known already, so that nobody parses ``text`` again."""
    written = text if isinstance(text, bytes) else EMPTY_OBJECT
    record = StateRecord(
        key, version, incarnation, True, written, create_time, update_time, generations, schema_hash
    )
    object.__setattr__(record, "_layers" if isinstance(state, LayeredState) else "_state", state)
    object.__setattr__(record, "fitting", fitting)
    return record if isinstance(text, bytes) else in_parts(record, text)


def in_parts(record: StateRecord, parts: StateParts) -> StateRecord:
    """``record``, which nobody else has yet, as one whose text is that of ``parts``."""
    object.__setattr__(record, "parts", parts)
    if parts.stored is None or parts.stored[1]:
        object.__delattr__(record, "text")
    else:
        object.__setattr__(record, "text", parts.stored[0])
    return record
