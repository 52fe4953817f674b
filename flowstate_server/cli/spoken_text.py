"""Text that is shown while it comes, a few letters at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console

from flowstate_server.cli.terminal_text import plain_lines

_WORDS = re.compile(r"\n|[^\S\n]+|\S+")
_TAB = "    "


class SpokenText:
    """Writes text behind a label, wrapped at words below each other.

    The word that may still grow is held back, for what is written can't be wrapped any more. Characters that a terminal
    could obey are shown as JSON escapes them.
    """

    def __init__(
        self, console: Console, label: str, indent: int, *, label_style: str = "", style: str = ""
    ) -> None:
        self._console = console
        self._label = label
        self._label_style = label_style
        self._indent = indent
        self._style = style
        self._column = 0
        self._held = ""
        self._space = ""
        self._goes_on = False

    def write(self, text: str) -> None:
        """Show ``text`` behind what was shown before."""
        words = self._words(self._held + plain_lines(text.replace("\r", "").replace("\t", _TAB)))
        self._held = words.pop() if words and not words[-1].isspace() else ""
        self._put(words)

    def pause(self) -> None:
        """Leave the line to somebody else; what is written next begins a new one."""
        if self._column:
            self._console.out("", highlight=False)
        self._column, self._space, self._goes_on = 0, "", True

    def end(self) -> None:
        """Show what was held back, and end the line."""
        self._put([self._held] if self._held else [])
        self._put_label()
        self._held = self._space = ""
        if self._column:
            self._console.out("", highlight=False)

    def _words(self, text: str) -> list[str]:
        """Words, blanks and line breaks. A line may be broken beside each character of double width, and within a word
        that is longer than it."""
        room = max(self._console.width - self._indent, 1)
        words = []
        for run in _WORDS.findall(text):
            word, width = "", 0
            for character in run:
                cells = cell_len(character)
                if word and (cells > 1 or width > 1 == len(word) or width + cells > room):
                    words.append(word)
                    word, width = "", 0
                word += character
                width += cells
            words.append(word)
        return words

    def _put(self, words: list[str]) -> None:
        if any(not word.isspace() for word in words):
            self._put_label()
        shown = "".join(self._laid_out(words))
        if shown:
            self._console.out(shown, end="", style=self._style, highlight=False)
            self._console.file.flush()

    def _put_label(self) -> None:
        label, self._label = self._label, ""
        if label:
            room = self._indent - cell_len(label)
            self._console.out(
                label + " " * room, end="" if room > 0 else "\n", style=self._label_style, highlight=False
            )
            self._column = self._indent if room > 0 else 0

    def _laid_out(self, words: list[str]) -> Iterator[str]:
        for word in words:
            if word == "\n":
                yield word
                self._column, self._space = 0, ""
            elif not word.isspace():
                yield from self._placed(word)
                self._goes_on = False
            elif not self._goes_on:
                self._space += word

    def _placed(self, word: str) -> Iterator[str]:
        if self._column + cell_len(self._space + word) > self._console.width and self._column > self._indent:
            yield "\n"
            self._column, self._space = 0, ""
        if not self._column:
            yield " " * self._indent
            self._column = self._indent
        yield self._space + word
        self._column += cell_len(self._space + word)
        self._space = ""
