"""Coming to a gate: what a call finds there, and what its caller is told."""

from __future__ import annotations

import hashlib
from typing import Any

from flowstate_server.engine.bindings import check_owner
from flowstate_server.errors import ConcurrencyRejectedError, ServiceError
from flowstate_server.model.clock import SECOND, Micros, micros
from flowstate_server.model.gates import decode_gate, gate_key, gate_text
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import MAX_ID_BYTES
from flowstate_server.model.records import RequestHead, RequestStatus
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.programs.author_code import EXITS, contained
from flowstate_server.programs.concurrency import Concurrency, GateBy
from flowstate_server.programs.description import ActionDescription
from flowstate_server.programs.program import HostedFlow
from flowstate_server.stores.contract.gate_writes import EnterGate, GateTaken
from flowstate_server.stores.store import Store

LONGEST_WAIT = Micros(100 * 365 * 24 * 3600 * SECOND)
"""A longer wait is as good as none with an end: the time of that has to be one that can be stored and shown."""
OWN_GATE = "this one would wait for itself: the request that called for it has the turn"


async def gate_of(
    hosted: HostedFlow, action: ActionDescription, value: Any, session: SessionKey, user_id: str
) -> str:
    """The gate that a request of the action goes through, empty for none.

    Raises:
        Exception: the program knows no key for the input.
    """
    policy = action.concurrency
    if policy is None:
        return ""
    keys = {GateBy.SESSION: session.session_id, GateBy.USER: user_id}
    key = keys.get(policy.by)
    if key is None:
        key = _short(await _key_of_input(hosted, action, value))
    return gate_text(hosted.described.kind, policy.group or action.name, policy.by.value, key)


def entry(policy: Concurrency, request: RequestKey, gate: str, within: str) -> EnterGate:
    patience = min(micros(policy.timeout), LONGEST_WAIT)
    return EnterGate(request, gate, policy.policy, patience, policy.limit, within)


async def rejection(store: Store, principal: Principal, taken: GateTaken) -> ConcurrencyRejectedError:
    """Why a call is refused. It names the request that has the gate to who may read that."""
    record = await store.get_request(taken.holder)
    request_id = ""
    if record is not None:
        try:
            check_owner(principal, record.head, record.org_id)
            request_id = record.key.request_id
        except ServiceError:
            pass
    if taken.itself:
        return ConcurrencyRejectedError(OWN_GATE, request_id)
    return ConcurrencyRejectedError(
        f"request {request_id} has the turn" if request_id else "another has it", request_id
    )


async def refuse_own_gate(store: Store, head: RequestHead, within: str) -> None:
    """
    Raises:
        ConcurrencyRejectedError: the request is queued, and waits for the request ``within`` to end.
    """
    if not within or head.status is not RequestStatus.QUEUED or not head.gate:
        return
    key = gate_key(head.key.tenant, head.gate)
    gate = decode_gate((await store.load_documents((key,))).get(key))
    if gate is not None and gate.holder == within:
        raise ConcurrencyRejectedError(OWN_GATE, within)


async def _key_of_input(hosted: HostedFlow, action: ActionDescription, value: Any) -> str:
    try:
        return await hosted.program.gate_key(action.name, value)
    except EXITS as error:  # which would end the event loop
        raise contained(error) from error


def _short(key: str) -> str:
    """A key of any length, as one that may be a part of a document's."""
    text = key.encode()
    return key if len(text) <= MAX_ID_BYTES else f"sha256:{hashlib.sha256(text).hexdigest()}"
