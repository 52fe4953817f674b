"""Links that lead nowhere in Markdown: ``python -m documents.links PAGE...`` names them, and fails if there are any.

The builder of the site looks only at links from one page of it to another.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_TARGET = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")


def targets(page: Path) -> list[str]:
    """What ``page`` links to, as it is written, without anchors and without what is on the web."""
    return _TARGET.findall(_CODE.sub("", page.read_text("utf-8")))


def dead_links(page: Path) -> list[str]:
    """Targets in ``page`` that are no file or folder."""
    return [target for target in targets(page) if not (page.parent / target).exists()]


def main(pages: Iterable[str]) -> int:
    dead = [f"{page}: {target} is not there" for page in pages for target in dead_links(Path(page))]
    sys.stderr.writelines(f"{line}\n" for line in dead)
    return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
