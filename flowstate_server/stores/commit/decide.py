"""Batches through loaded records: what each is answered, and what the group changes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any, NamedTuple

from flowstate_server.errors import ServiceError
from flowstate_server.stores.commit.import_writes import import_records
from flowstate_server.stores.commit.lease_writes import fence_process, renew_lease
from flowstate_server.stores.commit.log_writes import append_events
from flowstate_server.stores.commit.repeats import answer_repeat, put_idempotency_key, remember
from flowstate_server.stores.commit.request_writes import (
    create_request,
    finish_request,
    request_cancel,
    require_run,
)
from flowstate_server.stores.commit.session_writes import create_session, require_session, update_session
from flowstate_server.stores.commit.state_writes import change_state, delete_state
from flowstate_server.stores.commit.working_set import WorkingSet
from flowstate_server.stores.contract.storage import Changes, Loaded
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    Batch,
    ChangeState,
    CommitResult,
    CreateRequest,
    CreateSession,
    DeleteState,
    FenceProcess,
    FinishRequest,
    ImportRecords,
    PutIdempotencyKey,
    RenewLease,
    RequestCancel,
    RequireRun,
    RequireSession,
    UpdateSession,
    WriteResult,
)

Answer = CommitResult | Exception


class Decision(NamedTuple):
    """The answers of the batches that were decided, in order, and what they change together."""

    answers: list[Answer]
    changes: Changes


def decide(batches: Iterable[Batch], loaded: Loaded, *, seconds: float = float("inf")) -> Decision:
    """Decide the batches in order, at least one, until ``seconds`` are over.

    A refused batch leaves no trace, whatever its exception; the others go on.
    """
    work = WorkingSet(loaded)
    answers: list[Answer] = []
    deadline = perf_counter() + seconds
    for batch in batches:
        try:
            answers.append(_decide_batch(work, batch))
        except Exception as error:
            work.drop()
            answers.append(error)
        else:
            work.keep()
        if perf_counter() >= deadline:
            break
    return Decision(answers, work.changes())


def _decide_batch(work: WorkingSet, batch: Batch) -> CommitResult:
    repeat = answer_repeat(work, batch)
    if repeat is not None:
        return repeat
    results: list[WriteResult] = []
    for position, write in enumerate(batch):
        try:
            results.append(_WRITES[type(write)](work, write))
        except ServiceError as error:
            error.refused_write = position
            raise
    remember(work, batch, results)
    return CommitResult(tuple(results), work.time)


_WRITES: dict[type, Callable[[WorkingSet, Any], WriteResult]] = {
    CreateSession: create_session,
    RequireSession: require_session,
    UpdateSession: update_session,
    CreateRequest: create_request,
    RequireRun: require_run,
    RequestCancel: request_cancel,
    FinishRequest: finish_request,
    ChangeState: change_state,
    DeleteState: delete_state,
    AppendEvents: append_events,
    RenewLease: renew_lease,
    FenceProcess: fence_process,
    PutIdempotencyKey: put_idempotency_key,
    ImportRecords: import_records,
}
