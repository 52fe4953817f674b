"""Writes from outside on behalf of a run."""

from __future__ import annotations

from flowstate_server.engine.bindings import check_owner
from flowstate_server.errors import RequestNotFoundError
from flowstate_server.log_context import found
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import check_id
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.store import Store


async def request_of(store: Store, principal: Principal, request_id: str) -> RequestKey | None:
    """The request on whose behalf ``principal`` writes, if one is named.

    Raises:
        RequestNotFoundError: it has no such request.
    """
    if not request_id:
        return None
    key = RequestKey(principal.tenant, check_id("request_id", request_id))
    record = await store.get_request(key)
    if record is None:
        raise RequestNotFoundError(request_id)
    check_owner(principal, record.head, record.org_id)
    found(record)
    return key
