"""Who may call."""

from __future__ import annotations

from flowstate_server.errors.kinds import ServiceError
from flowstate_server.errors.reasons import Reason


class CredentialsInvalidError(ServiceError):
    """The call carries no valid credentials."""

    reason = Reason.CREDENTIALS_INVALID


class AccessDeniedError(ServiceError):
    """{problem}."""

    reason = Reason.ACCESS_DENIED
    problem: str


class TenantRequiredError(ServiceError):
    """The call needs a tenant in its metadata."""

    reason = Reason.TENANT_REQUIRED
