from __future__ import annotations

import subprocess
import sys

from flowstate_server import flows


def test_the_public_names_are_these() -> None:
    assert sorted(flows.__all__) == [
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
    for name in flows.__all__:
        assert getattr(flows, name).__name__ == name


def test_importing_them_loads_neither_grpc_nor_a_driver() -> None:
    program = """
import sys
import flowstate_server.flows
heavy = {"grpc", "google", "flowstate", "aiosqlite", "sqlite3", "asyncpg", "uvloop"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True
    )
    assert ended.stdout.strip() == "[]"
