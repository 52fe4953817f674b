"""How settings reach the commands: as options, and as environment variables."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar

import typer

from flowstate_server.settings import PREFIX, SETTINGS, Settings

C = TypeVar("C", bound=Callable[..., None])

OF_THE_COMMANDS = frozenset(
    PREFIX + name
    for name in ("LOG_FORMAT", "LOG_LEVEL", "ORG", "SERVER", "TENANT", "TLS", "TLS_CA", "TOKEN", "USER")
)
"""Those that options of the commands are read from and that are no settings of a server."""

# Those of the tests, and those that Kubernetes puts into every container beside a service called flowstate.
_OF_OTHERS = tuple(PREFIX + name for name in ("TEST_", "PORT", "SERVICE_"))

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


def known_variables() -> frozenset[str]:
    return OF_THE_COMMANDS | {PREFIX + name.upper() for name in SETTINGS}


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Names of the variables with FlowState's prefix that mean nothing to it; empty ones count as absent."""
    known = known_variables()
    return sorted(
        name
        for name, value in environment.items()
        if value and name.startswith(PREFIX) and name not in known and not name.startswith(_OF_OTHERS)
    )
