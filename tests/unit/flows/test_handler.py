from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest
from pydantic import BaseModel, field_validator, model_validator
from pydantic_core import PydanticKnownError

from flowstate_server.errors import FlowDefinitionError, ValidationFailedError
from flowstate_server.flows import Context, ScopeKind, handler
from flowstate_server.flows.handler import AsyncHandler, SyncHandler
from tests.unit.flows.plain_runner import PlainRunner

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForTheChecker

NO_CONTEXT = cast("Context[Any, Any, Any, Any]", None)


class Say(BaseModel):
    message: str


class Counted(BaseModel):
    message_count: int = 0


class Counters(Counted):
    other_count: int = 0


class Moded(BaseModel):
    mode: str = "chat"


@handler
async def shout(say: Say, ctx: Context) -> str:
    """Says it louder."""
    return say.message.upper()


@handler(name="count letters")
def length(text: str, ctx: Context) -> int:
    return len(text)


async def run(block: Any, value: Any) -> Any:
    return await PlainRunner().execute(block, value)


def test_takes_types_and_name_from_the_function() -> None:
    assert isinstance(shout, AsyncHandler)
    assert (shout.name, shout.kind, shout.input_type, shout.output_type) == ("shout", "handler", Say, str)
    assert shout.__doc__ == "Says it louder."
    assert repr(shout) == "<handler shout>"
    assert isinstance(length, SyncHandler)
    assert (length.name, length.input_type, length.output_type) == ("count letters", str, int)


def test_resolves_annotations_that_are_local_to_a_function() -> None:
    class Local(BaseModel):
        n: int

    @handler
    async def bare(local: Local, ctx: Context) -> Local:
        return local

    @handler(session_state=Counted)
    async def with_arguments(local: Local, ctx: Context[Counted]) -> list[Local]:
        return [local]

    assert (bare.input_type, bare.output_type) == (Local, Local)
    assert with_arguments.output_type == list[Local]


def test_declares_the_models_by_scope() -> None:
    @handler(session_state=Counted, org_state=Moded)
    async def reply(say: Say, ctx: Context[Counted, Any, Moded]) -> None: ...

    assert reply.state_models == {ScopeKind.SESSION: Counted, ScopeKind.ORG: Moded}
    assert {
        scope: [(one.model, one.declared_by) for one in declared]
        for scope, declared in reply.declarations.items()
    } == {ScopeKind.SESSION: [(Counted, 'block "reply"')], ScopeKind.ORG: [(Moded, 'block "reply"')]}
    assert reply.children == ()


def test_a_model_that_only_the_context_names_is_declared_by_it() -> None:
    @handler
    async def reply(say: Say, ctx: Context[Counted, Moded]) -> None: ...

    assert reply.state_models == {ScopeKind.SESSION: Counted, ScopeKind.USER: Moded}


def test_the_context_may_be_narrower_than_the_declaration_and_not_different() -> None:
    @handler(session_state=Counters)
    async def narrower(say: Say, ctx: Context[Counted]) -> None: ...

    assert narrower.state_models == {ScopeKind.SESSION: Counters}

    with pytest.raises(
        FlowDefinitionError, match="declares session_state=Counted, but its context has Moded there"
    ):

        @handler(session_state=Counted)  # type: ignore[arg-type]
        async def different(say: Say, ctx: Context[Moded]) -> None: ...


def test_the_blocks_it_uses_are_its_children() -> None:
    @handler(uses=[shout])
    async def reply(say: Say, ctx: Context) -> str:
        return await ctx.execute(shout, say)

    assert reply.children == (shout,)
    with pytest.raises(FlowDefinitionError, match='handler "reply" needs a block, not the function len'):
        handler(uses=[cast(Any, len)])(reply.__wrapped__)


async def test_is_called_directly_in_unit_tests() -> None:
    assert await shout(Say(message="hi"), NO_CONTEXT) == "HI"
    assert length("four", NO_CONTEXT) == 4


