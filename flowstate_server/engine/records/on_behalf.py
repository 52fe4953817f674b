"""Writes from outside on behalf of a run."""

from __future__ import annotations

from flowstate_server.engine.bindings import check_owner
from flowstate_server.errors import RequestNotFoundError, ValidationFailedError, Violation
from flowstate_server.log_context import found
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import check_id
from flowstate_server.model.records import RequestRecord
from flowstate_server.model.scopes import RequestKey, ScopeKey, request_scope
from flowstate_server.stores.store import Store


async def acting_request(store: Store, principal: Principal, request_id: str) -> RequestRecord | None:
    """The request on whose behalf ``principal`` writes, if one is named.

    Raises:
        RequestNotFoundError: it has no such request.
    """
    if not request_id:
        return None
    record = await store.get_request(RequestKey(principal.tenant, check_id("request_id", request_id)))
    if record is None:
        raise RequestNotFoundError(request_id)
    check_owner(principal, record.head, record.org_id)
    found(record)
    return record


async def request_of(
    store: Store, principal: Principal, request_id: str, scope: ScopeKey, path: str
) -> RequestKey | None:
    """As :func:`acting_request`, for a write in ``scope``, which is named ``path`` in errors.

    Raises:
        ValidationFailedError: the scope is none of the request's.
    """
    request = await acting_request(store, principal, request_id)
    if request is None:
        return None
    check_scope(request, scope, path)
    return request.head.key


def check_scope(request: RequestRecord, scope: ScopeKey, path: str) -> None:
    """Whether the request's own run could write there: else its log would tell its clients of a record that is not
    theirs, and those whose record it is would hear nothing of it.

    Raises:
        ValidationFailedError: it is neither the request's state nor its session's, user's or org's.
    """
    if scope not in request.scopes and scope != request_scope(request.head.key):
        problem = "must be the request's own, or its session, user or org as its flow keeps them"
        raise ValidationFailedError((Violation(path, "foreign", problem),))
