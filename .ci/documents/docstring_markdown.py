"""Docstrings as Markdown: they use of reStructuredText what reads well in an editor, and the reference is Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

ROLE = re.compile(r":(?:class|func|meth|attr|data|mod|exc|obj):`[~!]?([^`]+)`")
FIELD = re.compile(r"\{(\w+)\}")
RULE = re.compile(r"^=+(?: +=+)+$")


def markdown(docstring: str) -> str:
    """``:class:`Name``` becomes the name as code, simple tables become those of Markdown, ``::`` before code goes."""
    lines = _with_tables(docstring.splitlines())
    text = ROLE.sub(r"`\1`", "\n".join(lines))
    return re.sub(r"(?m)^(.*)::$", lambda match: f"{match[1]}:" if match[1] else "", text)


def with_template(docstring: str) -> str:
    """The docstring of an error, whose first paragraph is the template of its text: fields in italics."""
    template, *others = docstring.split("\n\n", 1)
    if not FIELD.search(template):
        return docstring
    shown = FIELD.sub(r"<em>«\1»</em>", template)
    return "\n\n".join([f"Its text: {shown}", *others])


def _with_tables(lines: list[str]) -> Iterator[str]:
    """Lines between two rules of ``===`` are rows, in columns as wide as those."""
    columns: list[slice] = []
    row: list[str] = []
    for line in lines:
        if RULE.match(line):
            if columns:
                yield _row(row)
                columns, row = [], []
            else:
                starts = [match.start() for match in re.finditer("=+", line)]
                columns = [slice(*ends) for ends in zip(starts, [*starts[1:], None], strict=True)]
                yield from (_row([""] * len(columns)), _row(["---"] * len(columns)))
        elif not columns:
            yield line
        else:
            cells = [line[column].strip() for column in columns]
            if row and not cells[0]:
                row = [f"{above} {cell}".strip() for above, cell in zip(row, cells, strict=True)]
                continue
            if row:
                yield _row(row)
            row = cells


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
