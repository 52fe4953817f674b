"""Calls of actions and what became of them."""

from __future__ import annotations

from flowstate_server.model.clock import Seconds
from flowstate_server.model.frozen import frozen
from flowstate_server.model.records import RequestRecord


@frozen
class ActionCall:
    """A call of an action with its fields as sent (empty where not sent); ``input`` is JSON text, unchecked.

    ``execution_timeout`` is in seconds. ``correlation_id`` names the call in logs; a repeat may have another one.
    ``within`` is the running request that calls and waits for the answer, if it is one.
    ``validate_only``: find out what would become of it, and store and run nothing.
    """

    flow_kind: str
    action: str
    input: bytes = b"null"
    session_id: str = ""
    user_id: str = ""
    org_id: str = ""
    request_id: str = ""
    execution_timeout: Seconds | None = None
    correlation_id: str = ""
    validate_only: bool = False
    within: str = ""


@frozen
class Dispatched:
    """The stored request; ``attached`` when the call repeated an earlier one and nothing was written.

    Of a call that was only validated the request that would be stored, with the ids that the call brought.
    """

    request: RequestRecord
    attached: bool


@frozen
class Waited:
    request: RequestRecord
    done: bool
