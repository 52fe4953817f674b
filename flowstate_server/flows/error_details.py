"""The details of an ``ActionError``, as far as they are JSON."""

from __future__ import annotations

import logging

from flowstate_server.errors import ActionError, FlowStateError
from flowstate_server.model.json_values import JsonObject
from flowstate_server.schemas.pydantic.python_values import to_json
from flowstate_server.state.json_pointer import format_pointer

_logger = logging.getLogger(__name__)


def error_details(error: ActionError) -> JsonObject:
    """What of the details is JSON: code and message matter more than what is not, which is logged by its place."""
    details: JsonObject = {}
    for key, value in dict(error.details).items():
        path = format_pointer(("details", str(key)))
        try:
            details[str(key)] = to_json(value, path)
        except FlowStateError as refusal:
            _logger.warning("left out of the details of ActionError %r: %s", error.code, refusal)
    return details
