"""What a function's annotations say about it as a handler."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows.context import Context
from flowstate_server.model.scopes import ScopeKind

CONTEXT_SCOPES = (ScopeKind.SESSION, ScopeKind.USER, ScopeKind.ORG, ScopeKind.REQUEST)
"""The scopes of ``Context[...]``'s parameters, in their order."""

ORDER = f"in Context[...] the order is {', '.join(CONTEXT_SCOPES)}"

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class HandlerSignature:
    """``context_models`` are the state models that the context is annotated with."""

    input_type: Any
    output_type: Any
    context_models: Mapping[ScopeKind, type[BaseModel]]


def read_signature(
    function: Callable[..., Any], name: str, local_names: Mapping[str, Any]
) -> HandlerSignature:
    """The types of the handler that ``function`` would make; ``local_names`` help to resolve string annotations.

    Raises:
        FlowDefinitionError: ``function`` can't be a handler.
    """

    def refused(problem: str) -> FlowDefinitionError:
        return FlowDefinitionError(f'handler "{name}" {problem}')

    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise refused("must return its output, not yield it: stream with ctx.message() and the like")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        raise refused("has no signature to read") from None
    if len(parameters) != 2 or any(one.kind not in _POSITIONAL for one in parameters):
        lacking = (
            f"; without input write (_: None, {parameters[0].name}: Context)" if len(parameters) == 1 else ""
        )
        raise refused(f"must take (input, context), not ({_named(parameters)}){lacking}")
    given, context = (one.name for one in parameters)
    try:
        hints = typing.get_type_hints(function, localns=dict(local_names), include_extras=True)
    except NameError as error:
        raise refused(f"has an annotation that can't be resolved: {error}") from None
    except TypeError as error:
        raise refused(f"has an annotation that is not a type: {error}") from None
    if given not in hints:
        raise refused(f"needs an annotation for its input {given}")
    if "return" not in hints:
        raise refused("needs a return annotation (-> None if it returns nothing)")
    if _is_context(hints[given]):
        raise refused("must take (input, context), in this order")
    annotation = hints.get(context, Any)
    if annotation is not Any and not _is_context(annotation):
        raise refused(f"must have Context as the annotation of {context}")
    return HandlerSignature(hints[given], hints["return"], _context_models(annotation))


def _named(parameters: Iterable[inspect.Parameter]) -> str:
    return ", ".join(str(one.replace(annotation=inspect.Parameter.empty)) for one in parameters)


def _is_context(annotation: Any) -> bool:
    origin = typing.get_origin(annotation) or annotation
    return isinstance(origin, type) and issubclass(origin, Context)


def _context_models(annotation: Any) -> Mapping[ScopeKind, type[BaseModel]]:
    arguments = typing.get_args(annotation)
    return {
        scope: model
        for scope, model in zip(CONTEXT_SCOPES, arguments, strict=False)
        if isinstance(model, type) and issubclass(model, BaseModel) and model is not BaseModel
    }


def read_prompt(
    function: Callable[..., Any], name: str, local_names: Mapping[str, Any]
) -> tuple[Any, Mapping[ScopeKind, type[BaseModel]]]:
    """What the prompt of generator ``name`` takes, ``Any`` where it does not say, and its context's state models.

    Raises:
        FlowDefinitionError: ``function`` does not take (input, context), or an annotation is no type.
    """

    def refused(problem: str) -> FlowDefinitionError:
        return FlowDefinitionError(f'the prompt of generator "{name}" {problem}')

    try:
        parameters = list(inspect.signature(function).parameters.values())
        hints = typing.get_type_hints(function, localns=dict(local_names), include_extras=True)
    except (NameError, TypeError, ValueError) as error:
        raise refused(f"can't be read: {error}") from None
    if len(parameters) != 2 or any(one.kind not in _POSITIONAL for one in parameters):
        raise refused(f"must take (input, context), not ({_named(parameters)})")
    given, context = (hints.get(one.name, Any) for one in parameters)
    return given, _context_models(context)
