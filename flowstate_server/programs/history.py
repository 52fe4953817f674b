"""A session's history as blocks see it, and the windows on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from flowstate_server.model.clock import Micros, as_datetime
from flowstate_server.model.items import Audience, Item, ItemKind
from flowstate_server.model.json_values import Json, decode_json, encode_json


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """An item of the session's history.

    ``content`` is the parsed JSON (see ``model.items.Item`` for its form by kind), ``text`` the joined text of a
    message or reasoning and empty for the other kinds. ``create_time`` is UTC, by the store's clock; for an item of
    the running request that is not stored yet it is the server's.
    """

    id: str
    kind: ItemKind
    role: str
    name: str
    text: str
    content: Json
    request_id: str
    audiences: frozenset[Audience]
    create_time: datetime
    turn: int = 0
    """The number of the turn that it came with, 0 for an item of the running request."""

    @classmethod
    def of(cls, item: Item, request_id: str, create_time: Micros, turn: int = 0) -> HistoryItem:
        content = decode_json(item.content)
        return cls(
            id=item.item_id,
            kind=item.kind,
            role=item.role,
            name=item.name,
            text=_text(item.kind, content),
            content=content,
            request_id=request_id,
            audiences=item.audiences,
            create_time=as_datetime(create_time),
            turn=turn,
        )

    @property
    def call_id(self) -> str:
        """What pairs a tool call with its output; empty where there is none."""
        if self.kind in _TOOL_KINDS and isinstance(self.content, dict):
            call_id = self.content.get("call_id")
            return call_id if isinstance(call_id, str) else ""
        return ""


_TOOL_KINDS = (ItemKind.TOOL_CALL, ItemKind.TOOL_OUTPUT)


def _text(kind: ItemKind, content: Json) -> str:
    if not isinstance(content, dict):
        return ""
    if kind is ItemKind.REASONING:
        return _string(content.get("text"))
    parts = content.get("parts")
    if kind is not ItemKind.MESSAGE or not isinstance(parts, list):
        return ""
    return "".join(
        _string(part.get("text")) for part in parts if isinstance(part, dict) and part.get("type") == "text"
    )


def _string(value: Json) -> str:
    return value if isinstance(value, str) else ""


def quarter_of_characters(text: str) -> int:
    """The token counter used unless another is given: a token for every four characters begun."""
    return -(-len(text) // 4)


@dataclass(frozen=True, slots=True)
class Turns:
    """The newest ``n`` completed turns. A turn is one completed request, or what one call appended from outside."""

    n: int

    def __post_init__(self) -> None:
        _check_size("Turns", self.n)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The newest completed turns that together have at most ``n`` tokens: whole turns, and always at least the newest.

    ``count`` tells the tokens of an item's text (of its content as JSON text where it has none). Turns without
    anything for the model cost nothing and are not the newest in this sense.
    """

    n: int
    count: Callable[[str], int] = quarter_of_characters

    def __post_init__(self) -> None:
        _check_size("Tokens", self.n)


def _check_size(name: str, n: object) -> None:
    if not isinstance(n, int) or isinstance(n, bool) or n < 0:
        raise ValueError(f"{name} takes a whole number of at least 0")


def select_history(
    window: Sequence[HistoryItem], limit: Turns | Tokens | None = None, *, running: str
) -> tuple[HistoryItem, ...]:
    """The items of ``window`` meant for the model, narrowed by ``limit``, in their order.

    ``window`` holds, oldest first, the items of completed requests and of the request ``running``, which always stays
    and is not counted. Of a tool call and its output neither appears without the other, but for a call of the running
    request that has no output yet. A request without items can't be seen here, and is not counted as a turn.
    """
    items = [item for item in window if Audience.HISTORY in item.audiences]
    if limit is not None:
        kept = _kept_turns(window, running, limit)
        items = [item for item in items if _turn_of(item) in kept]
    return tuple(_whole_tool_calls(items, running))


def _turn_of(item: HistoryItem) -> Hashable:
    """Its request. What was appended from outside has none, and a turn for each call that did."""
    return item.request_id or item.turn


def _kept_turns(window: Sequence[HistoryItem], running: str, limit: Turns | Tokens) -> set[Hashable]:
    """The turns within ``limit``; those whose last item is newest are the newest."""
    newest_first = list(
        dict.fromkeys(_turn_of(item) for item in reversed(window) if item.request_id != running)
    )
    if isinstance(limit, Turns):
        return {running, *newest_first[: limit.n]}
    tokens = dict.fromkeys(newest_first, 0)
    for item in window:
        if item.request_id != running and Audience.HISTORY in item.audiences:
            tokens[_turn_of(item)] += limit.count(item.text or encode_json(item.content).decode())
    kept: set[Hashable] = {running}
    total = 0
    for turn in newest_first:
        total += tokens[turn]
        if total > limit.n and total > tokens[turn]:
            break
        kept.add(turn)
    return kept


def _whole_tool_calls(items: Sequence[HistoryItem], running: str) -> Iterable[HistoryItem]:
    """Without calls that have no output and outputs that have no call.

    An id names a call within its request only. An output that has no call there is of an earlier request's: a client's
    tool, say, whose output came with the next request.
    """
    whole: set[int] = set()
    _pair(items, whole, lambda item: (_turn_of(item), item.call_id))
    _pair(items, whole, lambda item: item.call_id)
    for place, item in enumerate(items):
        pending = item.kind is ItemKind.TOOL_CALL and item.request_id == running
        if not item.call_id or pending or place in whole:
            yield item


def _pair(items: Sequence[HistoryItem], whole: set[int], of: Callable[[HistoryItem], Hashable]) -> None:
    """Add to ``whole`` the places of calls and outputs that belong together: each output is of the oldest call of its
    kind, as ``of`` tells, that has none yet."""
    waiting: dict[Hashable, deque[int]] = {}
    for place, item in enumerate(items):
        if not item.call_id or place in whole:
            continue
        calls = waiting.setdefault(of(item), deque())
        if item.kind is ItemKind.TOOL_CALL:
            calls.append(place)
        elif calls:
            whole |= {calls.popleft(), place}
