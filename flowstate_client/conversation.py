"""What was said in a conversation, for whichever model: the meaning that the formats of ``history`` share."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from flowstate_client.errors import hides_our_frames
from flowstate_client.models import Item

__tracebackhide__ = hides_our_frames

LeftOut = Callable[[Item], object]

# As generators on the server write them (its ``flows/generation``).
_INSTRUCTING = ("system", "developer")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
_INPUT = "input"
_TOOLS = ("tool_call", "tool_output")


@dataclass(slots=True)
class Said:
    """What somebody else than the model has said; ``role`` is ``user`` or ``system``."""

    role: str
    text: str


@dataclass(slots=True)
class Call:
    id: str
    name: str
    arguments: str
    output: str
    item: Item
    has_output: bool = False


@dataclass(slots=True)
class Answer:
    """Text of the model, then calls of tools."""

    text: str = ""
    calls: list[Call] = field(default_factory=list)

    @property
    def may_go_on(self) -> bool:
        """Whether a further call can be of the same answer, or is made of what came of those before."""
        return not any(call.has_output for call in self.calls)


def conversation(
    items: Iterable[Item],
    reasoning: bool,
    on_left_out: LeftOut | None,
    refused: re.Pattern[str] | None = None,
) -> Iterator[Said | Answer]:
    """What was said, in which calls have outputs, and ids of their own without the characters that are ``refused``."""
    tell = on_left_out or (lambda item: None)
    said: list[Said | Answer] = []
    waiting: dict[str, deque[Call]] = {}
    for item in _whole(_by_request(items), tell):
        match item.kind:
            case "message" if item.role == "assistant":
                said.append(Answer(item.text))
            case "message":
                if item.text:
                    said.append(Said("system" if item.role in _INSTRUCTING else "user", item.text))
            case "error":
                said.append(Answer(_member(item, "message")))
            case "reasoning" if reasoning:
                said.append(Answer(f"<thinking>{item.text}</thinking>"))
            case "tool_call":
                answer = said[-1] if said else None
                if not (isinstance(answer, Answer) and answer.may_go_on):
                    said.append(answer := Answer())
                call = Call(_call_id(item), _tool_name(item.name), _arguments(item), "", item)
                answer.calls.append(call)
                waiting.setdefault(call.id, deque()).append(call)
            case "tool_output":
                if waiting.get(_call_id(item)):
                    call = waiting[_call_id(item)].popleft()
                    call.output, call.has_output = _member(item, "output"), True
            case "reasoning":
                pass
            case _:
                tell(item)
    ids: set[str] = set()
    for one in said:
        if isinstance(one, Answer):
            one.calls = [call for call in one.calls if call.has_output]
            for call in one.calls:
                call.id = _new_id(refused.sub("_", call.id) if refused else call.id, ids)
            if one.text or one.calls:
                yield one
        else:
            yield one


def _by_request(items: Iterable[Item]) -> list[Item]:
    """Those for the history, of one request together; requests by their last items."""
    given = [item for item in items if "history" in item.audiences and not item.removed]
    last = {item.request_id: place for place, item in enumerate(given)}
    return sorted(given, key=lambda item: last[item.request_id])


def _whole(items: Sequence[Item], tell: LeftOut) -> Iterator[Item]:
    """Without calls that have no output and outputs that have no call.

    An id names a call within its request only. An output that has no call there is of an earlier request's.
    """
    paired: set[int] = set()
    _pair(items, paired, lambda item: (item.request_id, _call_id(item)))
    _pair(items, paired, _call_id)
    for place, item in enumerate(items):
        if item.kind not in _TOOLS or place in paired:
            yield item
        else:
            tell(item)


def _pair(items: Sequence[Item], paired: set[int], of: Callable[[Item], Hashable]) -> None:
    """Add to ``paired`` the places of calls and outputs that belong together, the oldest call with the first output."""
    waiting: dict[Hashable, deque[int]] = {}
    for place, item in enumerate(items):
        if item.kind not in _TOOLS or not _call_id(item) or place in paired:
            continue
        calls = waiting.setdefault(of(item), deque())
        if item.kind == "tool_call":
            calls.append(place)
        elif calls:
            paired |= {calls.popleft(), place}


def _new_id(wanted: str, ids: set[str]) -> str:
    made, number = wanted, 1
    while made in ids:
        number += 1
        made = f"{wanted}_{number}"
    ids.add(made)
    return made


def _tool_name(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", name)[:64] or "tool"


def _content(item: Item) -> Mapping[str, Any]:
    return item.content if isinstance(item.content, dict) else {}


def _call_id(item: Item) -> str:
    call_id = _content(item).get("call_id")
    return call_id if isinstance(call_id, str) else ""


def _arguments(item: Item) -> str:
    given = _content(item).get("arguments")
    return _text(given if isinstance(given, dict) else {_INPUT: given})


def _member(item: Item, name: str) -> str:
    return _text(_content(item)[name]) if name in _content(item) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
