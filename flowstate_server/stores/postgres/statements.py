"""Several queries, or several writes, as one statement: one round trip, and one snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any, NamedTuple

from flowstate_server.stores.tables.numbers import Row


def arrays(first: int, types: Sequence[str]) -> str:
    """``unnest`` of array parameters, from ``$first`` on."""
    parameters = ", ".join(f"${number}::{type_}[]" for number, type_ in enumerate(types, start=first))
    return f"unnest({parameters})"


def columns(rows: Sequence[Row], width: int) -> list[Sequence[Any]]:
    """What ``unnest`` makes ``rows`` of again."""
    return list(zip(*rows, strict=True)) if rows else [()] * width


def together(queries: Iterable[tuple[int, str]]) -> str:
    """One query whose rows are ``(number, row of that query)``; the queries run one after another."""
    return " UNION ALL ".join(
        f"SELECT {number} AS part, x AS row FROM ({query}) x" for number, query in queries
    )


class RowsWrite(NamedTuple):
    """A write of many rows at once. ``text`` has ``{rows}`` where the rows are read from, as ``new``, whose columns
    and their types are ``columns``.

    ``after`` in the text stands where a condition goes: such a write begins once the one before it is done. Those are
    the writes that may meet another process's, so that all processes go about them in one order.
    """

    name: str
    text: str
    columns: str

    @property
    def ordered(self) -> bool:
        return "{after}" in self.text


class WriteTexts:
    """The texts of statements that do several writes, each made once."""

    def __init__(self, writes: Sequence[RowsWrite], answer: str) -> None:
        self._writes = writes
        self._answer = answer
        self._texts: dict[tuple[int, ...], str] = {}

    def text(self, chosen: tuple[int, ...]) -> str:
        """The statement that does the chosen writes, by their places, and answers."""
        text = self._texts.get(chosen)
        if text is None:
            text = self._texts[chosen] = self._compose([self._writes[place] for place in chosen])
        return text

    def _compose(self, writes: list[RowsWrite]) -> str:
        parts: list[str] = []
        numbers = count(1)
        before = ""
        for write in writes:
            named = [column.split() for column in write.columns.split(", ")]
            parameters = ", ".join(f"${next(numbers)}::{type_}[]" for _, type_ in named)
            rows = f"unnest({parameters}) AS new({', '.join(name for name, _ in named)})"
            after = f"WHERE (SELECT count(*) FROM {before}) >= 0" if before else ""
            parts.append(f"{write.name} AS ({write.text.format(rows=rows, after=after)})")
            if write.ordered:
                before = write.name
        return f"WITH {', '.join(parts)} {self._answer}"
