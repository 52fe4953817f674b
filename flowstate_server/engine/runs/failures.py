"""How a block's exception becomes a failure that clients may see."""

from __future__ import annotations

import logging
from dataclasses import asdict

from flowstate_server.errors import (
    ActionError,
    ConcurrentModificationError,
    FlowStateError,
    MessageTooLargeError,
    ScopeUnavailableError,
    StoreUnavailableError,
)
from flowstate_server.model.ids import new_id
from flowstate_server.model.json_values import encode_json
from flowstate_server.model.records import Failure
from flowstate_server.programs.author_code import readable, told_by
from flowstate_server.state.plain_json import plain_json

_logger = logging.getLogger(__name__)

ACTION_FAILED = "ACTION_FAILED"
ACTION_TIMEOUT = "ACTION_TIMEOUT"
WRITE_CONFLICT = "WRITE_CONFLICT"
INTERNAL = "INTERNAL"

MAX_FAILURE_BYTES = 64 * 1024
"""An ``ActionError`` says no more: what is read of the request has to fit into messages."""


def failure_of(error: BaseException, what: str) -> Failure:
    """The failure that ``error`` is to clients: an ``ActionError``'s own words, else nothing but an id.

    The traceback of anything unexpected goes to the log under that id; ``what`` names the request there.
    """
    raised, error = error, told_by(error)
    if isinstance(error, ActionError):
        try:
            details = plain_json(error.details, "/details")
            plain_json([error.code, error.message], "/error")  # text that can be stored
        except FlowStateError as bad:
            return failure_of(bad, what)
        failure = Failure(
            error.code or ACTION_FAILED,
            error.message,
            details if isinstance(details, dict) else {},
            retryable=error.retryable,
        )
        size = len(encode_json(asdict(failure)))
        if size > MAX_FAILURE_BYTES:
            return failure_of(MessageTooLargeError("The ActionError", size, MAX_FAILURE_BYTES), what)
        return failure
    if isinstance(error, ConcurrentModificationError):
        return Failure(WRITE_CONFLICT, "another writer was first, repeatedly", retryable=True)
    if isinstance(error, StoreUnavailableError):
        return Failure(error.reason, "the store could not be reached", retryable=True)
    error_id = new_id("err_")
    _logger.error(
        "%s failed, error id %s", what, error_id, exc_info=readable(raised), extra={"error_id": error_id}
    )
    if isinstance(error, ScopeUnavailableError):
        text = f"the {error.scope} record is not available to this run"
        return Failure(error.reason, text, error_id=error_id, retryable=True)
    return Failure(INTERNAL, "the action failed", error_id=error_id)
