"""Whom a session belongs to, and whether a caller may touch it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from flowstate_server.errors import (
    AccessDeniedError,
    FlowBindingMismatchError,
    OrgBindingMismatchError,
    RequestNotFoundError,
    ServiceError,
    SessionNotFoundError,
    ValidationFailedError,
    Violation,
)
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import Plane, Principal
from flowstate_server.model.ids import check_id
from flowstate_server.model.items import Audience
from flowstate_server.model.records import RequestHead, SessionRecord
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.writes import SessionChanged
from flowstate_server.stores.store import Store

# Sessions: more than a process has in use at once, in a few megabytes. One that was forgotten costs a read.
REMEMBERED = 10_000

OTHER_USER = "user_id names another user than the caller's token or connection does"
OTHER_ORG = "org_id names another org than the caller's token or connection does"


@frozen
class Binding:
    """What a session is bound to for its whole life; ``log_id`` tells this life from others under the same id."""

    key: SessionKey
    log_id: str
    flow_kind: str
    user_id: str
    org_id: str


def binding_of(record: SessionRecord) -> Binding:
    return Binding(
        key=record.key,
        log_id=record.log_id,
        flow_kind=record.flow_kind,
        user_id=record.user_id,
        org_id=record.org_id,
    )


class Bindings:
    """Finds bindings and remembers them.

    A remembered one may be of a session deleted meanwhile: whoever writes on the strength of it names its ``log_id``
    in the batch (``RequireSession``), calls :meth:`forget` on ``SessionChanged`` and tries again. Whoever reads looks
    at the ``log_id`` that the read gives, or asks :meth:`require` behind it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._remembered: OrderedDict[SessionKey, Binding] = OrderedDict()

    async def find(self, key: SessionKey) -> Binding | None:
        """The binding of a live session, ``None`` for an id never used; a deleted one is ``SessionNotFoundError``."""
        known = self._remembered.get(key)
        if known is not None:
            self._remembered.move_to_end(key)
            return known
        record = await self._store.get_session(key)
        if record is None:
            return None
        if record.deleted:
            raise SessionNotFoundError(key.session_id)
        return self.remember(binding_of(record))

    async def owned(self, principal: Principal, session_id: str, *, flow_kind: str = "") -> Binding:
        """The binding of a session that ``principal`` may touch, else ``SessionNotFoundError``; ``flow_kind``, if
        given, must be that of its flow (else ``FlowBindingMismatchError``)."""
        check_id("session_id", session_id)
        key = SessionKey(principal.tenant, session_id)
        binding = await self.passed(key, lambda found: check_binding(principal, found, flow_kind=flow_kind))
        if binding is None:
            raise SessionNotFoundError(session_id)
        return binding

    async def passed(self, key: SessionKey, check: Callable[[Binding], None]) -> Binding | None:
        """As :meth:`find`, of what ``check`` lets pass: nobody is refused for what is only remembered."""
        known = self._remembered.get(key)
        if known is not None:
            try:
                check(known)
            except ServiceError:
                self.forget(key)
        binding = await self.find(key)
        if binding is not None and binding is not known:
            check(binding)
        return binding

    async def require(self, key: SessionKey, log_id: str) -> None:
        """For whoever has read on the strength of a remembered binding, behind the read.

        Raises:
            SessionNotFoundError: the session does not live any more.
            SessionChanged: it is another incarnation.
        """
        record = await self._store.get_session(key)
        if record is None or record.deleted:
            self.forget(key)
            raise SessionNotFoundError(key.session_id)
        if record.log_id != log_id:
            self.forget(key)
            raise SessionChanged

    def remember(self, binding: Binding) -> Binding:
        self._remembered[binding.key] = binding
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return binding

    def forget(self, key: SessionKey) -> None:
        self._remembered.pop(key, None)


def claimed_user(principal: Principal, user_id: str) -> str:
    """The user a call acts for: the one it names, else the one its credentials are bound to.

    Raises:
        AccessDeniedError: the call names another user than its credentials.
        ValidationFailedError: neither names one.
    """
    check_id("user_id", user_id, required=False)
    if principal.user and user_id and user_id != principal.user:
        raise AccessDeniedError(OTHER_USER)
    user = user_id or principal.user
    if not user:
        raise ValidationFailedError((Violation("user_id", "required", "must not be empty"),))
    return user


def claimed_org(principal: Principal, org_id: str) -> str:
    """The org a call names, else the one its credentials are bound to, else empty."""
    check_id("org_id", org_id, required=False)
    if principal.org and org_id and org_id != principal.org:
        raise AccessDeniedError(OTHER_ORG)
    return org_id or principal.org


def check_binding(
    principal: Principal, binding: Binding, *, user_id: str = "", org_id: str = "", flow_kind: str = ""
) -> None:
    """Whether ``principal``, claiming the given ids (empty: claiming nothing), may use the session.

    Another user, and an org's credentials of another org, get the same answer as for a session that never existed; org
    and flow mismatches are told apart for the rightful owner only, who is known by credentials, not by a claim.
    """
    user = user_id or principal.user
    if user and user != binding.user_id:
        raise SessionNotFoundError(binding.key.session_id)
    if principal.org and principal.org != binding.org_id and not principal.user:
        raise SessionNotFoundError(binding.key.session_id)
    org = org_id or principal.org
    if org and (org != binding.org_id or (principal.org and principal.org != org)):
        raise OrgBindingMismatchError(binding.key.session_id)
    if flow_kind and flow_kind != binding.flow_kind:
        raise FlowBindingMismatchError(binding.key.session_id)


def check_owner(principal: Principal, head: RequestHead, org_id: str) -> None:
    """As :func:`check_binding` for a request, whose org ``org_id`` is."""
    if principal.user and principal.user != head.user_id:
        raise RequestNotFoundError(head.key.request_id)
    if principal.org and principal.org != org_id:
        if principal.user:
            raise OrgBindingMismatchError(head.session.session_id)
        raise RequestNotFoundError(head.key.request_id)


def check_audience(principal: Principal, audience: Audience | None) -> None:
    """
    Raises:
        AccessDeniedError: the caller's plane does not see what is for that audience.
    """
    if principal.plane is Plane.CLIENT and audience not in (None, Audience.CLIENT):
        raise AccessDeniedError("on the client plane only what is for clients can be asked for")
