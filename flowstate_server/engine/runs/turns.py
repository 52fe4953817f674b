"""Turns: queued requests whose gate has come to them, begun by whichever server has their flow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from flowstate_server.engine.drawn_fields import DrawnFields
from flowstate_server.engine.logs.following import Following
from flowstate_server.engine.rehearsals import Rehearsals
from flowstate_server.engine.runs.failures import failure_of
from flowstate_server.engine.runs.run import Run
from flowstate_server.engine.runs.run_factory import RunFactory
from flowstate_server.engine.runs.starting_points import loaded_resources, loaded_scopes
from flowstate_server.engine.runs.store_outage import FIRST_PAUSE
from flowstate_server.engine.runs.supervisor import Supervisor
from flowstate_server.engine.runs.unbegun import fail_unbegun
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import (
    ActionNotFoundError,
    FlowNotFoundError,
    InvalidArgumentError,
    LeaseLostError,
    NotFoundError,
    RequestTerminalError,
    StoreUnavailableError,
    UnclearCommitError,
)
from flowstate_server.log_context import about
from flowstate_server.model.clock import SECOND, Seconds
from flowstate_server.model.gates import Turn, decode_turn, turns_of
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.records import Failure, RequestRecord, RequestStatus, moved_on
from flowstate_server.model.scopes import RequestKey, ScopeKind, request_scope
from flowstate_server.programs.author_code import EXITS, contained
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.program import HostedFlow
from flowstate_server.stores.contract.gate_writes import BeginRequest, TurnTaken
from flowstate_server.stores.contract.watch import Topic, TopicKind
from flowstate_server.stores.contract.writes import CommitResult
from flowstate_server.stores.store import Store

_logger = logging.getLogger(__name__)

# Turns of a flow that are read at once. Few are open at any time: they last for as long as it takes to begin.
PAGE = 100
_TAKEN = (TurnTaken, LeaseLostError, NotFoundError, RequestTerminalError)


class Turns:
    """Begins queued requests of the flows that this server has, when it is told that their turn has come, and looks for
    such that nobody was told of every third of a lease.

    Several servers may try: the commit that begins a request lets one of them.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        supervisor: Supervisor,
        factory: RunFactory,
        settings: EngineSettings,
        rehearsals: Rehearsals,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._supervisor = supervisor
        self._factory = factory
        self._settings = settings
        self._rehearsals = rehearsals
        self._beginning: set[RequestKey] = set()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._task = asyncio.create_task(self._follow(), name="turns")

    async def close(self) -> None:
        """Begin no more; what is queued stays for others. What was begun goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        interval = self._settings.renew_interval
        while True:
            kinds = self._catalogue.kinds()
            topics = [Topic(TopicKind.FLOW_DOCUMENTS, NO_TENANT, kind) for kind in kinds]
            with self._store.watch(topics) as watch:
                following = Following(watch, partial(self._look, kinds))
                while kinds == self._catalogue.kinds():
                    await following.next(at_latest=interval)

    async def _look(self, kinds: Sequence[str]) -> None:
        try:
            for kind in kinds:
                await self._look_for(kind)
        except StoreUnavailableError:
            _logger.debug("could not read whose turn it is")
        except Exception:
            _logger.exception("reading whose turn it is broke; it is repeated")

    async def _look_for(self, kind: str) -> None:
        beyond = None
        while True:
            page = await self._store.read_documents(turns_of(kind, limit=PAGE, beyond=beyond))
            for document in page:
                turn = decode_turn(document)
                if turn.request not in self._beginning:
                    self._beginning.add(turn.request)
                    self._supervisor.spawn(self._begin(turn))
            if len(page) < PAGE:
                return
            beyond = page[-1].key.name

    async def _begin(self, turn: Turn) -> None:
        """Begin the request and run it, or leave it to others."""
        try:
            run = await self._begun(turn)
            if run is not None:
                await self._supervisor.execute(run)
        except _TAKEN:
            _logger.debug("request %s was begun or ended meanwhile", turn.request.request_id)
        except StoreUnavailableError:
            _logger.debug("request %s could not be begun; it is tried again", turn.request.request_id)
        except Exception:
            _logger.exception("request %s could not be begun; it is tried again", turn.request.request_id)
        finally:
            self._beginning.discard(turn.request)

    async def _begun(self, turn: Turn) -> Run | None:
        record = await self._store.get_request(turn.request)
        if record is None or record.head.status is not RequestStatus.QUEUED:
            return None
        try:
            hosted = self._catalogue.get(record.flow_kind)
            hosted.described.action(record.action)
        except (FlowNotFoundError, ActionNotFoundError):
            return None  # of another deploy, whose servers have it
        with about(record):
            try:
                value = await _checked_input(hosted, record)
            except InvalidArgumentError as error:
                await fail_unbegun(self._store, record, _outdated(error))
                return None
            except Exception as error:
                await self._fail(record, error)
                return None
            try:
                return await self._run_of(turn, record, hosted, value)
            except (*_TAKEN, StoreUnavailableError):
                raise
            except Exception as error:
                await self._fail(record, error)
                return None

    async def _fail(self, record: RequestRecord, error: Exception) -> None:
        """As its dispatch would have failed: nobody repeats it."""
        described = f'the beginning of request {record.key.request_id} (flow "{record.flow_kind}")'
        await fail_unbegun(self._store, record, failure_of(error, described))

    async def _run_of(self, turn: Turn, record: RequestRecord, hosted: HostedFlow, value: Any) -> Run:
        result = await self._commit(turn, record, hosted)
        begun = result.results[-1]
        if begun.session is None or begun.head is None:
            raise TypeError("the store's result lacks the session or the request")
        timeout = Seconds(record.timeout / SECOND) if record.timeout else None
        return self._factory.make(
            request=moved_on(record, begun.head),
            session=begun.session,
            states=begun.states,
            flow=hosted.described,
            program=hosted.program,
            value=value,
            timeout=timeout,
            documents=begun.documents,
        )

    async def _commit(self, turn: Turn, record: RequestRecord, hosted: HostedFlow) -> CommitResult:
        scopes = {key.kind: key for key in record.scopes}
        limit = self._settings.max_state_bytes
        drawn = DrawnFields(hosted, self._catalogue, limit, self._rehearsals)
        writes = drawn.writes(scopes)
        loaded = scopes | {ScopeKind.REQUEST: request_scope(record.key)}
        action = hosted.described.action(record.action)
        while True:
            process_id = self._supervisor.process_id
            begin = BeginRequest(
                request=record.key,
                gate=record.head.gate,
                expire_time=turn.expire_time,
                process=process_id,
                load=loaded_scopes(hosted.described, action, loaded),
                load_documents=loaded_resources(action, record.head.session, record.head.session_log_id),
            )
            try:
                return await drawn.commit(self._store, (*writes, begin))
            except LeaseLostError:
                await self._supervisor.begin_anew(process_id)
            except UnclearCommitError:  # if it was done, the next attempt finds it so
                await asyncio.sleep(FIRST_PAUSE)


async def _checked_input(hosted: HostedFlow, record: RequestRecord) -> Any:
    try:
        return await hosted.program.check_input(record.action, record.input)
    except EXITS as error:  # which would end the event loop
        raise contained(error) from error


def _outdated(error: InvalidArgumentError) -> Failure:
    text = f"when its turn came, the input did not fit the action any more: {error}"
    return Failure("INPUT_OUTDATED", text)
