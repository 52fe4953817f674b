"""Async Python client of FlowState.

::

    from flowstate_client import FlowStateClient, ItemDelta, RequestFailed

    async with FlowStateClient.connect("127.0.0.1:7437", tenant="acme", user="u1") as client:
        session = await client.sessions.create("chat", title="First talk")

        # An action as a function call.
        answer = await client.flows.call("chat", "say", {"message": "hi"}, session_id=session.id, output=str)

        # Start it, follow it, take its result. The stream survives lost connections.
        run = await client.flows.dispatch("chat", "say", {"message": "go on"}, session_id=session.id)
        async for event in run.events():
            match event:
                case ItemDelta(text=text):
                    print(text, end="")
                case RequestFailed(failure=failure):
                    print(failure.message)
        answer = await run.result(str, timeout=60)

        # What the flow shows of its state.
        view = await client.sessions.snapshot(session.id)
        print(view.client_data["session"])

        # A conversation: what was said, and whatever comes, over all its requests.
        async for item in client.sessions.items(session.id, last_turns=20):
            print(item.role, item.content)
        async for event in client.sessions.events(session.id, after=view.cursor):
            print(event.type)
        # And whenever it changes, until the session is deleted. `run.events().with_view()` has both, events and views.
        async for view in client.sessions.watch(session.id):
            print(view.client_data["session"])

        # State, for trusted callers: connect(..., plane="trusted"), or with such a token.
        await client.state.session(session.id).inc_state(message_count=1)

        # What goes with a session: named, with a state and a content.
        async for resource in client.resources.session(session.id).list():
            print(resource.name, resource.size)

        # Notes about a session, for trusted callers.
        await client.journal.append(session.id, "paid", source="billing", data={"amount": 3})

Inputs, outputs and state are pydantic models, dataclasses, TypedDicts or plain JSON values. What cannot be sent is a
``ValueError`` before anything is sent; all else that fails is a :class:`FlowStateError`. Calls that change something
carry an id or a key made once, so they are repeated without harm while the server is away. What tests of such code
need is in :mod:`flowstate_client.testing`.
"""

import sys as _sys

from flowstate_client.client import FlowStateClient
from flowstate_client.codec import Codec, JsonCodec
from flowstate_client.config import Backoff, ClientConfig, client_version as _client_version
from flowstate_client.content_stream import ContentStream, Progress
from flowstate_client.correlation import FinishedCall, OnCall, correlation_id
from flowstate_client.error_places import FieldViolation, MutationAtFault
from flowstate_client.errors import (
    ActionAborted,
    ActionFailed,
    ActionInterrupted,
    ActionNotFound,
    AlreadyExists,
    ApiError,
    Cancelled,
    ClientClosedError,
    ClientError,
    ConcurrencyRejected,
    ConcurrentModificationError,
    ConflictError,
    ConnectError,
    CursorAhead,
    CursorLogMismatch,
    DataLoss,
    DeadlineExceeded,
    EventsCompacted,
    FeatureUnavailable,
    FlowBindingMismatch,
    FlowNotFound,
    FlowStateError,
    IdempotencyKeyReused,
    InternalError,
    InvalidArgument,
    InvalidJson,
    NotFound,
    OrgBindingMismatch,
    OutOfRange,
    PermissionDenied,
    PreconditionError,
    ProtocolError,
    QueueFull,
    RateLimited,
    RequestNotFound,
    RequestTerminal,
    ResourceDeleted,
    ResourceExhausted,
    ResourceNotFound,
    ResponseValidationError,
    SchemaViolation,
    ScopeUnavailable,
    SessionNotFound,
    SlowConsumer,
    StateTypeConflict,
    TimeoutError as TimeoutError,
    TooLarge,
    TooManyStreams,
    Unauthenticated,
    Unavailable,
    ValidationFailed,
    VersionMismatch,
    hides_our_frames as _hides_our_frames,
)
from flowstate_client.event_view import EventsWithView, Moment
from flowstate_client.events import (
    BlockCompleted,
    BlockFailed,
    BlockStarted,
    CustomEvent,
    Event,
    ItemAdded,
    ItemDelta,
    ItemDone,
    ItemRemoved,
    ModelUsage,
    RequestAborted,
    RequestCompleted,
    RequestCreated,
    RequestFailed,
    RequestInProgress,
    RequestInterrupted,
    RequestQueued,
    ResourceChange,
    RouterDecided,
    SessionMetadataChanged,
    StateChange,
    StatusUpdate,
    TerminalEvent,
    Trimmed,
    UnknownEvent,
)
from flowstate_client.flow_info import ActionInfo, FlowInfo, ResourceInfo, ScopeInfo
from flowstate_client.flows import UNSET, Flows
from flowstate_client.items import NewItem
from flowstate_client.journal import JournalEntry, JournalNote, Journals
from flowstate_client.metadata import MetadataProvider, Plane
from flowstate_client.models import (
    Cursor,
    Failure,
    Item,
    Limits,
    RequestStatus,
    RunRecord,
    Scope,
    ServerInfo,
    StateWrite,
)
from flowstate_client.paging import AsyncPager, Page
from flowstate_client.resource_errors import ResourceAlreadyExists, TooManyResources
from flowstate_client.resource_handle import ResourceHandle, ResourceView
from flowstate_client.resource_record import ResourceRecord
from flowstate_client.resources import OwnedResources, Resources
from flowstate_client.runs import ActionStream, RunHandle
from flowstate_client.server import Server
from flowstate_client.session import ResolvedSession, Session
from flowstate_client.sessions import Sessions
from flowstate_client.snapshots import Snapshot
from flowstate_client.state import ScopeHandle, StateRecord, States
from flowstate_client.state_batch import BatchScope, ScopeBatch, Seen, StateBatch
from flowstate_client.stream import EventStream
from flowstate_client.uploads import ContentSource
from flowstate_client.watch import SnapshotWatch

