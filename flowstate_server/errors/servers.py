"""What a server can't do now, does not do, or failed at."""

from __future__ import annotations

from flowstate_server.errors.kinds import FlowStateError, ServiceError
from flowstate_server.errors.reasons import Reason


class ServerDrainingError(ServiceError):
    """The server is shutting down; repeat the call elsewhere."""

    reason = Reason.SERVER_DRAINING


class FeatureDisabledError(ServiceError):
    """This server does not serve {feature}."""

    reason = Reason.FEATURE_DISABLED
    feature: str


class InternalError(ServiceError):
    """Internal error {error_id}."""

    reason = Reason.INTERNAL
    error_id: str


class LifespanError(FlowStateError):
    """The lifespan of the application failed: {problem}"""

    problem: str
