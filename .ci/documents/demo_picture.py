"""The picture of the demo, from what the demo prints: ``python -m documents.demo_picture``."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from html import unescape
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "demo.svg"
WIDTH = 104
# Rich's own names fonts on the web, which a page without a network, or within <img>, does not get.
WITHOUT_WEB_FONTS = re.sub(
    r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT.replace("Fira Code", "ui-monospace"), flags=re.DOTALL
)


def demo_output() -> str:
    """What the demo prints on a terminal."""
    ours, its = pty.openpty()
    command = (sys.executable, "-m", "examples.chat.demo")
    with subprocess.Popen(command, stdout=its, env={**os.environ, "TERM": "xterm-256color"}) as process:
        os.close(its)
        printed = b"".join(_pieces(ours))
    os.close(ours)
    if process.returncode:
        raise SystemExit(f"the demo failed:\n{printed.decode()}")
    return printed.decode().replace("\r\n", "\n")


def _pieces(terminal: int) -> Iterator[bytes]:
    """What is written to a terminal until nobody has it open any more, which Linux tells as an error."""
    with suppress(OSError):
        while piece := os.read(terminal, 65536):
            yield piece


def picture_of(output: str) -> str:
    """Terminal output as an SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="256")
    console.print(Text.from_ansi(output.strip()))
    return console.export_svg(title="make demo", code_format=WITHOUT_WEB_FONTS, unique_id="demo")


def words_of(picture: str) -> list[str]:
    """The words that a picture shows, in their order."""
    lines = re.findall(r'<text [^>]*class="demo-r\d+"[^>]*>(.*?)</text>', picture, re.DOTALL)
    return unescape(" ".join(lines)).split()


if __name__ == "__main__":
    PICTURE.write_text(picture_of(demo_output()), "utf-8")
