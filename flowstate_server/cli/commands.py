"""Commands as typer makes them, but for their help: a switch is shown as one, not as an option with a ``<bool>``, their
epilog is lines of examples, and a mistyped command gets those alone that it is like."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

from typer.core import TyperCommand, TyperGroup

from flowstate_server.cli.help_examples import show_examples

# How alike two names have to be. Typer takes 0.6, by which `sessions` would be meant by `version`.
_ALIKE = 0.7


class Command(TyperCommand):
    def format_help(self, ctx: Any, formatter: Any) -> None:
        lines, self.epilog = self.epilog, None
        super().format_help(ctx, formatter)
        self.epilog = lines
        if lines:
            show_examples(lines)

    def get_params(self, ctx: Any) -> list[Any]:
        return _shown(super().get_params(ctx))


class Group(TyperGroup):
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        self.suggest_commands = any(_may_mean(args[0], name) for name in self.commands)
        return super().resolve_command(ctx, args)

    def get_params(self, ctx: Any) -> list[Any]:
        return _shown(super().get_params(ctx))


def _may_mean(typed: str, name: str) -> bool:
    return name.startswith(typed) or SequenceMatcher(None, name, typed).ratio() >= _ALIKE


def _shown(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters
