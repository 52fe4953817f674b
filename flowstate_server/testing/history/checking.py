"""Whether a history is one that a right store can have."""

from __future__ import annotations

from itertools import chain

from flowstate_server.testing.history.calls import History, Outcome
from flowstate_server.testing.history.meaning import Schemas, no_schema
from flowstate_server.testing.history.real_time import check_real_time
from flowstate_server.testing.history.repeats import without_repeats
from flowstate_server.testing.history.replay import Replay
from flowstate_server.testing.history.serial import check_serial
from flowstate_server.testing.history.torn import check_torn
from flowstate_server.testing.history.tracks import tracks_of
from flowstate_server.testing.history.unanswered import check_gaps
from flowstate_server.testing.history.violations import Violation, require_none


def check_history(history: History, schemas: Schemas = no_schema) -> list[Violation]:
    """Every violation found; none means that the calls are strictly serializable and did what was asked for.

    The history must have every write of its records, from the first one on; where a client was not answered, the call
    as unknown. ``schemas`` are those that the server governs the records with. Costs O(n log n) time.

    Raises:
        TooManyUnanswered: what unanswered writes have made can't be told.
    """
    violations: list[Violation] = []
    calls = without_repeats(history.calls, violations)
    tracks = tracks_of(calls, violations)
    for track in tracks.values():
        violations += chain(check_gaps(track), check_real_time(track))
    if violations:
        return violations
    replays = {key: Replay(track, schemas(key)) for key, track in tracks.items()}
    for replay in replays.values():
        violations += replay.check()
    if not violations:
        answered = [call for call in calls if call.outcome is not Outcome.UNKNOWN]
        violations += check_torn(replays, calls)
        violations += check_serial(answered, tracks)
    return violations


def require_history(history: History, schemas: Schemas = no_schema) -> None:
    """Raises :class:`~flowstate_server.testing.history.violations.HistoryError` if :func:`check_history` finds
    anything."""
    require_none(check_history(history, schemas))
