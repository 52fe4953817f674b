"""Calls that come twice: remembered under an idempotency key, or dispatched under a request id again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from flowstate_server.errors import IdempotencyKeyReusedError
from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document
from flowstate_server.model.identity import Tenant
from flowstate_server.model.json_values import Json, decode_json, encode_json
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.commit.request_writes import attached_to
from flowstate_server.stores.commit.working_set import WorkingSet
from flowstate_server.stores.contract.tables import DOCUMENTS, SESSIONS, Needs
from flowstate_server.stores.contract.writes import (
    Batch,
    CommitResult,
    CreateRequest,
    PutIdempotencyKey,
    WriteResult,
)


def need_key(write: PutIdempotencyKey, needs: Needs) -> None:
    needs.add(DOCUMENTS, write.key.document)


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


def remember(
    work: WorkingSet, batch: Batch, results: Sequence[WriteResult], needs_of: Callable[[Batch], Needs]
) -> None:
    for write in batch:
        if type(write) is PutIdempotencyKey and write.window > 0:
            reply: list[Json] = [
                [result.id, result.version, result.changed, *result.ids] for result in results
            ]
            key = write.key.document
            known = work.documents.get(key)
            record = Document(
                key,
                version=1 if known is None else known.version + 1,
                incarnation="",  # nobody asks for it, and to draw one takes as long as all the rest
                text=encode_json([write.fingerprint, reply, _belongs_to(work, needs_of(batch))]),
                create_time=work.time,
                update_time=work.time,
                expire_time=Micros(work.time + write.window),
            )
            work.documents.put(key, record)


def _replay(work: WorkingSet, write: PutIdempotencyKey) -> tuple[WriteResult, ...] | None:
    remembered = work.documents.find(write.key.document)
    if remembered is None:
        return None
    fingerprint, reply, *belongs_to = cast("list[Any]", decode_json(remembered.text))
    if belongs_to and not _is_there(work, belongs_to[0]):
        return None
    if fingerprint != write.fingerprint:
        raise IdempotencyKeyReusedError
    return tuple([_result(*one) for one in reply])


def _belongs_to(work: WorkingSet, needs: Needs) -> Json:
    """The sessions that a batch has written in, by key and incarnation."""
    sessions = [work.sessions.get(key) for key in sorted(needs.of(SESSIONS))]
    return [[*one.key, one.log_id] for one in sessions if one is not None and not one.deleted]


def _is_there(work: WorkingSet, written: list[list[str]]) -> bool:
    """Whether the sessions live in the incarnations that they had."""
    known = [(SessionKey(Tenant(tenant), id), log_id) for tenant, id, log_id in written]
    work.require([(SESSIONS, key) for key, _ in known])
    sessions = [(work.sessions.get(key), log_id) for key, log_id in known]
    return all(one is not None and not one.deleted and one.log_id == log_id for one, log_id in sessions)


def _result(id: str, version: int, changed: bool, *ids: str) -> WriteResult:
    return WriteResult(id=id, version=version, changed=changed, ids=ids)
