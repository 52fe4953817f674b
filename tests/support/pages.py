"""The pages of the documents, and the code that stands in them."""

from __future__ import annotations

import re
import shlex
import sys
import types
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]
DOCUMENTS = CHECKOUT / "docs"
FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PROMPT = "$ "


class Block(str):
    """The text of a fenced block, which knows where it stands."""

    page: Path
    language: str
    line: int

    def run(self, names: dict[str, Any]) -> None:
        """Execute it as Python in ``names``; a traceback shows the line of the page."""
        code = compile("\n" * self.line + self, str(self.page), "exec", dont_inherit=True)
        exec(code, names)


@dataclass(frozen=True)
class Command:
    """A line of a console after its prompt, and what the page says that it prints."""

    line: str
    printed: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line, comments=True)


class Page:
    """A Markdown file of the checkout, by its path in it: ``Page("docs/guides/state.md")``."""

    def __init__(self, path: str | Path) -> None:
        self.path = CHECKOUT / path
        self.text = self.path.read_text("utf-8")

    def blocks(self, language: str) -> list[Block]:
        """All blocks of a language, in their order: unpack them, so that one that is added is missed by no test."""
        return [block for block in self.all_blocks() if block.language == language]

    def all_blocks(self) -> list[Block]:
        found = []
        for match in FENCE.finditer(self.text):
            block = Block(match[2])
            block.page, block.language = self.path, match[1]
            block.line = self.text.count("\n", 0, match.start(2))
            found.append(block)
        return found


def commands(block: Block) -> list[Command]:
    """The commands of a block of the language ``console``."""
    found: list[Command] = []
    for line in block.replace("\\\n", " ").splitlines():
        if line.startswith(PROMPT):
            found.append(Command(line.removeprefix(PROMPT), ""))
        elif found:
            found[-1] = Command(found[-1].line, f"{found[-1].printed}{line}\n")
    return found


def names_of(*blocks: str, module: str = "page") -> dict[str, Any]:
    """What ``blocks`` define, run one after the other in a module of that name."""
    names: dict[str, Any] = {"__name__": module}
    _run(blocks, names)
    return names


def in_module(name: str, monkeypatch: pytest.MonkeyPatch, *blocks: str) -> dict[str, Any]:
    """The same in a module that others, and the blocks themselves, can import."""
    module = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    names = vars(module)
    _run(blocks, names)
    return names


def _run(blocks: Iterable[str], names: dict[str, Any]) -> None:
    for block in blocks:
        if isinstance(block, Block):
            block.run(names)
        else:
            exec(compile(block, names["__name__"], "exec", dont_inherit=True), names)


def my_chat() -> Block:
    """``my_chat.py`` of the tutorial, with which the guides go on."""
    return Page("docs/tutorial.md").blocks("python")[1]
