"""Resources."""

from __future__ import annotations

from flowstate_server.errors.kinds import NotFoundError, PreconditionError, ServiceError
from flowstate_server.errors.reasons import Reason


class ResourceNotFoundError(NotFoundError):
    """No {scope} resource {name}{hint}

    ``hint`` ends the sentence: that nobody declares one of that name, and which there are.
    """

    reason = Reason.RESOURCE_NOT_FOUND
    scope: str
    name: str
    hint: str = "."


class ResourceAlreadyExistsError(ServiceError):
    """A {scope} resource {name} exists."""

    reason = Reason.RESOURCE_ALREADY_EXISTS
    scope: str
    name: str


class ResourceDeletedError(PreconditionError):
    """The {scope} resource {name} that is meant was deleted."""

    reason = Reason.RESOURCE_DELETED
    scope: str
    name: str
