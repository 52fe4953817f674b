"""Listing requests."""

from __future__ import annotations

from flowstate_server.engine.bindings import OTHER_ORG, OTHER_USER, Binding, Bindings
from flowstate_server.engine.calls.lists import RequestList, RequestQuery
from flowstate_server.engine.records.page_token import PageTokens, page_size
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import (
    AccessDeniedError,
    PageTokenInvalidError,
    StoreUnavailableError,
    ValidationFailedError,
    Violation,
)
from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import Principal
from flowstate_server.model.json_values import Json
from flowstate_server.stores.contract.lists import RequestFilter, RequestPosition
from flowstate_server.stores.store import Store

# Attempts. Each is lost only when the session was deleted and made anew just then, so a second is hardly ever needed.
RACES = 5


class RequestLists:
    def __init__(self, store: Store, bindings: Bindings, settings: EngineSettings) -> None:
        self._store = store
        self._bindings = bindings
        self._settings = settings
        self._tokens = PageTokens(settings.page_token_key)

    async def list(self, principal: Principal, query: RequestQuery) -> RequestList:
        """Requests of the caller's tenant (and user and org, where its credentials are bound to them), newest first."""
        _check(principal, query)
        if not query.session_id:
            return await self._page(principal, query, None)
        for _ in range(RACES):
            binding = await self._bindings.owned(principal, query.session_id)
            listed = await self._page(principal, query, binding)
            if listed.requests or await self._lives(binding):
                return listed
            self._bindings.forget(binding.key)
        raise StoreUnavailableError

    async def _lives(self, binding: Binding) -> bool:
        """Of a session that is gone nothing is listed, which says not yet that it is gone."""
        record = await self._store.get_session(binding.key)
        return record is not None and not record.deleted and record.log_id == binding.log_id

    async def _page(self, principal: Principal, query: RequestQuery, session: Binding | None) -> RequestList:
        which = RequestFilter(
            principal.tenant,
            session=None if session is None else (session.key, session.log_id),
            flow_kind=query.flow_kind or None,
            action=query.action or None,
            user_id=query.user_id or principal.user or None,
            org_id=query.org_id or principal.org or None,
            statuses=query.statuses,
            with_payloads=query.with_payloads,
        )
        bound: Json = [
            "requests",
            which.tenant,
            None if session is None else [session.key.session_id, session.log_id],
            which.flow_kind,
            which.action,
            which.user_id,
            which.org_id,
            [*sorted(which.statuses)],
            which.with_payloads,
        ]
        after = self._position(bound, query.page_token) if query.page_token else None
        size = page_size(query.page_size, self._settings)
        limit = self._settings.max_page_bytes
        page = await self._store.list_requests(which, limit=size, max_bytes=limit, after=after)
        token = ""
        if page.end is not None:
            token = self._tokens.make(bound, [page.end.create_time, page.end.request_id])
        return RequestList(page.requests, token)

    def _position(self, bound: Json, token: str) -> RequestPosition:
        match self._tokens.read(bound, token):
            case [int(create_time), str(request_id)]:
                return RequestPosition(Micros(create_time), request_id)
        raise PageTokenInvalidError


def _check(principal: Principal, query: RequestQuery) -> None:
    if principal.user and query.user_id and query.user_id != principal.user:
        raise AccessDeniedError(OTHER_USER)
    if principal.org and query.org_id and query.org_id != principal.org:
        raise AccessDeniedError(OTHER_ORG)
    if query.action and not query.flow_kind:
        problem = "must be set where action is"
        raise ValidationFailedError((Violation("flow_kind", "required", problem),))
