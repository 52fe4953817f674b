"""Calls of a language model: time limits, attempts, and what becomes of an answer while it comes."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Never, Protocol

from flowstate_server.errors import (
    ActionError,
    ExplainedActionError,
    ModelCallError,
    ModelRefusedError,
    ModelUnavailableError,
    RequestTerminalError,
)
from flowstate_server.flows.generation.answer_items import AnswerItems, storable
from flowstate_server.language_models import (
    AnswerPart,
    Ended,
    EndReason,
    LanguageModel,
    ModelRequest,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    Usage,
)
from flowstate_server.model.frozen import frozen
from flowstate_server.model.items import ItemKind
from flowstate_server.model.payloads import ModelUsage

_logger = logging.getLogger(__name__)

MODEL_UNAVAILABLE = "MODEL_UNAVAILABLE"
MODEL_REFUSED = "MODEL_REFUSED"

RETRIES = 3
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
_MOST_TOLD = 2000
"""Characters of a provider's words in a line of the log: some send a whole page."""
_LONGEST_NAME = 200
_MOST_TOKENS = 2**63 - 1


@frozen
class TimeLimits:
    """Seconds that a model may take for its first token, and between any two."""

    first_token: float
    token: float


@dataclass(slots=True)
class Answer:
    """What came of an answer so far. ``begun``: the model has said something."""

    begun: bool = False
    pieces: list[str] = field(default_factory=list)
    tool_calls: list[ToolCall] = field(default_factory=list)
    usage: Usage | None = None
    native: object = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class TellsModelCalls(Protocol):
    """The part of a block's context that hears what became of a call."""

    def tell_model_call(self, used: ModelUsage | None, *, seconds: float, outcome: str) -> None: ...


class ModelCalls:
    """Calls ``model`` for one execution; ``what`` names that in the log. ``items`` makes what shows an answer."""

    def __init__(
        self,
        model: LanguageModel,
        limits: TimeLimits,
        items: Callable[[], AnswerItems],
        teller: TellsModelCalls,
        what: str,
    ) -> None:
        self._model = model
        self._limits = limits
        self._items = items
        self._teller = teller
        self._what = what

    async def answer(self, request: ModelRequest) -> Answer:
        """The model's whole answer. A call that fails before the model has said anything is tried again.

        Raises:
            ActionError: ``MODEL_UNAVAILABLE`` (retryable) or ``MODEL_REFUSED``; what was said is an item already.
        """
        attempt = 0
        while True:
            answer = Answer()
            try:
                await self._read(request, answer)
                return answer
            except ModelCallError as error:
                pause = None if answer.begun else pause_after(error, attempt)
                if pause is not None and getattr(self._model, "without_pauses", False):
                    pause = 0.0
                self._log(error, attempt, pause)
                if pause is None:
                    raise told_to_clients(error) from error
            attempt += 1
            await asyncio.sleep(pause)

    async def _read(self, request: ModelRequest, answer: Answer) -> None:
        started = time.monotonic()
        outcome = "cancelled"
        try:
            await self._read_parts(request, answer)
            outcome = "OK"
        except Exception as error:
            outcome = type(error).__name__
            raise
        finally:
            used = answer.usage
            with suppress(RequestTerminalError):  # the next write says so
                self._teller.tell_model_call(
                    None if used is None else _as_event(used),
                    seconds=time.monotonic() - started,
                    outcome=outcome,
                )

    async def _read_parts(self, request: ModelRequest, answer: Answer) -> None:
        limit = self._limits.first_token
        async with _closing(_begun(self._model, request)) as parts, self._items() as items:
            while True:
                part = await _next(parts, limit)
                match part:
                    case TextDelta(text=text):
                        answer.begun = True
                        answer.pieces.append(text := storable(text))
                        await items.write(ItemKind.MESSAGE, text)
                    case ThoughtDelta(text=text):
                        answer.begun = True
                        await items.write(ItemKind.REASONING, storable(text))
                    case ToolCall():
                        answer.begun = True
                        answer.tool_calls.append(part)
                    case Usage():
                        answer.usage = part
                    case Ended():
                        if part.reason is EndReason.REFUSED:
                            raise ModelRefusedError("it ended its answer as refused")
                        answer.native = part.native
                        return
                    case _:
                        _refuse(part, self._model)
                if answer.begun:
                    limit = self._limits.token

    def _log(self, error: ModelCallError, attempt: int, pause: float | None) -> None:
        told = " ".join(str(error).split())[:_MOST_TOLD]
        if pause is None:
            _logger.error("%s: %s", self._what, told)
        else:
            _logger.warning("%s: %s; attempt %d follows in %.1f s", self._what, told, attempt + 2, pause)


