"""Running a group: lock and load, decide, write, in one transaction and four round trips."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from flowstate_server.stores.contract.backend import Conflict, Group, GroupStorage
from flowstate_server.stores.contract.tables import Changes, Loaded
from flowstate_server.stores.contract.watch import Topic
from flowstate_server.stores.postgres.commit_notifier import CommitNotifier
from flowstate_server.stores.postgres.commit_poller import CommitPoller
from flowstate_server.stores.postgres.connections import Connections, let_go
from flowstate_server.stores.postgres.driver_errors import DRIVER_ERRORS, described, is_loss, translating
from flowstate_server.stores.postgres.key_locks import lock_keys
from flowstate_server.stores.postgres.loading import Loader
from flowstate_server.stores.postgres.store_clock import StoreClock
from flowstate_server.stores.postgres.unclear_commits import is_committed
from flowstate_server.stores.postgres.writing import Writer, Written
from flowstate_server.stores.tables.state_parts import LargeStates

_log = logging.getLogger(__name__)


class PostgresStorage(GroupStorage):
    def __init__(
        self,
        connections: Connections,
        clock: StoreClock,
        poller: CommitPoller,
        notifier: CommitNotifier,
    ) -> None:
        self._connections = connections
        self._clock = clock
        self._poller = poller
        self._notifier = notifier
        self._writer = Writer()
        self._large_states = LargeStates()

    async def run(self, group: Group) -> Iterable[Topic]:
        with translating():
            try:
                written, topics = await self._attempt(group)
            except _LostBeforeCommitError as lost:
                _log.info("Postgres was lost in a group, which is repeated: %s", described(lost.error))
                try:
                    written, topics = await self._attempt(group)
                except _LostBeforeCommitError as again:
                    raise again.error from None
        if written is not None:
            self._poller.skip(written.commit)
            if topics:
                self._notifier.tell(written.commit)
        return topics

    async def _attempt(self, group: Group) -> tuple[Written | None, list[Topic]]:
        async with self._connections.working() as connection:
            try:
                written, changes, loaded = await self._transaction(connection, group)
            except DRIVER_ERRORS as error:
                if not is_loss(error) or isinstance(error, TimeoutError):
                    raise
                let_go(connection)
                await self._connections.replace()
                raise _LostBeforeCommitError(error) from error
            if written is not None:
                await self._commit(connection, written)
                self._large_states.learn(changes, loaded)
            return written, changes.topics

    async def _transaction(self, connection: Any, group: Group) -> tuple[Written | None, Changes, Loaded]:
        """All but its COMMIT."""
        await self._begin(connection)
        try:
            loader = Loader(connection, self._clock.latest, self._large_states)
            ready = await loader.load(group)
            self._clock.seen(loader.loaded.time)
            changes = group.decide(loader.loaded, ready)
            absent = loader.absent(group, changes)
            if changes.empty:
                if absent:
                    await loader.look_again(absent)
                await connection.execute("ROLLBACK", timeout=self._connections.begin_seconds)
                return None, changes, loader.loaded
            await lock_keys(connection, absent, changes)
            written = await self._writer.write(connection, changes, loader.loaded, loader.numbers, absent)
        except BaseException as error:
            await self._roll_back(connection, error)
            raise
        return written, changes, loader.loaded

    async def _begin(self, connection: Any) -> None:
        try:
            await connection.execute(self._connections.begin, timeout=self._connections.begin_seconds)
        except TimeoutError:
            # Unlike later ones this can't be a statement that only takes long.
            raise ConnectionResetError("no answer to BEGIN") from None

    async def _roll_back(self, connection: Any, error: BaseException) -> None:
        """Or let go of the connection, which rolls back as well."""
        if is_loss(error):
            let_go(connection)
            return
        try:
            await connection.execute("ROLLBACK", timeout=self._connections.begin_seconds)
        except DRIVER_ERRORS:
            let_go(connection)

    async def _commit(self, connection: Any, written: Written) -> None:
        try:
            done = await connection.execute("COMMIT")
        except DRIVER_ERRORS as error:
            _log.warning("Postgres has not answered a commit: %s", described(error))
            let_go(connection)
            if is_loss(error):
                await self._connections.replace()
            if not await is_committed(self._connections, written):
                raise Conflict from None
        else:
            if done != "COMMIT":
                raise Conflict


class _LostBeforeCommitError(Exception):
    """The connection was lost, and with it all that the group has done."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error
