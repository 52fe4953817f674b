"""LangGraph: a compiled graph of one node, its state kept by the SQLite or the Postgres saver."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import _messages_delta_reducer, add_messages
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from benchmarks.peers.peer import Peer, text

CONNECTIONS = 20


class Conversation(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    count: Annotated[int, operator.add]


class DeltaConversation(TypedDict):
    messages: Annotated[list[AnyMessage], DeltaChannel(_messages_delta_reducer)]
    count: Annotated[int, operator.add]


class Counted(TypedDict):
    count: Annotated[int, operator.add]


@asynccontextmanager
async def open_peer(url: str, variant: str) -> AsyncIterator[Peer]:
    async with _saver(url) as saver:
        await saver.setup()
        yield LangGraph(saver, DeltaConversation if variant == "delta" else Conversation)


@asynccontextmanager
async def _saver(url: str) -> AsyncIterator[Any]:
    if url.startswith("sqlite"):
        async with AsyncSqliteSaver.from_conn_string(url.removeprefix("sqlite:///")) as saver:
            yield saver
    else:
        settings = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        async with AsyncConnectionPool(url, max_size=CONNECTIONS, kwargs=settings, open=False) as pool:
            yield AsyncPostgresSaver(pool)


class LangGraph:
    def __init__(self, saver: Any, state: type) -> None:
        self._conversation = _graph(state, "reply", _reply, saver)
        self._counter = _graph(Counted, "increment", _increment, saver)

    async def grow(self, sessions: Sequence[str], turns: int) -> None:
        for session in sessions:
            said = [kind(text()) for _ in range(turns) for kind in (HumanMessage, AIMessage)]
            update = {"messages": said, "count": turns}
            await self._conversation.aupdate_state(_thread(session), update, as_node="reply")

    async def turn(self, session: str, newest: int | None) -> int:
        """The saver has no way to load a part of the messages."""
        said = {"messages": [HumanMessage(text())]}
        state = await self._conversation.ainvoke(said, _thread(session))
        return len(state["messages"]) - 2

    async def increment(self, session: str) -> int:
        await self._counter.ainvoke({"count": 0}, _thread(session))
        return 0

    async def count(self, session: str) -> int:
        state = await self._counter.aget_state(_thread(session))
        return int(state.values.get("count", 0))

    async def cpu(self) -> float:
        return 0.0


def _graph(state: type, name: str, node: Any, saver: Any) -> Any:
    builder: Any = StateGraph(state)
    builder.add_node(name, node)
    builder.add_edge(START, name)
    builder.add_edge(name, END)
    return builder.compile(checkpointer=saver)


async def _reply(state: Any) -> Any:
    return {"messages": [AIMessage(text())], "count": 1}


async def _increment(state: Any) -> Any:
    return {"count": 1}


def _thread(session: str) -> Any:
    return {"configurable": {"thread_id": session}}
