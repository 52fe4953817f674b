"""What a group needs, from the tables."""

from __future__ import annotations

from itertools import islice

from flowstate_server.model.clock import Micros
from flowstate_server.model.records import StateHead
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    PROCESSES,
    REQUEST_HEADS,
    REQUESTS,
    SESSION_HEADS,
    SESSIONS,
    STATE_HEADS,
    STATES,
    TURNS,
    Loaded,
    Needs,
)
from flowstate_server.stores.resident.tables import Tables


def load(tables: Tables, needs: Needs, time: Micros) -> Loaded:
    """
    Raises:
        DamagedRecord: one that is needed can't be understood.
    """
    loaded = Loaded(time)
    requests = tables.found(REQUESTS, needs.of(REQUEST_HEADS))
    sessions = needs.of(SESSIONS) | {request.head.session for request in requests.values()}
    loaded.records = {
        SESSIONS: tables.found(SESSIONS, sessions),
        SESSION_HEADS: tables.found(SESSION_HEADS, sessions),
        REQUEST_HEADS: {key: request.head for key, request in requests.items()},
        STATE_HEADS: {
            key: StateHead(key, state.version, state.incarnation, state.exists)
            for key, state in tables.found(STATES, needs.of(STATE_HEADS)).items()
        },
    }
    for table in (STATES, TURNS, PROCESSES, DOCUMENTS):
        loaded.records[table] = tables.found(table, needs.of(table))
    for which in needs.ranges:
        loaded.ranges[which] = list(islice(tables.documents.range(which, time), which.limit))
    for session in needs.open_requests:
        loaded.open_requests[session] = tables.open_requests(session)
    return loaded
