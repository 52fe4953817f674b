"""What flow authors write with. Neither gRPC nor a database driver is loaded by it."""

from __future__ import annotations

from flowstate_server.errors import (
    ActionError,
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
from flowstate_server.flows.context import Context, SessionHandle
from flowstate_server.flows.flow import Flow, define_flow
from flowstate_server.flows.handler import handler
from flowstate_server.flows.registry import FlowRegistry
from flowstate_server.flows.resource_handles import (
    CollectionHandle,
    ContentWriter,
    ResourceBatch,
    ResourceHandle,
    ResourceWriter,
)
from flowstate_server.flows.resources import (
    Resource,
    ResourceCollection,
    ResourceView,
    resource,
    resources,
)
from flowstate_server.flows.scope import ScopeHandle, ScopeWriter, StateBatch
from flowstate_server.flows.scope_config import (
    OrgScope as Org,
    RequestScope as Request,
    SessionScope as Session,
    UserScope as User,
)
from flowstate_server.flows.sequencer import Sequencer, sequencer
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
    "Audience",
    "Block",
    "ClientView",
    "CollectionHandle",
    "ConcurrentModificationError",
    "ContentWriter",
    "Context",
    "CrossFlowSchemaConflictError",
    "Flow",
    "FlowDefinitionError",
    "FlowRegistry",
    "FlowStateError",
    "HistoryItem",
    "ItemKind",
    "ItemStream",
    "JournalEntry",
    "Org",
    "Request",
    "Resource",
    "ResourceAlreadyExistsError",
    "ResourceBatch",
    "ResourceCollection",
    "ResourceDeletedError",
    "ResourceHandle",
    "ResourceNotFoundError",
    "ResourceView",
    "ResourceWriter",
    "Retention",
    "SchemaConflictError",
    "ScopeHandle",
    "ScopeKind",
    "ScopeUnavailableError",
    "ScopeWriter",
    "Sequencer",
    "Session",
    "SessionHandle",
    "SessionIdentity",
    "SessionMetadata",
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
    "define_flow",
    "handler",
    "resource",
    "resources",
    "sequencer",
]
