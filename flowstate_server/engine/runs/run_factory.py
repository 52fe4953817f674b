"""From a stored request to its run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flowstate_server.engine.records.contents import Contents
from flowstate_server.engine.records.resource_writing import ResourceWriting
from flowstate_server.engine.rehearsals import Rehearsals
from flowstate_server.engine.runs.flush_pace import FlushPace
from flowstate_server.engine.runs.items import RunHistory, RunItems
from flowstate_server.engine.runs.program_run import RunParts
from flowstate_server.engine.runs.recorder import Recorder
from flowstate_server.engine.runs.run import Run
from flowstate_server.engine.runs.run_journal import RunJournal
from flowstate_server.engine.runs.run_resources import ResourceTools, RunResources
from flowstate_server.engine.runs.run_scope import KeyedLocks, RunScope
from flowstate_server.engine.runs.run_session import RunSession
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.engine.state_change import ChangeRules
from flowstate_server.model.clock import Seconds
from flowstate_server.model.documents import Document
from flowstate_server.model.records import RequestRecord, SessionRecord, StateRecord
from flowstate_server.model.scopes import ScopeKey, ScopeKind, request_scope
from flowstate_server.observation import Observer
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.description import FlowDescription
from flowstate_server.programs.program import Program
from flowstate_server.programs.run_context import SessionIdentity
from flowstate_server.stores.store import Store

_NO_RESOURCES: Mapping[ScopeKind, RunResources] = {}


class RunFactory:
    """Makes the runs of requests that the store holds in progress for this process. Nothing else makes one."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        settings: EngineSettings,
        observer: Observer,
        rehearsals: Rehearsals,
        contents: Contents,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._settings = settings
        self._pace = FlushPace(settings)
        self._observer = observer
        self.dependencies: Sequence[object] = ()  # once the engine has opened its lifespan
        self._locks: KeyedLocks[ScopeKey] = KeyedLocks()
        self._rehearsals = rehearsals
        self._resource_tools = ResourceTools(
            store=store,
            catalogue=catalogue,
            writing=ResourceWriting(store, settings, rehearsals),
            contents=contents,
            locks=KeyedLocks(),
            max_state_bytes=settings.max_state_bytes,
        )

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
        documents: Iterable[Document] = (),
    ) -> Run:
        """The run of ``request``, made in ``session``.

        ``states`` are those of its scopes that were loaded; another one is taken for never written until the run
        reads or writes it. ``documents`` are the resources of the session that were loaded. ``value`` is the request's
        input as ``program`` takes it, ``timeout`` in seconds.
        """
        head = request.head
        recorder = Recorder(self._store, head.key, head.session, head.process, self._settings, self._pace)
        items = RunItems(recorder, head, self._settings)
        history = RunHistory(self._store, head, items, flow.history_window)
        scopes = self._scopes(request, states, flow, recorder)
        parts = RunParts(
            head=head,
            flow_kind=flow.kind,
            scopes=scopes,
            resources=self._resources(request, session, flow, recorder, scopes, documents)
            if flow.resources
            else _NO_RESOURCES,
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
                loaded=key in loaded,
            )
            for key in (*request.scopes, request_scope(request.key))
        }

    def _resources(
        self,
        request: RequestRecord,
        session: SessionRecord,
        flow: FlowDescription,
        recorder: Recorder,
        scopes: Mapping[ScopeKind, RunScope],
        documents: Iterable[Document],
    ) -> dict[ScopeKind, RunResources]:
        action = flow.actions.get(request.action)
        declared = () if action is None else action.resources
        resources: dict[ScopeKind, RunResources] = {
            kind: RunResources(
                scope,
                session,
                flow,
                request.key,
                recorder,
                self._resource_tools,
                tuple([name for where, name in declared if where is kind]),
            )
            for kind, scope in scopes.items()
            if kind is not ScopeKind.REQUEST
        }
        resources[ScopeKind.SESSION].take(documents)
        return resources


def _identity(session: SessionRecord) -> SessionIdentity:
    return SessionIdentity(
        session_id=session.key.session_id,
        user_id=session.user_id,
        org_id=session.org_id,
        tenant=session.key.tenant,
    )
