"""Lists whose plans are looked at, one of each kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import Tenant
from flowstate_server.stores.contract.reads import SessionFilter, SessionPosition
from flowstate_server.stores.tables.session_queries import Bound, Lead, SessionQueries, leads

T = Tenant("t")
FILTERS: Sequence[SessionFilter] = (
    SessionFilter(T),
    SessionFilter(T, labels=(b"a",)),
    SessionFilter(T, labels=(b"a", b"b")),
    SessionFilter(T, user_id="u", flow_kind="f"),
    SessionFilter(T, user_id="u", flow_kind="f", org_id="o", labels=(b"a",)),
    SessionFilter(T, active_after=Micros(1)),
    SessionFilter(T, labels=(b"a",), active_after=Micros(1), include_ephemeral=True),
    SessionFilter(T, user_id="u", org_id="", include_ephemeral=True),
)
AFTER: Sequence[SessionPosition | None] = (None, SessionPosition(Micros(5), "s"))

INDEXES = {
    "": "sessions_by_time",
    "user_id": "sessions_by_user",
    "org_id": "sessions_by_org",
    "flow_kind": "sessions_by_flow",
}


def pages(queries: SessionQueries, which: SessionFilter) -> Iterator[tuple[Lead, str]]:
    """The queries of a page along each of the filters, with and without an end."""
    for lead in leads(which):
        for floor in (0, 7):
            for after in AFTER:
                yield lead, queries.page(which, Bound(lead, 1, Micros(floor)), 10, after)[0]


def probes(queries: SessionQueries, which: SessionFilter) -> Iterator[str]:
    for after in AFTER:
        yield queries.probe(which, leads(which), after)[0]


def counts(queries: SessionQueries, which: SessionFilter) -> Iterator[str]:
    for lead in leads(which):
        yield queries.count(which, lead)[0]
