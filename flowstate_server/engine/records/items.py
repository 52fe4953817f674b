"""Listing the items of a session."""

from __future__ import annotations

from flowstate_server.engine.bindings import Binding, Bindings, check_audience
from flowstate_server.engine.calls.lists import ItemList, ItemQuery
from flowstate_server.engine.records.page_token import PageTokens, page_size
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import (
    PageTokenInvalidError,
    RequestNotFoundError,
    StoreUnavailableError,
    ValidationFailedError,
    Violation,
)
from flowstate_server.model.identity import Plane, Principal
from flowstate_server.model.ids import check_id
from flowstate_server.model.items import Audience
from flowstate_server.model.json_values import Json
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.contract.lists import ItemPosition, ItemRange
from flowstate_server.stores.store import Store

# Attempts. Each is lost only when the session was deleted and made anew just then, so a second is hardly ever needed.
RACES = 5

Turns = tuple[int, int] | None


class Items:
    def __init__(self, store: Store, bindings: Bindings, settings: EngineSettings) -> None:
        self._store = store
        self._bindings = bindings
        self._settings = settings
        self._tokens = PageTokens(settings.page_token_key)

    async def list(self, principal: Principal, query: ItemQuery) -> ItemList:
        """A page of what the caller's plane may see, from beyond the one that the token is of.

        The newest turns are those of the first page: turns that come meanwhile move none of the others out.
        """
        _check(query)
        check_audience(principal, query.audience)
        audience = query.audience or (Audience.CLIENT if principal.plane is Plane.CLIENT else None)
        for _ in range(RACES):
            binding = await self._bindings.owned(principal, query.session_id)
            listed = await self._listed(query, binding, audience)
            if listed is not None:
                return listed
            self._bindings.forget(binding.key)
        raise StoreUnavailableError

    async def _listed(self, query: ItemQuery, binding: Binding, audience: Audience | None) -> ItemList | None:
        """``None`` if the session is another one by now, or none."""
        size = page_size(query.page_size, self._settings)
        bound: Json = [
            "items",
            binding.key.tenant,
            binding.key.session_id,
            binding.log_id,
            query.request_id,
            query.last_turns,
            audience,
            query.newest_first,
        ]
        after: ItemPosition | None = None
        turns: Turns = None
        if query.page_token:
            after, turns = self._position(bound, query.page_token)
        elif query.last_turns:
            turns = await self._store.newest_turns(binding.key, binding.log_id, newest=query.last_turns)
            turns = turns or (1, 0)
        if query.request_id:
            await self._check_request(query, binding)
        which = ItemRange(
            binding.key,
            binding.log_id,
            request_id=query.request_id,
            turns=turns,
            audience=audience,
            newest_first=query.newest_first,
        )
        limit = self._settings.max_page_bytes
        page = await self._store.list_items(which, limit=size, max_bytes=limit, after=after)
        if page is None:
            return None
        token = "" if page.end is None else self._tokens.make(bound, _place(page.end, turns))
        return ItemList(page.items, token)

    async def _check_request(self, query: ItemQuery, binding: Binding) -> None:
        request = await self._store.get_request(RequestKey(binding.key.tenant, query.request_id))
        if request is None or (request.head.session, request.head.session_log_id) != (
            binding.key,
            binding.log_id,
        ):
            raise RequestNotFoundError(query.request_id)

    def _position(self, bound: Json, token: str) -> tuple[ItemPosition, Turns]:
        match self._tokens.read(bound, token):
            case [int(sequence)]:
                return ItemPosition(sequence), None
            case [int(sequence), int(turn), int(index), int(first), int(last)]:
                return ItemPosition(sequence, turn, index), (first, last)
        raise PageTokenInvalidError


def _place(end: ItemPosition, turns: Turns) -> Json:
    if turns is None:
        return [end.session_sequence]
    return [end.session_sequence, end.turn, end.index, *turns]


def _check(query: ItemQuery) -> None:
    check_id("session_id", query.session_id)
    check_id("request_id", query.request_id, required=False)
    if query.last_turns < 0:
        raise ValidationFailedError((Violation("last_turns", "range", "must not be negative"),))
    if query.last_turns and query.request_id:
        problem = "must not be set together with request_id"
        raise ValidationFailedError((Violation("last_turns", "exclusive", problem),))
