"""Lists that come in pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from flowstate_client.paging import AsyncPager, Page
from flowstate_client.sync.loop_thread import LoopThread

T = TypeVar("T")


class Pager(Generic[T]):
    """A list, read page by page while it is used; each iteration begins anew::

        for session in client.sessions.list(user_id="u1"): ...
        for page in client.sessions.list(user_id="u1").pages(): ...
        newest = client.sessions.list(user_id="u1").first()
        page = client.sessions.list(user_id="u1").page(token_from_the_browser)

    Iterating raises ``ApiError``, for example ``InvalidArgument`` for a token of another query.
    """

    def __init__(self, thread: LoopThread, pager: AsyncPager[T]) -> None:
        self._thread = thread
        self._pager = pager

    @property
    def next_page_token(self) -> str:
        """Token of the page that comes next; empty if the last was read. Hand it to ``list(page_token=...)``."""
        return self._pager.next_page_token

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page.items

    def pages(self) -> Iterator[Page[T]]:
        """The pages; one may be empty although more follow."""
        page = self.page()
        yield page
        while page.next_page_token:
            page = self.page(page.next_page_token)
            yield page

    def page(self, page_token: str = "") -> Page[T]:
        """One page: that of ``page_token``, which another page had as its ``next_page_token``; else the first."""
        return self._thread.run(self._pager.page(page_token))

    def first(self) -> T | None:
        """The first item, or ``None``."""
        return self._thread.run(self._pager.first())
