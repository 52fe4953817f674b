"""Several writes as one commit."""

from __future__ import annotations

from types import TracebackType
from typing import Generic, Self

from flowstate_client import state_batch as asynchronous
from flowstate_client.state_batch import BatchedRecords, BatchScope
from flowstate_client.state_verbs import StateT_co
from flowstate_client.sync.loop_thread import LoopThread


class ScopeBatch(BatchScope[StateT_co], Generic[StateT_co]):
    """A batch on one record::

    with scope.batch() as batch:
        batch.inc_state(count=1)
        batch.push_state("log", entry)
    print(batch.result.version)

    Committed as one version when the block ends, or not at all if it raises. Raises what the operations raise.
    """

    def __init__(self, thread: LoopThread, batch: asynchronous.ScopeBatch[StateT_co]) -> None:
        vars(self).update(vars(batch))  # the same mutation, which is collected here and committed there
        self._thread = thread
        self._batch = batch

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.run(self._batch.__aexit__(kind, error, trace))
        self.result = self._batch.result


class StateBatch(BatchedRecords):
    """A batch over several records, all or nothing::

        with client.state.batch() as batch:
            batch.session(session_id).patch_state(mode="agent")
            account = batch.user("u1", flow_kind="billing").at(record)
            account.inc_state(credits=-1)
        print(account.result.version)

    Committed when the block ends, or not at all if it raises. At most 16 records and 100 operations. How records are
    named: see ``States``; ``resource="artifact"`` names a resource of the owner, whose state is then meant.
    """

    def __init__(self, thread: LoopThread, batch: asynchronous.StateBatch) -> None:
        vars(self).update(vars(batch))  # the same records, which are collected here and committed there
        self._thread = thread
        self._batch = batch

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.run(self._batch.__aexit__(kind, error, trace))
