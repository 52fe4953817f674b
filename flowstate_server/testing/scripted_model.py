"""A language model that says what a script has: for tests of flows, without network and without chance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from flowstate_server.errors import ModelCallError
from flowstate_server.language_models import (
    AnswerPart,
    Ended,
    ModelRequest,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    Usage,
)
from flowstate_server.model.json_values import encode_json
from flowstate_server.programs.history import quarter_of_characters

ScriptPart = str | AnswerPart | ModelCallError | asyncio.Event
Expectation = str | Callable[[ModelRequest], object]
_PARTS = (
    "must be a text, TextDelta, ThoughtDelta, ToolCall, Usage, Ended, an asyncio.Event or a ModelCallError"
)


class Scripted:
    """One call that a script expects, and its answer.

    Args:
        parts: What is answered, in order. A text is a piece of it. An ``asyncio.Event`` stalls the answer until it is
            set, a :class:`ModelCallError` is raised: as the first part it fails the call before the model has said
            anything, and the generator makes three more, each an entry of the script, without the pauses that it makes
            otherwise. Usage and a good end are added where there are none.
        expect: What the last message has to have in it, or a function of the request that gives something true.

    Raises:
        TypeError: one of the parts is none of these.
    """

    def __init__(self, *parts: ScriptPart, expect: Expectation = "") -> None:
        for number, part in enumerate(parts, start=1):
            if not isinstance(part, ScriptPart):
                raise TypeError(f"part {number} of Scripted {_PARTS}, not {type(part).__name__}{_hint(part)}")
        self.parts = parts
        self.expect = expect


def calls(name: str, arguments: Any = None, call_id: str = "") -> ToolCall:
    """A call of a tool, for a script; ``arguments`` are JSON, a text stands as it is. Without an id of its own it has
    one by the tool's name."""
    text = (
        arguments
        if isinstance(arguments, str)
        else encode_json({} if arguments is None else arguments).decode()
    )
    return ToolCall(call_id or f"call_{name}", name, text)


class ScriptedModel:
    """A ``LanguageModel`` that answers by a script, whose entries are used in the order of the calls.

    ::

        model = ScriptedModel(
            Scripted(ThoughtDelta("Look it up."), calls("search", {"query": "rain"}), expect="umbrella"),
            Scripted("Take ", "one."),
        )
        run = await run_flow(chat, "say", "Do I need an umbrella?", dependencies=model)
        assert model.requests[1].messages[-1].text == "it rains"
        model.check_done()

    A text alone is an answer, too. A call that the script does not have, or not so, fails the run, and
    :meth:`check_done`.
    """

    without_pauses = True
    """What is tried again is so at once: a test need not wait."""

    def __init__(self, *script: Scripted | str) -> None:
        for number, one in enumerate(script, start=1):
            if not isinstance(one, Scripted | str):
                raise TypeError(
                    f"entry {number} of the script must be a Scripted or a text, not {type(one).__name__}"
                )
        self._script = [Scripted(one) if isinstance(one, str) else one for one in script]
        self._faults: list[str] = []
        self._called = asyncio.Condition()
        self.requests: list[ModelRequest] = []
        """What it was asked, each call as it came."""
        self.open = 0
        """So many answers are under way."""

    async def stream_answer(self, request: ModelRequest, /) -> AsyncIterator[AnswerPart]:
        __tracebackhide__ = True
        self.requests.append(request)
        scripted = self._next(request)
        self.open += 1
        try:
            async with self._called:
                self._called.notify_all()
            async for part in _played(scripted, request):
                yield part
        finally:
            self.open -= 1

    async def called(self, times: int = 1, *, timeout: float = 20.0) -> ModelRequest:
        """Wait until it has been called so many times: the last request of these.

        Raises:
            TimeoutError: it has not been after ``timeout`` seconds.
        """
        async with asyncio.timeout(timeout), self._called:
            await self._called.wait_for(lambda: len(self.requests) >= times)
        return self.requests[times - 1]

    def check_done(self) -> None:
        """
        Raises:
            AssertionError: the script is not at its end, or was not kept to.
        """
        __tracebackhide__ = True
        if self._faults:
            raise AssertionError(self._faults[0])
        if len(self.requests) < len(self._script):
            raise AssertionError(f"the script has {len(self._script)} calls, but {len(self.requests)} came")

    def _next(self, request: ModelRequest) -> Scripted:
        __tracebackhide__ = True
        number = len(self.requests)
        if number > len(self._script):
            raise self._fault(f"call {number} is not in the script, which has {len(self._script)}", request)
        scripted = self._script[number - 1]
        if not _holds(scripted.expect, request):
            expected = f" ({scripted.expect!r})" if isinstance(scripted.expect, str) else ""
            raise self._fault(f"call {number} is not the one that the script expects{expected}", request)
        return scripted

    def _fault(self, problem: str, request: ModelRequest) -> AssertionError:
        self._faults.append(f"{problem}; its last message: {request.messages[-1]!r}")
        return AssertionError(self._faults[-1])


def _holds(expect: Expectation, request: ModelRequest) -> bool:
    if callable(expect):
        return bool(expect(request))
    return expect in request.messages[-1].text


def _hint(part: object) -> str:
    failing = isinstance(part, BaseException) or (isinstance(part, type) and issubclass(part, BaseException))
    return "; to fail, give a ModelCallError such as ModelUnavailableError('busy')" if failing else ""


async def _played(scripted: Scripted, request: ModelRequest) -> AsyncIterator[AnswerPart]:
    written, ended, told = "", False, False
    for part in scripted.parts:
        if isinstance(part, asyncio.Event):
            await part.wait()
            continue
        if isinstance(part, ModelCallError):
            raise part
        if isinstance(part, str):
            part = TextDelta(part)
        if isinstance(part, TextDelta | ThoughtDelta):
            written += part.text
        if isinstance(part, Ended) and not told:
            yield _usage(request, written)
        told = told or isinstance(part, Usage)
        ended = ended or isinstance(part, Ended)
        yield part
    if not ended:
        if not told:
            yield _usage(request, written)
        yield Ended()


def _usage(request: ModelRequest, written: str) -> Usage:
    read = "".join(message.text for message in request.messages)
    return Usage("scripted", "script", quarter_of_characters(read), quarter_of_characters(written))
