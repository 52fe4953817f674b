"""From a stored request to its run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from flowstate_server.engine.rehearsals import Rehearsals
from flowstate_server.engine.runs.items import RunHistory, RunItems
from flowstate_server.engine.runs.program_run import RunParts
from flowstate_server.engine.runs.recorder import Recorder
from flowstate_server.engine.runs.run import Run
from flowstate_server.engine.runs.run_journal import RunJournal
from flowstate_server.engine.runs.run_scope import KeyedLocks, RunScope
from flowstate_server.engine.runs.run_session import RunSession
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.engine.state_change import ChangeRules
from flowstate_server.model.clock import Seconds
from flowstate_server.model.records import RequestRecord, SessionRecord, StateRecord
from flowstate_server.model.scopes import ScopeKey, ScopeKind, request_scope
from flowstate_server.observation import Observer
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.description import FlowDescription
from flowstate_server.programs.program import Program
from flowstate_server.programs.run_context import SessionIdentity
from flowstate_server.stores.store import Store


class RunFactory:
    """Makes the runs of requests that the store holds in progress for this process. Nothing else makes one."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        settings: EngineSettings,
        observer: Observer,
        rehearsals: Rehearsals,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._settings = settings
        self._observer = observer
        self.dependencies: Sequence[object] = ()  # once the engine has opened its lifespan
        self._locks: KeyedLocks[ScopeKey] = KeyedLocks()
        self._rehearsals = rehearsals

    def make(
        self,
        *,
        request: RequestRecord,
        session: SessionRecord,
        states: Iterable[StateRecord],
        flow: FlowDescription,
        program: Program,
        value: Any,
        timeout: Seconds | None,
    ) -> Run:
        """The run of ``request``, made in ``session``.

        ``states`` are those of its scopes that were loaded; another one is taken for never written until the run
        reads or writes it. ``value`` is the request's input as ``program`` takes it, ``timeout`` in seconds.
        """
        head = request.head
        recorder = Recorder(self._store, head.key, head.session, head.process, self._settings)
        items = RunItems(recorder, head, self._settings)
        history = RunHistory(self._store, head, items, flow.history_window)
        parts = RunParts(
            head=head,
            flow_kind=flow.kind,
            scopes=self._scopes(request, states, flow, recorder),
            session=RunSession(session, _identity(session), head, recorder, history),
            journal=RunJournal(self._store, session, head, recorder, self._settings),
            items=items,
            recorder=recorder,
            observer=self._observer,
            loop=asyncio.get_running_loop(),
            dependencies=self.dependencies,
        )
        return Run(
            record=request,
            program=program,
            value=value,
            parts=parts,
            settings=self._settings,
            timeout=timeout,
        )

    def _scopes(
        self, request: RequestRecord, states: Iterable[StateRecord], flow: FlowDescription, recorder: Recorder
    ) -> dict[ScopeKind, RunScope]:
        loaded = {state.key: state for state in states}
        return {
            key.kind: RunScope(
                record=loaded.get(key) or StateRecord(key),
                rules=ChangeRules.of(flow, key.kind, self._settings.max_state_bytes, self._catalogue),
                request=request.key,
                recorder=recorder,
                store=self._store,
                locks=self._locks,
                cas_attempts=flow.cas_attempts,
                rehearsals=self._rehearsals,
            )
            for key in (*request.scopes, request_scope(request.key))
        }


def _identity(session: SessionRecord) -> SessionIdentity:
    return SessionIdentity(
        session_id=session.key.session_id,
        user_id=session.user_id,
        org_id=session.org_id,
        tenant=session.key.tenant,
    )
