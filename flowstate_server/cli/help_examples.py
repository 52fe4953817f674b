"""Examples at the end of a command's help: ``@group.command(cls=Command, epilog=examples("flowstate ..."))``, or
``@with_examples("flowstate ...")`` on one that the application loads when it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from rich.console import Console

C = TypeVar("C", bound=Callable[..., Any])


def examples(*lines: str) -> str:
    """Lines to type, for the ``epilog`` of a command; at most 76 columns each. What one does is told behind a ``#``."""
    return "\n".join(lines)


def with_examples(*lines: str) -> Callable[[C], C]:
    """Give a function that is a command its examples; the outermost decorator."""

    def give(command: C) -> C:
        command.examples = examples(*lines)  # type: ignore[attr-defined]
        return command

    return give


def examples_of(command: Callable[..., Any]) -> str | None:
    """Those that :func:`with_examples` has given, if any."""
    return getattr(command, "examples", None)


def show_examples(lines: str) -> None:
    """Print them as they are: typer would join the lines, and take brackets for markup."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(" Examples:", style="dim")
    for line in lines.splitlines():
        console.print(f"   {line}", markup=False)
    console.print()
