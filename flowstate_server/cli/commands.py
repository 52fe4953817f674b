"""Commands as typer makes them, but for their help: a switch is shown as one, not as an option with a ``<bool>``, their
epilog is lines of examples, paragraphs are as wide as the terminal, and what is mistyped gets that alone that it is
like."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

from flowstate_server.cli.completing import complete_values
from flowstate_server.cli.help_examples import show_examples
from flowstate_server.cli.usage_errors import USAGE_ERROR, may_mean, reword


class Command(TyperCommand):
    def format_help(self, ctx: Any, formatter: Any) -> None:
        lines, self.epilog = self.epilog, None
        self.help = _unwrapped(self.help or "")
        super().format_help(ctx, formatter)
        self.epilog = lines
        if lines:
            show_examples(lines)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except USAGE_ERROR as error:
            reword(error, self.params)
            raise

    def get_params(self, ctx: Any) -> list[Any]:
        return _shown(super().get_params(ctx))


class Group(TyperGroup):
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        self.suggest_commands = any(may_mean(args[0], name) for name in self.commands)
        try:
            return super().resolve_command(ctx, args)
        except USAGE_ERROR as error:
            if not self.suggest_commands and len(args) == 1:
                error.message += self._about_one(ctx, args[0])
            raise

    def _about_one(self, ctx: Any, typed: str) -> str:
        """What was meant, where something was named and not what to do with it."""
        for name in ("show", "list"):
            command = self.commands.get(name)
            if command is not None and any(one.param_type_name == "argument" for one in command.params):
                return f" Did you mean {ctx.command_path} {name} {typed}?"
        return ""

    def get_params(self, ctx: Any) -> list[Any]:
        return _shown(super().get_params(ctx))


def _unwrapped(text: str) -> str:
    """Typer keeps the ends of the lines, but for the first paragraph."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _shown(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        complete_values(parameter)
    return parameters
