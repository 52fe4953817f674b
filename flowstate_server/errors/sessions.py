"""Sessions, what they are bound to, and their items."""

from __future__ import annotations

from flowstate_server.errors.kinds import NotFoundError, PreconditionError, ServiceError
from flowstate_server.errors.reasons import Reason


class SessionNotFoundError(NotFoundError):
    """No session {session_id}."""

    reason = Reason.SESSION_NOT_FOUND
    session_id: str


class ItemNotFoundError(NotFoundError):
    """No item {item_id} in the session."""

    reason = Reason.ITEM_NOT_FOUND
    item_id: str


class SessionAlreadyExistsError(ServiceError):
    """A session {session_id} exists.

    ``resolved``: it is in the way since it is the one that is resolved by the metadata that was given. It may have no
    id here, for those who may not know it.
    """

    reason = Reason.SESSION_ALREADY_EXISTS
    session_id: str
    resolved: bool = False

    def __str__(self) -> str:
        if self.resolved:
            which = f": {self.session_id}" if self.session_id else ""
            return f"Another session is resolved by this metadata{which}."
        return super().__str__()


class OrgBindingMismatchError(PreconditionError):
    """Session {session_id} is bound to another org."""

    reason = Reason.ORG_BINDING_MISMATCH
    session_id: str
    """Empty for whoever has named the session by other means, and may not learn its id."""

    def __str__(self) -> str:
        return super().__str__() if self.session_id else "The session is bound to another org."


class FlowBindingMismatchError(PreconditionError):
    """Session {session_id} belongs to another flow kind."""

    reason = Reason.FLOW_BINDING_MISMATCH
    session_id: str
