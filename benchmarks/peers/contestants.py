"""Who is compared, and what to know of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Contestant:
    """``module`` has ``open_peer``; ``packages`` are those whose versions are told, and none where it needs nothing but
    what FlowState needs. ``counts``: it keeps a counter. ``reads_part``: it can read the newest messages alone."""

    label: str
    module: str
    postgres: bool
    note: str
    variant: str = ""
    packages: tuple[str, ...] = ()
    counts: bool = True
    reads_part: bool = True


SAVERS = ("langgraph", "langgraph-checkpoint-sqlite", "langgraph-checkpoint-postgres")
LANGGRAPH = "benchmarks.peers.langgraph_saver"
LANGGRAPH_NOTE = (
    "A compiled graph of one node; `add_messages` and a counter that adds; durability `async`, the default. Every"
    " checkpoint has the whole list of messages. One run of a thread at a time is what the library expects."
)
DELTA_NOTE = (
    "The same with messages in a `DeltaChannel`, in beta: checkpoints have what was added, every hundredth the whole"
    " list."
)

CONTESTANTS: Mapping[str, Contestant] = {
    "floor-sqlite": Contestant(
        "bare driver, SQLite",
        "benchmarks.peers.floor",
        postgres=False,
        note="Two tables and aiosqlite; a turn is one transaction. `WAL`, `synchronous=FULL`.",
    ),
    "flowstate-sqlite": Contestant(
        "FlowState, SQLite",
        "benchmarks.peers.flowstate_sessions",
        postgres=False,
        note=(
            "`flowstate serve` in a process of its own, called over gRPC by the Python client; the flow reads the"
            " history there. `WAL`, `synchronous=FULL`; turns that wait at the same time share a transaction."
        ),
    ),
    "langgraph-sqlite": Contestant(
        "LangGraph, SQLite",
        LANGGRAPH,
        postgres=False,
        note=f"{LANGGRAPH_NOTE} `AsyncSqliteSaver`: `WAL`, `synchronous=FULL`, one connection.",
        packages=SAVERS,
        reads_part=False,
    ),
    "langgraph-delta-sqlite": Contestant(
        "LangGraph with deltas, SQLite",
        LANGGRAPH,
        postgres=False,
        note=DELTA_NOTE,
        variant="delta",
        packages=SAVERS,
        reads_part=False,
    ),
    "adk-sqlite": Contestant(
        "ADK, SQLite",
        "benchmarks.peers.adk_sessions",
        postgres=False,
        note=(
            "`DatabaseSessionService`: a turn loads the session and appends two events, each in a transaction."
            " `synchronous=FULL`; the file was set to `WAL`, with which the service is faster and meets no locks."
        ),
        packages=("google-adk", "sqlalchemy"),
    ),
    "openai-sqlite": Contestant(
        "OpenAI Agents, SQLite",
        "benchmarks.peers.openai_sessions",
        postgres=False,
        note=(
            "`SQLiteSession`: a turn reads the items and adds twice, each in a transaction. `WAL`,"
            " `synchronous=FULL`. It has no state, so that nothing is counted."
        ),
        packages=("openai-agents",),
        counts=False,
    ),
    "openai-advanced-sqlite": Contestant(
        "OpenAI Agents, advanced, SQLite",
        "benchmarks.peers.openai_sessions",
        postgres=False,
        note="`AdvancedSQLiteSession`, which also keeps the structure of turns and branches.",
        variant="advanced",
        packages=("openai-agents",),
        counts=False,
    ),
    "floor-postgres": Contestant(
        "bare driver, Postgres",
        "benchmarks.peers.floor",
        postgres=True,
        note="The same tables, asyncpg, a pool of 10. `synchronous_commit=on`, as for all on Postgres.",
    ),
    "flowstate-postgres": Contestant(
        "FlowState, Postgres",
        "benchmarks.peers.flowstate_sessions",
        postgres=True,
        note="As on SQLite, with its own pool.",
    ),
    "langgraph-postgres": Contestant(
        "LangGraph, Postgres",
        LANGGRAPH,
        postgres=True,
        note="`AsyncPostgresSaver` on a pool of 20, of which the saver uses one connection at a time.",
        packages=SAVERS,
        reads_part=False,
    ),
    "langgraph-delta-postgres": Contestant(
        "LangGraph with deltas, Postgres",
        LANGGRAPH,
        postgres=True,
        note="As on SQLite.",
        variant="delta",
        packages=SAVERS,
        reads_part=False,
    ),
    "adk-postgres": Contestant(
        "ADK, Postgres",
        "benchmarks.peers.adk_sessions",
        postgres=True,
        note="`postgresql+asyncpg`, SQLAlchemy's default pool (5, and 10 more under load).",
        packages=("google-adk", "sqlalchemy"),
    ),
}
