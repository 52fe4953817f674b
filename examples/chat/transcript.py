"""What the demo shows: coloured and paced on a terminal, plain text in a pipe."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

INDENT = 12
PAUSE_SECONDS = 0.4
WORD_SECONDS = 0.03


class Transcript:
    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)

    def heading(self, text: str) -> None:
        self._console.print()
        self._line(Text(f"== {text}", style="bold yellow"))

    def subheading(self, text: str) -> None:
        self._console.print()
        self._line(Text(text, style="bold"))

    def note(self, label: str, text: str) -> None:
        """A fact beside the conversation."""
        self._line(Text.assemble((f"{label:>{INDENT - 2}}  ", "dim"), (text, "dim")))

    def values(self, label: str, values: Mapping[str, Any]) -> None:
        shown = ", ".join(
            f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()
        )
        self._line(Text.assemble((f"{label:>{INDENT - 2}}  ", "dim"), (shown, "cyan")))

    async def said(self, who: str, text: str) -> None:
        await self._pause(PAUSE_SECONDS)
        self._console.print()
        self._line(Text.assemble(self._speaker(who, "bold blue"), text))
        await self._pause(PAUSE_SECONDS)

    def begins(self, who: str) -> None:
        """``who`` starts to speak; :meth:`speaks` goes on, :meth:`ends` ends the line."""
        self._console.print(self._speaker(who, "bold green"), end="")

    async def speaks(self, text: str) -> None:
        for word in re.findall(r"\s*\S+\s*|\s+", text):
            self._console.print(Text(word), end="")
            self._console.file.flush()
            await self._pause(WORD_SECONDS)

    def ends(self) -> None:
        self._console.print()

    def problem(self, text: str) -> None:
        self._line(Text(text, style="bold red"))

    def _speaker(self, who: str, style: str) -> Text:
        return Text(f"{who:>{INDENT - 2}}  ", style=style)

    def _line(self, text: Text) -> None:
        self._console.print(text)
        self._console.file.flush()

    async def _pause(self, seconds: float) -> None:
        if self._console.file.isatty():  # to rich also a pipe is a terminal, where FORCE_COLOR is set
            await asyncio.sleep(seconds)
