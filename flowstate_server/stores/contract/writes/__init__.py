"""The writes a store commits.

A :data:`Batch` is a tuple of writes that a store commits all of or none of. What each write means is defined once, by
``flowstate_server.stores.commit``; an adapter never interprets one. A write that can't be done refuses its whole batch:
``Store.commit`` raises the error named with the write and stores nothing of the batch.
"""

from flowstate_server.stores.contract.writes.batches import Batch, CommitResult, Write, WriteResult
from flowstate_server.stores.contract.writes.blobs import (
    BeginBlob,
    BlobUnavailable,
    CompleteBlob,
    DoomBlob,
    ForgetBlob,
    ReleaseBlob,
    RequireBlob,
)
from flowstate_server.stores.contract.writes.copies import ImportInterrupted, ImportRecords
from flowstate_server.stores.contract.writes.documents import DeleteDocument, PutDocument
from flowstate_server.stores.contract.writes.journal import AppendJournal
from flowstate_server.stores.contract.writes.leases import FenceProcess, RenewLease
from flowstate_server.stores.contract.writes.logs import AppendEvents
from flowstate_server.stores.contract.writes.preconditions import AtVersion, Exists, Precondition
from flowstate_server.stores.contract.writes.repeats import PutIdempotencyKey
from flowstate_server.stores.contract.writes.requests import (
    CreateRequest,
    FinishRequest,
    RequestCancel,
    RequireRun,
)
from flowstate_server.stores.contract.writes.sessions import (
    CreateSession,
    RequireSession,
    SessionChanged,
    UpdateSession,
)
from flowstate_server.stores.contract.writes.states import (
    NO_CHANGE,
    Change,
    Changed,
    ChangeState,
    DeleteState,
    NoChange,
)

__all__ = [
    "NO_CHANGE",
    "AppendEvents",
    "AppendJournal",
    "AtVersion",
    "Batch",
    "BeginBlob",
    "BlobUnavailable",
    "Change",
    "ChangeState",
    "Changed",
    "CommitResult",
    "CompleteBlob",
    "CreateRequest",
    "CreateSession",
    "DeleteDocument",
    "DeleteState",
    "DoomBlob",
    "Exists",
    "FenceProcess",
    "FinishRequest",
    "ForgetBlob",
    "ImportInterrupted",
    "ImportRecords",
    "NoChange",
    "Precondition",
    "PutDocument",
    "PutIdempotencyKey",
    "ReleaseBlob",
    "RenewLease",
    "RequestCancel",
    "RequireBlob",
    "RequireRun",
    "RequireSession",
    "SessionChanged",
    "UpdateSession",
    "Write",
    "WriteResult",
]
