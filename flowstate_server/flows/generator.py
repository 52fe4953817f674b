"""Generators: blocks that ask a language model."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Generic, TypedDict, TypeVar as PlainTypeVar, cast, overload

from pydantic import BaseModel
from typing_extensions import TypeVar, Unpack

from flowstate_server.errors import FlowDefinitionError, ValidationFailedError
from flowstate_server.flows.block import Block, I_contra, O_co, RunsBlocks
from flowstate_server.flows.block_states import BlockStates, declared_states
from flowstate_server.flows.context import SEEN_BY_ALL, Context
from flowstate_server.flows.generation.answer_items import AnswerItems, ItemAudiences
from flowstate_server.flows.generation.conversation import as_text, conversation, user_has_spoken
from flowstate_server.flows.generation.execution import Task, carry_out
from flowstate_server.flows.generation.model_calls import ModelCalls, TimeLimits
from flowstate_server.flows.generation.prompt import AnyContext, Prompt, PromptFunction
from flowstate_server.flows.generation.schemas import object_schema
from flowstate_server.flows.generation.tools import ToolCalls, tools_of
from flowstate_server.flows.resources import AnyResource
from flowstate_server.flows.signature import read_prompt
from flowstate_server.flows.value_type import is_none
from flowstate_server.language_models import LanguageModel
from flowstate_server.model.frozen import frozen
from flowstate_server.model.items import Audience
from flowstate_server.model.json_values import JsonObject
from flowstate_server.programs.history import HistoryItem, Tokens, Turns

I = PlainTypeVar("I")  # noqa: E741
InputT = TypeVar("InputT", default=Any)
OutputT = TypeVar("OutputT", default=str)

ModelChoice = LanguageModel | Callable[[AnyContext], LanguageModel | Awaitable[LanguageModel]]
_NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})


@frozen
class GeneratorOptions:
    """What a generator is declared with, but for its types and tools."""

    model: ModelChoice | None
    prompt: str | PromptFunction
    history: Turns | Tokens | None
    max_steps: int
    settings: Mapping[str, Any]
    audiences: ItemAudiences
    limits: TimeLimits


class Generator(Block[I_contra, O_co], Generic[I_contra, O_co]):
    """A block that asks a language model; made by :func:`generator`."""

    kind = "generator"

    def __init__(
        self,
        name: str,
        options: GeneratorOptions,
        *,
        input_type: Any,
        output_type: Any,
        tools: Iterable[Block[Any, Any]],
        description: str,
        local_names: Mapping[str, Any],
        states: BlockStates,
        resources: Iterable[AnyResource],
    ) -> None:
        models: Mapping[Any, Any] = {}
        if callable(options.prompt):
            of_function, models = read_prompt(options.prompt, name, local_names)
            input_type = of_function if input_type is Any else input_type
        super().__init__(
            name,
            input_type=input_type,
            output_type=output_type,
            state_models=models,
            states=states,
            resources=resources,
        )
        self.description = description
        self._options = options
        self._tools = tools_of(tools, f'generator "{name}"')
        self._gives_text = output_type is str
        self._output_schema = (
            None if self._gives_text else object_schema(self._output.json_schema("validation"))
        )
        if not self._gives_text and not _has_fields(self._output_schema):
            raise FlowDefinitionError(
                f'the output of generator "{name}" must be str or a model with fields, not {output_type!r}'
            )

    @property
    def children(self) -> tuple[Block[Any, Any], ...]:
        return tuple(tool.block for tool in self._tools.values())

    async def execute(self, value: I_contra, ctx: RunsBlocks, /) -> O_co:
        options, context = self._options, cast(AnyContext, ctx)
        what = f'generator "{self.name}" of request {context.request_id}'
        history: tuple[HistoryItem, ...] = ()
        if options.history is not None:
            history = tuple(await context.session.items.history(options.history))
        prompt = await self._prompt(value, context, history)
        messages = conversation(prompt, history)
        calls = ModelCalls(
            await self._model(context),
            options.limits,
            lambda: AnswerItems(context, options.audiences, shows_text=self._gives_text),
            cast(Any, ctx),
            what,
        )
        task = Task(
            tools=tuple(tool.spec for tool in self._tools.values()),
            settings=options.settings,
            max_steps=options.max_steps,
            output_schema=self._output_schema,
            read_output=None if self._gives_text else self._read_output,
            what=what,
        )
        tools = ToolCalls(self._tools, context, ctx, options.audiences.tools, what)
        output: O_co = await carry_out(task, messages, calls, tools)
        return output

    async def _prompt(self, value: Any, context: AnyContext, history: Iterable[HistoryItem]) -> Prompt:
        given: object = self._options.prompt
        if callable(given):
            given = given(value, context)
            if inspect.isawaitable(given):
                given = await given
        if isinstance(given, Prompt):
            return given
        if not isinstance(given, str):
            raise TypeError(
                f'the prompt of generator "{self.name}" must be a str or a Prompt, not {type(given).__name__}'
            )
        if is_none(self.input_type) or value is None or user_has_spoken(history, context.request_id):
            return Prompt(given, None)
        return Prompt(given, as_text(self._input.dump(value, "/input")))

    async def _model(self, context: AnyContext) -> LanguageModel:
        given: object = self._options.model
        if given is None:
            return context.dependency(LanguageModel)  # type: ignore[type-abstract]
        if not isinstance(given, LanguageModel):
            given = cast(Any, given)(context)
            if inspect.isawaitable(given):
                given = await given
        if not isinstance(given, LanguageModel):
            raise TypeError(
                f'the model of generator "{self.name}" must be a LanguageModel, not {type(given).__name__}'
            )
        return given

    def _read_output(self, text: bytes) -> Any:
        return self._output.validate_json(text, "")


def _has_fields(schema: JsonObject | None) -> bool:
    """Whether an answer of that schema can say anything: a dict has no fields of its own, and takes any."""
    return schema is not None and bool(schema.get("properties") or schema.get("additionalProperties"))


class GeneratorMore(TypedDict, total=False):
    """What :func:`generator` takes besides, as its docstring says."""

    model: ModelChoice | None
    history: Turns | Tokens | None
    tools: Iterable[Block[Any, Any]]
    max_steps: int
    settings: Mapping[str, Any]
    description: str
    audiences: Iterable[Audience]
    reasoning_audiences: Iterable[Audience] | None
    tool_audiences: Iterable[Audience] | None
    first_token_timeout: float
    token_timeout: float
    state: type[BaseModel] | None
    parent_state: type[BaseModel] | None
    sequencer_state: type[BaseModel] | None
    targets: Mapping[str, type[BaseModel]] | None
    resources: Iterable[AnyResource]


@overload
def generator(
    name: str,
    *,
    prompt: str,
    input: type[InputT] = ...,
    output: type[OutputT] = ...,
    **more: Unpack[GeneratorMore],
) -> Generator[InputT, OutputT]: ...


@overload
def generator(
    name: str,
    *,
    prompt: Callable[[I, Context[Any, Any, Any, Any]], str | Prompt | Awaitable[str | Prompt]],
    output: type[OutputT] = ...,
    **more: Unpack[GeneratorMore],
) -> Generator[I, OutputT]: ...


def generator(
    name: str,
    *,
    prompt: Any,
    input: Any = Any,
    output: Any = str,
    model: ModelChoice | None = None,
    history: Turns | Tokens | None = None,
    tools: Iterable[Block[Any, Any]] = (),
    max_steps: int = 8,
    settings: Mapping[str, Any] = _NO_SETTINGS,
    description: str = "",
    audiences: Iterable[Audience] = SEEN_BY_ALL,
    reasoning_audiences: Iterable[Audience] | None = None,
    tool_audiences: Iterable[Audience] | None = None,
    first_token_timeout: float = 120.0,
    token_timeout: float = 60.0,
    state: type[BaseModel] | None = None,
    parent_state: type[BaseModel] | None = None,
    sequencer_state: type[BaseModel] | None = None,
    targets: Mapping[str, type[BaseModel]] | None = None,
    resources: Iterable[AnyResource] = (),
) -> Generator[Any, Any]:
    """Ask a language model, with tools, and stream what it says.

    ::

        answer = generator("answer", prompt="You help customers.", history=Turns(20), tools=[search])

    Text becomes a streamed ``message``, thoughts ``reasoning``, each call of a tool a ``tool_call`` and a
    ``tool_output`` with one ``call_id``. The output is the text of the last answer.

    Args:
        prompt: The instructions: a text, or a function ``(input, context)``, sync (then quick: it runs on the event
            loop) or async. The input follows them as what the user says, as it is if it is a text, else as JSON; but
            not if the running request has added a ``message`` of role ``user`` and ``history`` shows it. A function
            that returns a :class:`Prompt` says itself what follows. The state that it reads is declared by the
            annotation of its context, as in a handler.
        model: A model, or a function of the context that gives one, sync or async. Without it the one ``LanguageModel``
            among what the application's lifespan yields.
        input: What the block takes, if ``prompt`` is a text; of a function its annotation says it.
        output: ``str``, or a model with fields that the answer has to fit: asked for as JSON, validated, and once asked
            for anew if it does not fit. Its text is then no item: whoever wants it seen adds one. A text that a limit
            of tokens has cut (``max_tokens`` of ``settings``) is an output like any other.
        history: How much of the session's history the model sees, with all of the running request; ``None``: nothing.
        tools: Blocks that the model may call, by their names of 1 to 64 letters, digits, ``_`` and ``-``. A block that
            takes no object is given its input as the member ``input`` of one. A function's docstring is its
            description.
        max_steps: The most calls of the model in one execution; the one for a repair is not counted.
        settings: For the model: ``temperature``, ``max_tokens`` and so on.
        description: What it does, for models that have it as a tool.
        audiences: For whom its items are; ``reasoning_audiences`` and ``tool_audiences`` say it otherwise for theirs.
        first_token_timeout, token_timeout: Seconds that the model may take for its first token, and between any two.
        state, parent_state, sequencer_state, targets, resources: As with ``@handler``, for the functions of ``prompt``
            and ``model``. Tools have the generator's own state as their parent's.

    Runs fail with ``MODEL_UNAVAILABLE`` (retryable) if the model can't be reached, after three more attempts, or breaks
    off, with ``MODEL_REFUSED``, ``STEPS_EXCEEDED`` and ``OUTPUT_INVALID``; what was said until then stays as an item.

    Raises:
        FlowDefinitionError: the generator can't work as it is declared; the message says why.
    """
    where = f'generator "{name}"'
    if model is not None and not (isinstance(model, LanguageModel) or callable(model)):
        raise FlowDefinitionError(
            f"the model of {where} must be a LanguageModel or a function of the context, not {type(model).__name__}: "
            "flowstate_server.language_models.pydantic_ai.PydanticAIModel makes one of any model of pydantic-ai"
        )
    if not (isinstance(prompt, str) or callable(prompt)):
        raise FlowDefinitionError(
            f"the prompt of {where} must be a text or a function, not {type(prompt).__name__}"
        )
    if history is not None and not isinstance(history, Turns | Tokens):
        raise FlowDefinitionError(
            f"the history of {where} must be Turns(n), Tokens(n) or None, not {history!r}"
        )
    if isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 1:
        raise FlowDefinitionError(f"max_steps of {where} must be a whole number of at least 1")
    for seconds in (first_token_timeout, token_timeout):
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
            raise FlowDefinitionError(f"the time limits of {where} must be positive numbers of seconds")
    try:
        shown_to = ItemAudiences.of(audiences, reasoning_audiences, tool_audiences)
    except ValidationFailedError as error:
        raise FlowDefinitionError(f"{where}: {error}") from None
    options = GeneratorOptions(
        model=model,
        prompt=prompt,
        history=history,
        max_steps=max_steps,
        settings=dict(settings),
        audiences=shown_to,
        limits=TimeLimits(first_token_timeout, token_timeout),
    )
    return Generator(
        name,
        options,
        input_type=input,
        output_type=output,
        tools=tools,
        description=description,
        local_names=sys._getframe(1).f_locals,
        states=declared_states(
            where,
            state=state,
            parent_state=parent_state,
            sequencer_state=sequencer_state,
            targets=targets,
        ),
        resources=resources,
    )
