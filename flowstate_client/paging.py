"""Lists that come in pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page; ``next_page_token`` is empty on the last, ``total_size`` is known only if it was asked for."""

    items: Sequence[T]
    next_page_token: str = ""
    total_size: int | None = None


class AsyncPager(Generic[T]):
    """A list, read page by page while it is used; each iteration begins anew::

        async for session in client.sessions.list(user_id="u1"): ...
        async for page in client.sessions.list(user_id="u1").pages(): ...
        newest = await client.sessions.list(user_id="u1").first()
        page = await client.sessions.list(user_id="u1").page(token_from_the_browser)

    Iterating raises ``ApiError``, for example ``InvalidArgument`` for a token of another query.
    """

    def __init__(self, fetch: Callable[[str], Awaitable[Page[T]]], *, page_token: str = "") -> None:
        self._fetch = fetch
        self._first_token = page_token
        self.next_page_token = page_token
        """Token of the page that comes next; empty if the last was read. Hand it to ``list(page_token=...)``."""

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in page.items:
                yield item

    async def pages(self) -> AsyncIterator[Page[T]]:
        """The pages; one may be empty although more follow."""
        token = self._first_token
        while True:
            page = await self.page(token)
            yield page
            token = page.next_page_token
            if not token:
                return

    async def page(self, page_token: str = "") -> Page[T]:
        """One page: that of ``page_token``, which another page had as its ``next_page_token``; else the first."""
        page = await self._fetch(page_token or self._first_token)
        self.next_page_token = page.next_page_token
        return page

    async def first(self) -> T | None:
        """The first item, or ``None``."""
        token = ""
        while True:
            page = await self.page(token)
            token = page.next_page_token
            if page.items:
                return page.items[0]
            if not token:
                return None
