"""Queries for lists of requests, as Postgres has them; see :mod:`.queries`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from flowstate_server.stores.contract.lists import SCANNED, RequestFilter, RequestPage, RequestPosition
from flowstate_server.stores.contract.pages import those_understood
from flowstate_server.stores.tables import rows
from flowstate_server.stores.tables.numbers import STATUS_NUMBERS, Row

KEY = "r.create_time DESC, r.request_id DESC"
DETAILS = "JOIN flowstate.sessions s ON s.log = h.log LEFT JOIN flowstate.outcomes o ON o.request = r.request"
_TOLD = "coalesce(length(o.failure), 0) + coalesce(length(o.reason), 0)"
_TEXTS = f"length(r.input) + coalesce(length(o.output), 0) + {_TOLD}"
_LOG = (
    "SELECT x.log FROM flowstate.sessions x"
    " WHERE x.tenant = $1 AND x.session_id = $2 AND NOT x.replaced AND x.log_id = $3"
)
_PICKED = ("flow_kind", "action", "user_id", "org_id")


class ListQuery(NamedTuple):
    """``names`` of ``source``, of which ``size`` counts for the size of a page, by :data:`KEY`."""

    names: str
    source: str
    size: str
    values: Row


def scan_query(which: RequestFilter, after: RequestPosition | None, hint: str = "") -> tuple[str, Row] | None:
    """When the last request that a page may look at was created, if there are so many; ``None`` where any may be."""
    if which.only_open or not (_left_to_pick(which) or which.statuses):
        return None
    conditions, values = _gone_through(which)
    if after is not None:
        values.append(after.create_time)
        # The id is in no index. Without one the place is behind all that were created then.
        conditions.append(f"r.create_time {'<=' if after.request_id else '<'} ${len(values)}")
    query = (
        f"SELECT r.create_time FROM flowstate.requests r {hint.format(_index(which))}"
        f" WHERE {' AND '.join(conditions)} ORDER BY r.create_time DESC LIMIT 1 OFFSET {SCANNED - 1}"
    )
    return query, tuple(values)


def list_query(
    which: RequestFilter, after: RequestPosition | None, last: RequestPosition | None, hint: str = ""
) -> ListQuery:
    """The requests from beyond ``after`` down to those created when ``last`` was."""
    conditions, values = _gone_through(which)
    if after is not None:
        values += (after.create_time, after.request_id)
        conditions.append(f"(r.create_time, r.request_id) < (${len(values) - 1}, ${len(values)})")
    if last is not None:
        values.append(last.create_time)
        conditions.append(f"r.create_time >= ${len(values)}")
    for column in _left_to_pick(which):
        values.append(getattr(which, column))
        conditions.append(f"r.{column} = ${len(values)}")
    conditions.append("NOT s.replaced AND s.delete_time = 0")
    numbers = sorted(STATUS_NUMBERS[status] for status in which.wanted)
    conditions.append(f"h.status IN ({', '.join(map(str, numbers))})")
    if which.only_open:
        heads = f"flowstate.request_heads h {hint.format('request_heads_open')}"
        source = f"{heads} JOIN flowstate.requests r ON r.request = h.request"
        conditions.append("h.open")
    else:
        requests = f"flowstate.requests r {hint.format(_index(which))}"
        source = f"{requests} JOIN flowstate.request_heads h ON h.request = r.request"
    return ListQuery(
        names=rows.REQUEST if which.with_payloads else rows.LISTED_REQUEST,
        source=f"{source} {DETAILS} WHERE {' AND '.join(conditions)}",
        size=_TEXTS if which.with_payloads else _TOLD,
        values=tuple(values),
    )


def last_of_scan(found: Row) -> RequestPosition:
    """From what a :func:`scan_query` finds: behind all that were created then."""
    return RequestPosition(found[0], "")


def request_page(found: list[Row], more: bool, last: RequestPosition | None) -> RequestPage:
    """From the columns that are the ``names`` of a :class:`ListQuery`; ``more`` follow before ``last``."""
    end = RequestPosition(*rows.request_place(found[-1])) if more else last
    return RequestPage([*those_understood(found, rows.request_key, rows.request_record)], end)


def _gone_through(which: RequestFilter) -> tuple[list[str], list[object]]:
    """What an index leads to: those of the session, the user or the tenant."""
    values: list[object] = [which.tenant]
    if which.session is not None:
        session, log_id = which.session
        values += (session.session_id, log_id)
        conditions = [f"r.log = ({_LOG})"]
    else:
        conditions = ["r.tenant = $1", "r.create_time > 0"]  # which Postgres' indexes for lists ask for
        if which.user_id is not None:
            values.append(which.user_id)
            conditions.append("r.user_id = $2")
    return conditions, values


def _left_to_pick(which: RequestFilter) -> Iterable[str]:
    """The columns by which those that an index leads to are picked."""
    led = () if which.session is not None else ("user_id",)
    return [name for name in _PICKED if getattr(which, name) is not None and name not in led]


def _index(which: RequestFilter) -> str:
    if which.session is not None:
        return "requests_by_session"
    return "requests_by_time" if which.user_id is None else "requests_by_user"
