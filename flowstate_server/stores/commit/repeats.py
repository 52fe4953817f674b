"""Calls that come twice: remembered under an idempotency key, or dispatched under a request id again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from flowstate_server.errors import IdempotencyKeyReusedError
from flowstate_server.model.json_values import decode_json, encode_json
from flowstate_server.model.records import IdempotencyRecord
from flowstate_server.stores.commit.request_writes import attached_to
from flowstate_server.stores.commit.working_set import WorkingSet
from flowstate_server.stores.contract.writes import (
    Batch,
    CommitResult,
    CreateRequest,
    PutIdempotencyKey,
    WriteResult,
)


def answer_repeat(work: WorkingSet, batch: Batch) -> CommitResult | None:
    """The answer of a batch that was committed before."""
    for write in batch:
        if type(write) is PutIdempotencyKey:
            replay = _replay(work, write)
            if replay is not None:
                return CommitResult(replay, work.time, replayed=True)
    for write in batch:
        if type(write) is CreateRequest:
            head = attached_to(work, write)
            if head is not None:
                return CommitResult((), work.time, attached=head)
    return None


def put_idempotency_key(work: WorkingSet, write: PutIdempotencyKey) -> WriteResult:
    return WriteResult()


def remember(work: WorkingSet, batch: Batch, results: Sequence[WriteResult]) -> None:
    for write in batch:
        if type(write) is PutIdempotencyKey:
            reply = encode_json([[result.id, result.version, result.changed] for result in results])
            record = IdempotencyRecord(write.key, write.fingerprint, reply, work.time + write.window)
            work.idempotency_keys.put(write.key, record)


def _replay(work: WorkingSet, write: PutIdempotencyKey) -> tuple[WriteResult, ...] | None:
    remembered = work.idempotency_keys.get(write.key)
    if remembered is None or remembered.expire_time <= work.time:
        return None
    if remembered.fingerprint != write.fingerprint:
        raise IdempotencyKeyReusedError
    reply = cast(list[tuple[str, int, bool]], decode_json(remembered.reply))
    return tuple(WriteResult(id=id_, version=version, changed=changed) for id_, version, changed in reply)
