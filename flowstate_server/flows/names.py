"""The rule for the names that authors give to flows, actions, blocks and derived values."""

from __future__ import annotations

from flowstate_server.errors import FlowDefinitionError, ValidationFailedError
from flowstate_server.model.ids import check_id


def check_name(what: str, name: object) -> str:
    """``name`` if it is 1 to 128 bytes of UTF-8 without control characters.

    Raises:
        FlowDefinitionError: naming ``what`` (``"a block's name"``) and the rule.
    """
    if not isinstance(name, str):
        raise FlowDefinitionError(f"{what} must be a string, not {type(name).__name__}")
    try:
        return check_id(what, name)
    except ValidationFailedError as error:
        raise FlowDefinitionError(f"{what} {error.violations[0].message}") from None