async def test_runs_async_functions_on_the_loop_and_sync_ones_in_a_thread() -> None:
    seen: ContextVar[str] = ContextVar("seen", default="nothing")

    @handler
    async def on_the_loop(value: str, ctx: Context) -> tuple[int, str]:
        return threading.get_ident(), seen.get()

    @handler
    def in_a_thread(value: str, ctx: Context) -> tuple[int, str]:
        return threading.get_ident(), seen.get()

    seen.set("the caller's")
    here = threading.get_ident()

    assert await run(on_the_loop, "x") == (here, "the caller's")
    thread, variable = await run(in_a_thread, "x")
    assert (thread != here, variable) == (True, "the caller's")


async def test_nested_sync_handlers_never_wait_for_a_free_thread() -> None:
    loop = asyncio.get_running_loop()

    @handler
    def inner(depth: int, ctx: Context) -> int:
        if depth == 0:
            return 0
        below = asyncio.run_coroutine_threadsafe(run(inner, depth - 1), loop)
        return 1 + cast(int, below.result(30))

    assert await run(inner, 100) == 100


async def test_awaits_what_a_plain_function_gives_to_await() -> None:
    async def slow() -> str:
        return "slowly"

    def plain(value: str, ctx: Context) -> str:
        return cast(str, slow())

    assert await run(handler(plain), "x") == "slowly"


async def test_exceptions_come_out_as_they_are() -> None:
    @handler
    def in_a_thread(value: str, ctx: Context) -> None:
        raise LookupError(value)

    @handler
    async def on_the_loop(value: str, ctx: Context) -> None:
        raise LookupError(value)

    for block in (in_a_thread, on_the_loop):
        with pytest.raises(LookupError, match="lost"):
            await run(block, "lost")


async def test_an_output_that_does_not_fit_is_an_error_without_the_value() -> None:
    @handler
    async def wrong(value: str, ctx: Context) -> int:
        return cast(int, "secret")

    @handler
    async def nothing(value: str, ctx: Context) -> None:
        return cast(None, "secret")

    for block in (wrong, nothing):
        with pytest.raises(TypeError, match="did not return what it is annotated with") as caught:
            await run(block, "x")
        assert "secret" not in str(caught.value)


class Plan(BaseModel):
    title: str


class CheckedPlan(BaseModel):
    title: str

    @field_validator("title")
    @classmethod
    def check_title(cls, title: str) -> str:
        return title


class Unmade(BaseModel):
    """Code of an author may raise errors of pydantic with any text in them."""

    title: str

    @model_validator(mode="before")
    @classmethod
    def refuse(cls, given: Any) -> Any:
        raise PydanticKnownError("model_type", {"class_name": "secret"})


@dataclass
class Point:
    x: int


class Connection:
    pass


@pytest.mark.parametrize(
    ("annotation", "told"),
    [
        (Plan, "Input should be a valid dictionary or instance of Plan"),
        (CheckedPlan, "Input should be a valid dictionary or instance of CheckedPlan"),
        (Point, "Input should be a dictionary or an instance of Point"),
        (Connection, "Input should be an instance of Connection"),
        (Unmade, "Input should be a valid dictionary or instance of …"),
        (str, "Input should be a valid string"),
        (list[Plan], "Input should be a valid list"),
    ],
)
@pytest.mark.parametrize("given", [None, 5.5])
async def test_an_output_that_does_not_fit_is_told_with_the_class(
    annotation: Any, told: str, given: object
) -> None:
    async def forgets(value: str, ctx: Context) -> Any:
        return given

    forgets.__annotations__["return"] = annotation
    did = "returned None, not" if given is None else "did not return"
    with pytest.raises(TypeError) as caught:
        await run(handler(forgets), "x")
    assert str(caught.value).startswith(f'handler "forgets" {did} what it is annotated with: ')
    assert f"/output: {told}" in str(caught.value)


async def test_classes_inside_an_output_are_named() -> None:
    @handler
    async def plans(value: str, ctx: Context) -> list[CheckedPlan]:
        return cast("list[CheckedPlan]", ["secret"])

    with pytest.raises(TypeError, match=r"/output/0: .* instance of CheckedPlan") as caught:
        await run(plans, "x")
    assert "secret" not in str(caught.value)