def pause_after(error: ModelCallError, attempt: int) -> float | None:
    """Seconds to wait ahead of another attempt, ``None`` if there is to be none. A provider that wants to be left alone
    for longer than :data:`LONGEST_PAUSE` is not asked again: who called may come back later."""
    if isinstance(error, ModelRefusedError) or attempt >= RETRIES:
        return None
    pause: float = FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1.0)
    wanted = error.retry_after if isinstance(error, ModelUnavailableError) else None
    if wanted is None or math.isnan(wanted):
        return pause
    return None if wanted > LONGEST_PAUSE else max(wanted, pause)


def told_to_clients(error: ModelCallError) -> ActionError:
    """What clients are told: nothing of the provider's words, which are for the author alone."""
    told = " ".join(error.problem.split())[:_MOST_TOLD]
    if isinstance(error, ModelRefusedError):
        return ExplainedActionError(MODEL_REFUSED, "the language model refused to answer", explanation=told)
    return ExplainedActionError(
        MODEL_UNAVAILABLE, "the language model is not available", retryable=True, explanation=told
    )


def _as_event(usage: Usage) -> ModelUsage:
    return ModelUsage(
        _name(usage.provider), _name(usage.model), _tokens(usage.input_tokens), _tokens(usage.output_tokens)
    )


def _name(given: object) -> str:
    return storable("" if given is None else str(given)[:_LONGEST_NAME])


def _tokens(given: object) -> int:
    """A number that every tail can carry. Not all endpoints count as they should, and no answer is lost by that."""
    if not isinstance(given, int | float) or math.isnan(given):
        return 0
    return int(min(max(0, given), _MOST_TOKENS))


def _begun(model: LanguageModel, request: ModelRequest) -> AsyncIterator[AnswerPart]:
    __tracebackhide__ = True
    parts: object = model.stream_answer(request)
    if isinstance(parts, AsyncIterator):
        return parts
    if isinstance(parts, Coroutine):
        parts.close()
    raise TypeError(
        f"stream_answer of {type(model).__name__} must be an async generator, which yields the parts of the answer; "
        f"it gave {type(parts).__name__}"
    )


def _refuse(part: object, model: LanguageModel) -> Never:
    __tracebackhide__ = True
    hint = "; a text is to be a TextDelta" if isinstance(part, str) else ""
    raise TypeError(
        f"{type(model).__name__} gave {type(part).__name__} as a part of its answer: "
        f"parts are TextDelta, ThoughtDelta, ToolCall, Usage and Ended{hint}"
    )


async def _next(parts: AsyncIterator[AnswerPart], seconds: float) -> AnswerPart:
    try:
        async with asyncio.timeout(seconds):
            return await anext(parts)
    except TimeoutError as error:
        raise ModelUnavailableError(f"nothing came for {seconds:g} s") from error
    except StopAsyncIteration:
        raise ModelUnavailableError(
            "the answer broke off: it did not say how it ended, as `yield Ended()` does"
        ) from None


@asynccontextmanager
async def _closing(parts: AsyncIterator[AnswerPart]) -> AsyncIterator[AsyncIterator[AnswerPart]]:
    try:
        yield parts
    finally:
        close = getattr(parts, "aclose", None)
        if close is not None:
            await close()
