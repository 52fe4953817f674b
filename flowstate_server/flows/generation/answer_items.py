"""An answer as it comes, as items of the session."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Self

from flowstate_server.flows.generation.prompt import AnyContext
from flowstate_server.model.frozen import frozen
from flowstate_server.model.items import Audience, ItemKind, checked_audiences
from flowstate_server.programs.run_context import ItemStream
from flowstate_server.state.json_limits import is_text


@frozen
class ItemAudiences:
    """For whom the items of a generator are."""

    messages: frozenset[Audience]
    reasoning: frozenset[Audience]
    tools: frozenset[Audience]

    @classmethod
    def of(
        cls,
        messages: Iterable[Audience],
        reasoning: Iterable[Audience] | None,
        tools: Iterable[Audience] | None,
    ) -> ItemAudiences:
        """Those of reasoning and tools are those of messages where they are not given."""
        of_all = checked_audiences(messages)
        others = (of_all if given is None else checked_audiences(given) for given in (reasoning, tools))
        return cls(of_all, *others)


class AnswerItems:
    """Text as messages, if it is to be shown, and thoughts as reasoning, each open until the other comes. Leaving the
    ``with`` completes the last, however it is left: what a model has said stays."""

    def __init__(self, context: AnyContext, audiences: ItemAudiences, *, shows_text: bool) -> None:
        self._context = context
        self._audiences = audiences
        self._shows_text = shows_text
        self._opened = AsyncExitStack()
        self._stream: ItemStream | None = None
        self._kind: ItemKind | None = None

    async def write(self, kind: ItemKind, text: str) -> None:
        """A piece of a message or of reasoning."""
        if not text or (kind is ItemKind.MESSAGE and not self._shows_text):
            return
        if self._stream is None or self._kind is not kind:
            await self._opened.aclose()
            self._stream = await self._opened.enter_async_context(self._item(kind))
            self._kind = kind
        await self._stream.write(text)

    def _item(self, kind: ItemKind) -> AbstractAsyncContextManager[ItemStream]:
        if kind is ItemKind.REASONING:
            return self._context.reasoning(audiences=self._audiences.reasoning)
        return self._context.message(audiences=self._audiences.messages)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._opened.__aexit__(kind, error, traceback)


def storable(text: str) -> str:
    """``text`` without what has no UTF-8 form, which a model may well write."""
    return text if is_text(text) else text.encode("utf-8", "replace").decode()
