"""Examples at the end of a command's help: ``application.command(cls=Command, epilog=examples("flowstate ..."))``."""

from __future__ import annotations

from rich.console import Console


def examples(*lines: str) -> str:
    """Lines to type, for the ``epilog`` of a command; at most 76 columns each. What one does is told behind a ``#``."""
    return "\n".join(lines)


def show_examples(lines: str) -> None:
    """Print them as they are: typer would join the lines, and take brackets for markup."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(" Examples:", style="dim")
    for line in lines.splitlines():
        console.print(f"   {line}", markup=False)
    console.print()
