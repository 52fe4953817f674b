"""Asking whether to do what can't be undone."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from flowstate_server.cli.problem import FAILED, INTERRUPTED, give_up

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first. In a pipe nobody is asked.")]


def ask(question: str, *, yes: bool) -> None:
    """Go on if somebody on a terminal agrees, or if nobody sits there; else the end of the command."""
    if yes or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return
    try:
        agreed = typer.confirm(question)
    except typer.Abort:
        raise typer.Exit(INTERRUPTED) from None
    if not agreed:
        give_up("nothing was deleted", FAILED)
