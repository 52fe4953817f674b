"""What is handed in or out shares nothing that can be changed with what is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from flowstate_server.model.json_values import copy_json
from flowstate_server.model.records import RequestRecord, SessionRecord, StateRecord
from flowstate_server.stores.contract.tables import REQUESTS, SESSIONS, STATES, Table


def own_session(session: SessionRecord) -> SessionRecord:
    return replace(session, metadata=copy_json(session.metadata)) if session.metadata else session


def own_request(request: RequestRecord) -> RequestRecord:
    failure = request.failure
    if failure is None or not failure.details:
        return request
    return replace(request, failure=replace(failure, details=copy_json(failure.details)))


def own_state(state: StateRecord) -> StateRecord:
    """The record as text alone: what a caller does to a parsed state can't reach what is stored. A large one is kept
    parsed, for each commit would parse it anew."""
    if state.parts is not None:
        return state
    return StateRecord(
        state.key,
        state.version,
        state.incarnation,
        state.exists,
        state.text,
        state.create_time,
        state.update_time,
        state.generations,
        state.schema_hash,
    )


OWN: Mapping[Table[Any, Any], Callable[[Any], Any]] = {
    SESSIONS: own_session,
    REQUESTS: own_request,
    STATES: own_state,
}
"""What copies a record; those of other tables hold nothing that can be changed."""