__version__ = _client_version()

# Without TimeoutError, which is a kind of Python's own: `import *` must not put it in its place.
__all__ = [
    "UNSET",
    "ActionAborted",
    "ActionFailed",
    "ActionInfo",
    "ActionInterrupted",
    "ActionNotFound",
    "ActionStream",
    "AlreadyExists",
    "ApiError",
    "AsyncPager",
    "Backoff",
    "BatchScope",
    "BlockCompleted",
    "BlockFailed",
    "BlockStarted",
    "Cancelled",
    "ClientClosedError",
    "ClientConfig",
    "ClientError",
    "Codec",
    "ConcurrencyRejected",
    "ConcurrentModificationError",
    "ConflictError",
    "ConnectError",
    "ContentSource",
    "ContentStream",
    "Cursor",
    "CursorAhead",
    "CursorLogMismatch",
    "CustomEvent",
    "DataLoss",
    "DeadlineExceeded",
    "Event",
    "EventStream",
    "EventsCompacted",
    "EventsWithView",
    "Failure",
    "FeatureUnavailable",
    "FieldViolation",
    "FinishedCall",
    "FlowBindingMismatch",
    "FlowInfo",
    "FlowNotFound",
    "FlowStateClient",
    "FlowStateError",
    "Flows",
    "IdempotencyKeyReused",
    "InternalError",
    "InvalidArgument",
    "InvalidJson",
    "Item",
    "ItemAdded",
    "ItemDelta",
    "ItemDone",
    "ItemRemoved",
    "JournalEntry",
    "JournalNote",
    "Journals",
    "JsonCodec",
    "Limits",
    "MetadataProvider",
    "ModelUsage",
    "Moment",
    "MutationAtFault",
    "NewItem",
    "NotFound",
    "OnCall",
    "OrgBindingMismatch",
    "OutOfRange",
    "OwnedResources",
    "Page",
    "PermissionDenied",
    "Plane",
    "PreconditionError",
    "Progress",
    "ProtocolError",
    "QueueFull",
    "RateLimited",
    "RequestAborted",
    "RequestCompleted",
    "RequestCreated",
    "RequestFailed",
    "RequestInProgress",
    "RequestInterrupted",
    "RequestNotFound",
    "RequestQueued",
    "RequestStatus",
    "RequestTerminal",
    "ResolvedSession",
    "ResourceAlreadyExists",
    "ResourceChange",
    "ResourceDeleted",
    "ResourceExhausted",
    "ResourceHandle",
    "ResourceInfo",
    "ResourceNotFound",
    "ResourceRecord",
    "ResourceView",
    "Resources",
    "ResponseValidationError",
    "RouterDecided",
    "RunHandle",
    "RunRecord",
    "SchemaViolation",
    "Scope",
    "ScopeBatch",
    "ScopeHandle",
    "ScopeInfo",
    "ScopeUnavailable",
    "Seen",
    "Server",
    "ServerInfo",
    "Session",
    "SessionMetadataChanged",
    "SessionNotFound",
    "Sessions",
    "SlowConsumer",
    "Snapshot",
    "SnapshotWatch",
    "StateBatch",
    "StateChange",
    "StateRecord",
    "StateTypeConflict",
    "StateWrite",
    "States",
    "StatusUpdate",
    "TerminalEvent",
    "TooLarge",
    "TooManyResources",
    "TooManyStreams",
    "Trimmed",
    "Unauthenticated",
    "Unavailable",
    "UnknownEvent",
    "ValidationFailed",
    "VersionMismatch",
    "correlation_id",
]

for _name, _module in list(_sys.modules.items()):
    if _name.startswith(f"{__name__}."):
        vars(_module)["__tracebackhide__"] = _hides_our_frames
