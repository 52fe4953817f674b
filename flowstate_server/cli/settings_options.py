"""The settings that are options of a command as well."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from flowstate_server.settings import SETTINGS, Settings

C = TypeVar("C", bound=Callable[..., None])

_DEFAULTS = Settings()


def with_settings(command: C) -> C:
    """Give ``command`` the options; it gets them in its ``**given``, ``None`` for each that is absent."""
    signature = inspect.signature(command, eval_str=True)
    own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
    options = [_option(name) for name, setting in SETTINGS.items() if setting.metavar is not None]
    parameters = [*own[:1], *options, *own[1:]]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def _option(name: str) -> inspect.Parameter:
    setting = SETTINGS[name]
    default = setting.shown or getattr(_DEFAULTS, name)
    text = f"{setting.text} Default: {default}." if default else setting.text
    flag = f"--{name.replace('_', '-')}"
    option = typer.Option(flag, metavar=setting.metavar or None, help=text, show_default=False)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(name, kind, default=None, annotation=Annotated[setting.type | None, option])
