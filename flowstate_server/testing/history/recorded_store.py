"""Records what goes through a store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flowstate_server.errors import FlowStateError, StoreUnavailableError, VersionMismatchError
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import ScopeKey
from flowstate_server.stores.contract.writes import (
    Batch,
    ChangeState,
    CommitResult,
    DeleteState,
    PutIdempotencyKey,
    WriteResult,
)
from flowstate_server.stores.store import Store
from flowstate_server.testing.history.calls import Answer, Delete, Part, Read, Write
from flowstate_server.testing.history.meaning import operations_of
from flowstate_server.testing.history.recording import Recorder, answer, refuse


class RecordedStore:
    """Commits and reads states through ``store``, and records them.

    What is recorded of a batch are its ``ChangeState`` whose change is a
    :func:`~flowstate_server.testing.history.meaning.change_of`, its ``DeleteState`` and its ``PutIdempotencyKey``.
    """

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self.store = store
        self.recorder = recorder

    async def commit(self, batch: Batch) -> CommitResult:
        """See :meth:`Store.commit`."""
        recorded = {number: part for number, write in enumerate(batch) if (part := _part(write)) is not None}
        key = next((repr(write.key) for write in batch if isinstance(write, PutIdempotencyKey)), "")
        with self.recorder.call(tuple(recorded.values()), key) as call:
            try:
                result = await self.store.commit(batch)
            except StoreUnavailableError:
                raise
            except FlowStateError as error:
                refuse(call, error, error.current if isinstance(error, VersionMismatchError) else None)
                raise
            if result.attached is None:
                answers = [_answer(result.results[number]) for number in recorded]
                answer(call, answers, replayed=result.replayed)
            return result

    async def load_states(self, keys: Iterable[ScopeKey]) -> Mapping[ScopeKey, StateRecord]:
        """See :meth:`Store.load_states`."""
        wanted = tuple(keys)
        with self.recorder.call([Read(key) for key in wanted]) as call:
            states = await self.store.load_states(wanted)
            records = [states[key] for key in wanted]
            answer(call, [Answer(one.version, exists=one.exists, state=one.state) for one in records])
            return states


def _part(write: object) -> Part | None:
    if isinstance(write, ChangeState):
        operations = operations_of(write.change)
        return None if operations is None else Write(write.key, operations, write.precondition)
    if isinstance(write, DeleteState):
        return Delete(write.key, write.precondition)
    return None


def _answer(result: WriteResult) -> Answer:
    state = result.state
    return Answer(
        result.version,
        changed=result.changed,
        exists=None if state is None else state.exists,
        state=None if state is None else state.state,
    )
