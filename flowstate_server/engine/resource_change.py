"""From what a write brings to the pure change of a resource that a store applies inside its transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

from flowstate_server.engine.rehearsals import Rehearsed
from flowstate_server.engine.state_change import ChangeRules, made_state
from flowstate_server.engine.upgrades import RecordUpgrades
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.frozen import frozen
from flowstate_server.model.items import FOR_CLIENTS
from flowstate_server.model.json_values import encode_json
from flowstate_server.model.parsed_states import state_record
from flowstate_server.model.payloads import ResourceChange as Told
from flowstate_server.model.records import StateRecord
from flowstate_server.model.resources import ContentRecord, ResourceRecord
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.description import FlowDescription
from flowstate_server.programs.resources import ResourceDescription
from flowstate_server.schemas.scope_schema import ScopeSchema
from flowstate_server.state.difference import Difference
from flowstate_server.state.operations import Operation
from flowstate_server.stores.contract.resource_writes import Gone, ResourceChange, ResourceChanged
from flowstate_server.stores.contract.writes import NO_CHANGE, NoChange

_NO_DECLARATIONS: Mapping[str, str] = {}


class Kept(Enum):
    """Content that a write leaves as it is."""

    KEPT = "kept"


KEPT: Final = Kept.KEPT
NewContent = ContentRecord | None | Kept


@frozen
class ResourceRules:
    """What governs the changes of a resource: how it is declared, and what governs those of its state.

    There are no generations of it: what is stored is what is read.
    """

    described: ResourceDescription
    state: ChangeRules

    @classmethod
    def of(
        cls, flow: FlowDescription, described: ResourceDescription, max_bytes: int, catalogue: Catalogue
    ) -> ResourceRules:
        def make() -> ResourceRules:
            return cls(
                described,
                ChangeRules(
                    writer=flow.kind,
                    schema=described.schema,
                    declarations=_NO_DECLARATIONS,
                    upgrades=RecordUpgrades(described.scope, ()),
                    max_bytes=max_bytes,
                    transient=not flow.persist_state_changes,
                    resource=described.name,
                ),
            )

        return catalogue.remembered((cls, flow, described.scope, described.name, max_bytes), make)

    @property
    def schema(self) -> ScopeSchema:
        return self.described.schema

    @property
    def collection(self) -> str:
        """The pattern under which its instances count, empty for a single one."""
        return self.described.name if self.described.collection else ""

    def gone(self, path: tuple[str, ...] = ()) -> Gone:
        """What is told of the deletion of a resource."""

        def told(record: ResourceRecord) -> tuple[Event, ...]:
            payload = Told(
                scope=record.key.scope.kind,
                name=record.key.name,
                previous_version=record.version,
                version=record.version + 1,
                deleted=True,
                content_changed=record.content is not None,
                schema=self.schema.hash,
            )
            return (self._event(payload, path),)

        return told

    def changed(
        self, record: ResourceRecord, told: Difference, content_changed: bool, path: tuple[str, ...]
    ) -> Event:
        payload = Told(
            scope=record.key.scope.kind,
            name=record.key.name,
            previous_version=record.version,
            version=record.version + 1,
            changed=told.changed,
            removed=told.removed,
            stale=told.stale,
            content_changed=content_changed,
            schema=self.schema.hash,
        )
        return self._event(payload, path)

    def _event(self, payload: Told, path: tuple[str, ...]) -> Event:
        return Event(
            EventType.RESOURCE_CHANGE,
            payload.encode(),
            FOR_CLIENTS,
            transient=self.state.transient,
            block_path=path,
        )


def resource_change(
    operations: Sequence[Operation],
    rules: ResourceRules,
    path: tuple[str, ...] = (),
    *,
    content: NewContent = KEPT,
    media_type: str | None = None,
    makes: bool = True,
    rehearsed: Rehearsed | None = None,
) -> ResourceChange:
    """The change that a write makes, with its ``resource_change`` event; see ``state_change`` for its operations.

    Content with the same bytes is kept, and so is a ``media_type`` of ``None``. ``makes``: a resource that is not there
    is made even of nothing.
    """

    def change(record: ResourceRecord) -> ResourceChanged | NoChange:
        made = made_state(state_of(record), operations, rules.state, rehearsed=rehearsed)
        brought = record.content if content is KEPT or record.same_content(content) else content
        kind = record.media_type if media_type is None else media_type
        same = made is None and brought == record.content and kind == record.media_type
        if same and (record.exists or not makes):
            return NO_CHANGE
        state = record.state if made is None else made.whole
        text = made.text if made is not None and isinstance(made.text, bytes) else encode_json(state)
        told = Difference() if made is None else made.told
        event = rules.changed(record, told, brought != record.content, path)
        return ResourceChanged(state, text, brought, kind, (event,))

    return change


def state_of(record: ResourceRecord) -> StateRecord:
    """Its state as operations, rehearsals and readings take it; without its text."""
    if not record.exists:
        return StateRecord(record.key.scope, version=record.version)
    return state_record(
        record.key.scope,
        version=record.version,
        incarnation=record.incarnation,
        state=record.state,
        text=b"",
        create_time=record.create_time,
        update_time=record.update_time,
    )
