"""How sessions are listed: along an index, in its order, from one of the filters; the others are asked of each row.

Where several filters meet, each is first followed for some rows: the one with the fewest leads, and a page looks no
further than that along it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from flowstate_server.model.clock import Micros
from flowstate_server.model.frozen import frozen
from flowstate_server.stores.contract.reads import SessionFilter, SessionPosition
from flowstate_server.stores.tables import rows
from flowstate_server.stores.tables.numbers import Row

FOLLOWED = 8
"""Filters that are followed. Of more than that the rarest is hardly wanted."""
SCAN = 1000
"""Rows that are followed along a filter. A thousand rows with two filters to ask of each take some milliseconds."""

_COLUMNS = ("user_id", "org_id", "flow_kind")
_LIVE = "NOT s.replaced AND s.delete_time = 0"
_LABEL = (
    "(SELECT 1 FROM flowstate.session_labels y WHERE y.tenant = {0}.tenant AND y.label = {1}"
    " AND y.ephemeral = {0}.ephemeral AND y.create_time = {0}.create_time AND y.session_id = {0}.session_id"
    " AND y.log = {0}.log) = 1"
)


class Lead(NamedTuple):
    """The filter along whose index a list is read: a column of sessions, a label, or neither: all of a tenant."""

    column: str = ""
    label: bytes | None = None

    @property
    def letter(self) -> str:
        return "s" if self.label is None else "l"


class Bound(NamedTuple):
    """How many rows a lead has, as far as they were followed, and the create time that a page ends at (0: none)."""

    lead: Lead
    rows: int
    floor: Micros


def leads(which: SessionFilter) -> list[Lead]:
    """Those by which the list is read best."""
    columns = [
        name
        for name in _COLUMNS
        if getattr(which, name) is not None and (name, getattr(which, name)) != ("org_id", "")
    ]
    found = [Lead(column=name) for name in columns] + [Lead(label=label) for label in which.labels]
    return found[:FOLLOWED] or [Lead()]


def meets_others(which: SessionFilter, found: Sequence[Lead]) -> bool:
    """Whether a row that the lead gives may not be one of the list."""
    return len(found) > 1 or which.active_after is not None or which.org_id == ""


def shortest(found: Sequence[Lead], followed: Iterable[Row]) -> Bound:
    """The lead with the fewest rows, or with those that go furthest back, from what a ``probe`` has found."""
    counts = [0] * len(found)
    floors = [0] * len(found)
    for place, count, create_time in followed:
        counts[place] += count
        if count == SCAN:
            floors[place] = max(floors[place], create_time)
    _, _, best = min((counts[place], floors[place], place) for place in range(len(found)))
    return Bound(found[best], counts[best], Micros(floors[best]))


@frozen
class SessionQueries:
    """Queries as a database wants them.

    ``hint`` is how it is told by which index to read, ``{}``; one that is not would have to guess. ``join`` reads the
    row of ``{table}``, called ``{letter}``, that has the log of ``{before}``, after that one.
    """

    hint: str
    join: str

    def probe(
        self, which: SessionFilter, found: Sequence[Lead], after: SessionPosition | None
    ) -> tuple[str, Row]:
        """For :func:`shortest`: of each lead its place, how many rows were followed, the create time of the oldest."""
        texts = []
        values = _Values(which, after)
        for place, lead in enumerate(found):
            letter = lead.letter
            for ephemeral in _lists(which):
                along = " AND ".join([*self._along(lead, which, ephemeral, values), *values.after(letter)])
                texts.append(
                    f"SELECT {place} AS place, count(*) AS found, coalesce(min(create_time), 0) AS oldest"
                    f" FROM (SELECT {letter}.create_time FROM {self._table(lead)} WHERE {along}"
                    f" ORDER BY {letter}.create_time DESC, {letter}.session_id DESC LIMIT {SCAN}) x"
                )
        return " UNION ALL ".join(texts), values.row

    def page(
        self, which: SessionFilter, bound: Bound, limit: int, after: SessionPosition | None
    ) -> tuple[str, Row]:
        """At most ``limit`` rows of the columns ``SESSION`` and the activity time.

        Ephemeral sessions are a list of their own in each index, merged into the others when asked for.
        """
        lead, letter = bound.lead, bound.lead.letter
        values = _Values(which, after)
        most = values.put("limit", limit)
        texts = []
        for ephemeral in _lists(which):
            wanted = [*self._along(lead, which, ephemeral, values), *values.after(letter)]
            if bound.floor:
                wanted.append(f"{letter}.create_time >= {values.put('floor', bound.floor)}")
            wanted += _rest(lead, which, values)
            texts.append(
                f"SELECT {rows.SESSION}, c.activity_time FROM {self._source(lead, 'sc')} WHERE {' AND '.join(wanted)}"
                f" ORDER BY {letter}.create_time DESC, {letter}.session_id DESC LIMIT {most}"
            )
        if len(texts) == 1:
            return texts[0], values.row
        both = " UNION ALL ".join(f"SELECT * FROM ({text}) x" for text in texts)
        return f"{both} ORDER BY create_time DESC, session_id DESC LIMIT {most}", values.row

    def count(self, which: SessionFilter, lead: Lead) -> tuple[str, Row]:
        """One number for each of the lists."""
        values = _Values(which, None)
        letters = "s" if any(getattr(which, column) is not None for column in _COLUMNS) else ""
        if which.active_after is not None:
            letters += "c"
        texts = []
        for ephemeral in _lists(which):
            wanted = [*self._along(lead, which, ephemeral, values), *_rest(lead, which, values)]
            texts.append(
                f"SELECT count(*) AS found FROM {self._source(lead, letters)} WHERE {' AND '.join(wanted)}"
            )
        return " UNION ALL ".join(texts), values.row

    def _table(self, lead: Lead) -> str:
        if lead.label is not None:
            return "flowstate.session_labels l"
        index = f"sessions_by_{lead.column.partition('_')[0] or 'time'}"
        return f"flowstate.sessions s {self.hint.format(index)}".rstrip()

    def _source(self, lead: Lead, letters: str) -> str:
        """The lead's table, and after it the rows of those whose ``letters`` are given."""
        parts, before = [self._table(lead)], lead.letter
        for letter, table in (("s", "sessions"), ("c", "session_heads")):
            if letter in letters and letter != lead.letter:
                parts.append(self.join.format(table=table, letter=letter, before=before))
        return " ".join(parts)

    def _along(self, lead: Lead, which: SessionFilter, ephemeral: str, values: _Values) -> list[str]:
        letter = lead.letter
        along = [f"{letter}.tenant = $1", f"{letter}.ephemeral = {ephemeral}"]
        if lead.label is not None:
            return [*along, f"l.label = {values.put(lead.label, lead.label)}"]
        along.append(_LIVE)
        if lead.column:
            along.append(f"s.{lead.column} = {values.put(lead.column, getattr(which, lead.column))}")
        if lead.column == "org_id":
            along.append("s.org_id <> ''")
        return along


