"""Requests in the order in which they are listed."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Any

from flowstate_server.model.clock import Micros
from flowstate_server.model.records import RequestHead
from flowstate_server.stores.contract.lists import RequestFilter, RequestPosition

_Place = tuple[Micros, str]


class RequestLists:
    """Their places by tenant, by session and incarnation, and by user."""

    def __init__(self) -> None:
        self._lists: dict[tuple[Any, ...], list[_Place]] = {}

    def add(self, head: RequestHead) -> None:
        place = (head.create_time, head.key.request_id)
        for key in _keys(head):
            insort(self._lists.setdefault(key, []), place)

    def remove(self, head: RequestHead) -> None:
        place = (head.create_time, head.key.request_id)
        for key in _keys(head):
            listed = self._lists[key]
            del listed[bisect_left(listed, place)]
            if not listed:
                del self._lists[key]

    def newest_first(self, which: RequestFilter, after: RequestPosition | None) -> Iterator[RequestPosition]:
        """The places of those that tenant, session and user leave, from beyond ``after``."""
        key: tuple[Any, ...] = (which.tenant,)
        if which.session is not None:
            key = which.session
        elif which.user_id is not None:
            key = (which.tenant, "user", which.user_id)
        listed = self._lists.get(key, [])
        end = len(listed) if after is None else bisect_left(listed, (after.create_time, after.request_id))
        return (RequestPosition(*listed[position]) for position in range(end - 1, -1, -1))


def _keys(head: RequestHead) -> Iterator[tuple[Any, ...]]:
    yield (head.key.tenant,)
    yield (head.session, head.session_log_id)
    yield (head.key.tenant, "user", head.user_id)
