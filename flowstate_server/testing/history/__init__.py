"""Histories: what clients asked for and were told, written down and checked.

Every write is answered with its version, so whether a store did what it promised can be told exactly from a history::

    with Recorder("one") as one, Recorder("other") as other:
        stores = RecordedStore(store, one), RecordedStore(store, other)
        ...  # any number of concurrent commits and reads
    require_history(History.merged((one.history, other.history)))

:func:`check_history` proves that the versions of each record are a chain without a gap, each given to one write; that
every answer is what the writes before it make; that real time is respected; that calls over several records are one
moment. Writes that were never answered may have happened or not. :func:`check_log` and :func:`check_tails` do the like
for event logs. Clients in other processes give their recorder a file; :func:`read_history` puts the files together.
Over gRPC use ``flowstate_server.testing.recorded_client.RecordedStates``, which needs the client.
"""

from flowstate_server.testing.history.calls import (
    Answer,
    Call,
    Delete,
    History,
    Key,
    Outcome,
    Part,
    Read,
    Write,
)
from flowstate_server.testing.history.checking import check_history, require_history
from flowstate_server.testing.history.json_lines import read_history
from flowstate_server.testing.history.logs import (
    Entry,
    check_log,
    check_tails,
    entries_of,
    entries_of_client,
)
from flowstate_server.testing.history.meaning import Schemas, change_of
from flowstate_server.testing.history.recorded_store import RecordedStore
from flowstate_server.testing.history.recording import Recorder
from flowstate_server.testing.history.replay import TooManyUnanswered
from flowstate_server.testing.history.violations import HistoryError, Kind, Violation, require_none

__all__ = [
    "Answer",
    "Call",
    "Delete",
    "Entry",
    "History",
    "HistoryError",
    "Key",
    "Kind",
    "Outcome",
    "Part",
    "Read",
    "RecordedStore",
    "Recorder",
    "Schemas",
    "TooManyUnanswered",
    "Violation",
    "Write",
    "change_of",
    "check_history",
    "check_log",
    "check_tails",
    "entries_of",
    "entries_of_client",
    "read_history",
    "require_history",
    "require_none",
]