async def test_input_between_blocks_passes_as_it_is_or_is_made_by_pydantic() -> None:
    say = Say(message="same object")
    assert shout.validate_input(say) is say
    assert shout.validate_input({"message": "a dict"}) == Say(message="a dict")
    with pytest.raises(ValidationFailedError) as caught:
        shout.validate_input({"message": ["secret"]}, "/value")
    assert [(one.path, one.rule) for one in caught.value.violations] == [("/value/message", "string_type")]
    assert "secret" not in str(caught.value)


async def test_takes_and_gives_any_class_between_blocks() -> None:
    class Connection:
        pass

    @handler
    async def pass_on(connection: Connection, ctx: Context) -> Connection:
        return connection

    connection = Connection()
    assert await run(pass_on, connection) is connection
    with pytest.raises(ValidationFailedError):
        pass_on.validate_input("no connection")


async def one_parameter(say: Say) -> None: ...
async def context_alone(ctx: Context[Counted]) -> None: ...
async def three_parameters(say: Say, ctx: Context, more: int = 0) -> None: ...
async def many_parameters(*values: Say) -> None: ...
async def keyword_only(say: Say, *, ctx: Context) -> None: ...
async def swapped(ctx: Context[Counted], say: Say) -> None: ...
async def no_input_annotation(say, ctx: Context) -> None: ...  # type: ignore[no-untyped-def]
async def no_output_annotation(say: Say, ctx: Context): ...  # type: ignore[no-untyped-def]
async def other_context(say: Say, ctx: int) -> None: ...
async def unknown_name(say: OnlyForTheChecker, ctx: Context) -> None: ...


async def yields(say: Say, ctx: Context) -> AsyncIterator[str]:
    yield say.message


def yields_in_a_thread(say: Say, ctx: Context) -> Iterator[str]:
    yield say.message


async def unknown_type(given: Callable[[], Missing], ctx: Context) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (max, "has no signature to read"),
        (one_parameter, r"must take \(input, context\), not \(say"),
        (
            context_alone,
            r"must take \(input, context\), not \(ctx\); without input write \(_: None, ctx: Context\)",
        ),
        (three_parameters, r"must take \(input, context\), not"),
        (many_parameters, r"must take \(input, context\), not \(\*values"),
        (keyword_only, r"must take \(input, context\), not"),
        (swapped, r"must take \(input, context\), in this order"),
        (no_input_annotation, "needs an annotation for its input say"),
        (no_output_annotation, "needs a return annotation"),
        (other_context, "must have Context as the annotation of ctx"),
        (unknown_name, "has an annotation that can't be resolved: name 'OnlyForTheChecker' is not defined"),
        (unknown_type, "has an annotation that can't be resolved: name 'Missing'"),
        (yields, "must return its output, not yield it"),
        (yields_in_a_thread, "must return its output, not yield it"),
    ],
)
def test_refuses_what_can_not_be_a_handler(function: Callable[..., Any], problem: str) -> None:
    with pytest.raises(FlowDefinitionError, match=f'handler "{function.__name__}" {problem}'):
        handler(function)


def test_refuses_wrong_arguments() -> None:
    with pytest.raises(FlowDefinitionError, match="session_state takes a pydantic model class"):
        handler(session_state=cast(Any, {"message_count": 0}))
    with pytest.raises(FlowDefinitionError, match="a handler's name must not be empty"):
        handler(name="")(shout.__wrapped__)
    with pytest.raises(FlowDefinitionError, match="a handler's name must hold no control character"):
        handler(name="a\nb")(shout.__wrapped__)
    with pytest.raises(FlowDefinitionError, match="must not end with # and a number, as 'search#2' does"):
        handler(name="search#2")(shout.__wrapped__)
    with pytest.raises(FlowDefinitionError, match="a handler is made of a function, not SyncHandler"):
        handler(cast("Callable[[Any, Any], Awaitable[None]]", length))
    with pytest.raises(FlowDefinitionError, match="a handler is made of a function, not ModelMetaclass"):
        handler(cast(Any, Say))
