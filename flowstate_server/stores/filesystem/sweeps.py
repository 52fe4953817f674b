"""Range deletes: each call is one bounded batch."""

from __future__ import annotations

from heapq import heappop

from flowstate_server.model.clock import Micros
from flowstate_server.model.records import IdempotencyKey
from flowstate_server.stores.filesystem import names
from flowstate_server.stores.filesystem.contents import Contents
from flowstate_server.stores.filesystem.event_log import EventLog
from flowstate_server.stores.filesystem.journal import Journal, Remove
from flowstate_server.stores.filesystem.tables import Incarnation, Sweepable, Tables


def sweep_transient_events(contents: Contents, journal: Journal, before: Micros, limit: int) -> int:
    """Writes each log that has some anew."""
    tables = contents.tables
    due = _due(tables, before, limit)
    left = limit
    chosen: dict[Incarnation, set[int]] = {}
    for _, incarnation, _, places in due:
        some = places.transient[:left]
        chosen.setdefault(incarnation, set()).update(some)
        left -= len(some)
    try:
        for incarnation, swept in chosen.items():
            _rewrite(contents, journal, tables.logs[incarnation], swept)
            for _, other, _, places in due:
                if other == incarnation:
                    places.forget(swept)
    finally:
        for since, incarnation, _, places in due:
            if places.transient:
                tables.put_sweepable(since, incarnation, places)
    return limit - left


def _due(tables: Tables, before: Micros, limit: int) -> list[Sweepable]:
    """Takes out what has as many transient events as may go, or more."""
    due: list[Sweepable] = []
    while limit > 0 and tables.sweepable and tables.sweepable[0][0] <= before:
        due.append(heappop(tables.sweepable))
        limit -= len(due[-1][3].transient)
    return due


def _rewrite(contents: Contents, journal: Journal, log: EventLog, swept: set[int]) -> None:
    kept = [place for place in log.places if place not in swept]
    lines = [*contents.lines(log, kept)]
    new = EventLog(log.session, log.log_id)
    new.swept = max(log.swept, *swept)
    new.begin(len(new.header))
    for place, line in zip(kept, lines, strict=True):
        new.add(place, len(line))
    journal.replace(log.path, b"".join((new.header, *lines)))
    contents.tables.logs[log.session, log.log_id] = new


def sweep_idempotency_keys(contents: Contents, journal: Journal, time: Micros, limit: int) -> int:
    tables = contents.tables
    swept: dict[IdempotencyKey, Micros] = {}
    while len(swept) < limit and tables.expiring and tables.expiring[0][0] <= time:
        expire_time, parts = heappop(tables.expiring)
        key = IdempotencyKey(*parts)
        if tables.keys.get(key) == expire_time:  # not put again since
            swept[key] = expire_time
    try:
        if swept:
            journal.commit([Remove(names.key_path(key)) for key in swept])
    except OSError:
        for key, expire_time in swept.items():
            tables.put_expiring(key, expire_time)
        raise
    for key in swept:
        del tables.keys[key]
    return len(swept)


def sweep_processes(contents: Contents, journal: Journal, limit: int) -> int:
    tables = contents.tables
    over = [
        row.process for row in tables.processes.values() if row.fenced and not tables.running.get(row.process)
    ][:limit]
    if over:
        journal.commit([Remove(names.process_path(process)) for process in over])
    for process in over:
        del tables.processes[process]
    return len(over)
