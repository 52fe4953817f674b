"""Commands that are loaded when they are used."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import typer
from typer.main import get_group

from flowstate_server.cli.commands import Command, Group


@dataclass(frozen=True)
class LazyCommand:
    """``reference`` is the ``module:attribute`` of a function, or of a ``Typer`` with commands of its own; ``help`` is
    what the list of commands says of it, ``examples`` what the help of a function ends with."""

    name: str
    reference: str
    help: str
    examples: str | None = None

    def load(self) -> Any:
        """The command itself."""
        module, _, attribute = self.reference.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        parent = typer.Typer(add_completion=False)
        parent.callback()(_nothing)  # makes it a group, also of one command
        if isinstance(found, typer.Typer):
            parent.add_typer(found)
        else:
            parent.command(self.name, cls=Command, epilog=self.examples)(found)
        return get_group(parent).commands[self.name]


def _nothing() -> None: ...


class LazyGroup(Group):
    """Lists, suggests and completes ``lazy_commands`` by name, and loads the one that is used."""

    lazy_commands: ClassVar[Sequence[LazyCommand]] = ()

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        for one in self.lazy_commands:
            self.commands.setdefault(one.name, Command(one.name, help=one.help))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        for one in self.lazy_commands:
            if one.name == args[0]:
                self.commands[one.name] = one.load()
        return super().resolve_command(ctx, args)

    def load_all(self) -> None:
        """Have every command in ``commands`` itself, for who walks them."""
        for one in self.lazy_commands:
            self.commands[one.name] = one.load()