class _Values:
    """Parameters by name, each put once; the tenant is the first."""

    def __init__(self, which: SessionFilter, after: SessionPosition | None) -> None:
        self._values: dict[object, object] = {"tenant": which.tenant}
        self._after = after

    @property
    def row(self) -> Row:
        return tuple(self._values.values())

    def put(self, name: object, value: object) -> str:
        self._values.setdefault(name, value)
        return f"${[*self._values].index(name) + 1}"

    def after(self, letter: str) -> Sequence[str]:
        """The condition that a row lies beyond the position, if there is one."""
        if self._after is None:
            return ()
        place = f"{self.put('create_time', self._after.create_time)}, {self.put('session_id', self._after.session_id)}"
        return (f"({letter}.create_time, {letter}.session_id) < ({place})",)


def _lists(which: SessionFilter) -> Sequence[str]:
    return ("false", "true") if which.include_ephemeral else ("false",)


def _rest(lead: Lead, which: SessionFilter, values: _Values) -> list[str]:
    """What is asked of each row. Columns are asked for in a way that no index offers itself for."""
    rest = [
        f"s.{column} || '' = {values.put(column, value)}"
        for column in _COLUMNS
        if column != lead.column and (value := getattr(which, column)) is not None
    ]
    rest += [
        _LABEL.format(lead.letter, values.put(label, label)) for label in which.labels if label != lead.label
    ]
    if which.active_after is not None:
        rest.append(f"c.activity_time > {values.put('active_after', which.active_after)}")
    return rest
