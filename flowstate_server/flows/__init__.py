"""What flow authors write with. Neither gRPC nor a database driver is loaded by it."""

from __future__ import annotations

from flowstate_server.errors import (
    ActionError,
    AmbiguousBlockNameError,
    BlockStateUnavailableError,
    ConcurrentModificationError,
    CrossFlowSchemaConflictError,
    FlowDefinitionError,
    FlowStateError,
    ResourceAlreadyExistsError,
    ResourceDeletedError,
    ResourceNotFoundError,
    SchemaConflictError,
    ScopeUnavailableError,
    StateFieldAbsentError,
    StateTooLargeError,
    StateTypeConflictError,
    StateValidationError,
    TooManyResourcesError,
    VersionMismatchError,
)
from flowstate_server.flows.action import Action, action
from flowstate_server.flows.block import Block
from flowstate_server.flows.client_view import ClientView, View
from flowstate_server.flows.concurrency import ConcurrencyPolicy, allow, interrupt, queue, reject
from flowstate_server.flows.context import Context, SessionHandle
from flowstate_server.flows.flow import Flow, define_flow
from flowstate_server.flows.generation.prompt import Prompt
from flowstate_server.flows.generator import Generator, generator
from flowstate_server.flows.handler import handler
from flowstate_server.flows.reading import ReadingContext, ScopeReading, SessionReading
from flowstate_server.flows.registry import FlowRegistry
from flowstate_server.flows.rescued import Rescued
from flowstate_server.flows.resource_handles import (
    CollectionHandle,
    ContentWriter,
    ResourceBatch,
    ResourceHandle,
    ResourceWriter,
)
from flowstate_server.flows.resource_reading import CollectionReading, ResourceReading
from flowstate_server.flows.resources import (
    Resource,
    ResourceCollection,
    ResourceView,
    resource,
    resources,
)
from flowstate_server.flows.router import Router, router
from flowstate_server.flows.scope import ScopeHandle, ScopeWriter, StateBatch
from flowstate_server.flows.scope_config import Org, Request, Session, User
from flowstate_server.flows.sequencer import Sequencer
from flowstate_server.flows.sequencer_beginning import sequencer
from flowstate_server.model.items import Audience, ItemKind
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.history import HistoryItem, Tokens, Turns
from flowstate_server.programs.journal import JournalEntry
from flowstate_server.programs.keeping import Retention
from flowstate_server.programs.run_context import ItemStream, SessionIdentity, SessionMetadata
from flowstate_server.state.write import StateWrite

__all__ = [
    "Action",
    "ActionError",
    "AmbiguousBlockNameError",
    "Audience",
    "Block",
    "BlockStateUnavailableError",
    "ClientView",
    "CollectionHandle",
    "CollectionReading",
    "ConcurrencyPolicy",
    "ConcurrentModificationError",
    "ContentWriter",
    "Context",
    "CrossFlowSchemaConflictError",
    "Flow",
    "FlowDefinitionError",
    "FlowRegistry",
    "FlowStateError",
    "Generator",
    "HistoryItem",
    "ItemKind",
    "ItemStream",
    "JournalEntry",
    "Org",
    "Prompt",
    "ReadingContext",
    "Request",
    "Rescued",
    "Resource",
    "ResourceAlreadyExistsError",
    "ResourceBatch",
    "ResourceCollection",
    "ResourceDeletedError",
    "ResourceHandle",
    "ResourceNotFoundError",
    "ResourceReading",
    "ResourceView",
    "ResourceWriter",
    "Retention",
    "Router",
    "SchemaConflictError",
    "ScopeHandle",
    "ScopeKind",
    "ScopeReading",
    "ScopeUnavailableError",
    "ScopeWriter",
    "Sequencer",
    "Session",
    "SessionHandle",
    "SessionIdentity",
    "SessionMetadata",
    "SessionReading",
    "StateBatch",
    "StateFieldAbsentError",
    "StateTooLargeError",
    "StateTypeConflictError",
    "StateValidationError",
    "StateWrite",
    "Tokens",
    "TooManyResourcesError",
    "Turns",
    "User",
    "VersionMismatchError",
    "View",
    "action",
    "allow",
    "define_flow",
    "generator",
    "handler",
    "interrupt",
    "queue",
    "reject",
    "resource",
    "resources",
    "router",
    "sequencer",
]
