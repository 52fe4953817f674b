"""Ends of runs that can't be stored as they are: the request ends all the same."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from flowstate_client import ActionFailed
from flowstate_client.testing import record_events
from flowstate_server.errors import InternalError, UnclearCommitError
from flowstate_server.flows import ActionError, Audience, Context, action, define_flow, handler
from flowstate_server.stores.contract.writes import Batch, ChangeState, CommitResult, FinishRequest
from flowstate_server.stores.sqlite import SqliteStore
from flowstate_server.testing.server import running_server
from flowstate_server.testing.waiting import soon
from tests.support.held_commits import replace_commit

NOT_UTF_8 = "half of a pair: \ud83d"


@handler
async def protest(what: str, ctx: Context) -> None:
    """``what`` of an ActionError is text that can't be encoded."""
    await ctx.emit("before", audience=Audience.CLIENT)
    raise ActionError(
        NOT_UTF_8 if what == "code" else "CODE",
        NOT_UTF_8 if what == "message" else "message",
        {"key": NOT_UTF_8} if what == "details" else {},
    )


@handler
async def answer(value: None, ctx: Context) -> str:
    await ctx.emit("before", audience=Audience.CLIENT)
    return "answer"


class Counted(BaseModel):
    count: int = 0


@handler(session_state=Counted)
async def count(value: None, ctx: Context[Counted]) -> None:
    await ctx.session.inc_state(count=1)


ends = define_flow(
    "ends",
    actions={
        "protest": action(block=protest),
        "answer": action(block=answer),
        "count": action(block=count),
    },
)


@pytest.mark.parametrize("what", ["code", "message", "details"])
async def test_an_action_error_that_is_no_text_fails_the_request(what: str) -> None:
    async with running_server(ends) as server, server.connect(user="u") as client:
        run = await client.flows.dispatch("ends", "protest", what)
        with pytest.raises(ActionFailed):
            await run.result(timeout=10.0)
        types = [event.type for event in await soon(record_events(run))]
        assert types[-1] == "request.failed"
        assert "custom" in types


async def test_an_end_that_the_store_refuses_becomes_a_failure(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    store = SqliteStore(tmp_path_factory.mktemp("store") / "flowstate.db")
    async with running_server(ends, store=store) as server, server.connect(user="u") as client:
        commit = store.commit
        refused: list[Batch] = []

        async def refuse_the_first_end(batch: Batch) -> CommitResult:
            if not refused and any(isinstance(write, FinishRequest) for write in batch):
                refused.append(batch)
                raise InternalError("err_1")
            return await commit(batch)

        replace_commit(store, refuse_the_first_end)
        run = await client.flows.dispatch("ends", "answer", None)
        with pytest.raises(ActionFailed, match="INTERNAL"):
            await run.result(timeout=10.0)
        assert (await soon(record_events(run)))[-1].type == "request.failed"


async def test_an_end_that_is_refused_for_a_while_is_tried_again(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    store = SqliteStore(tmp_path_factory.mktemp("store") / "flowstate.db")
    async with running_server(ends, store=store) as server, server.connect(user="u") as client:
        commit = store.commit
        refused: list[Batch] = []

        async def refuse_ends(batch: Batch) -> CommitResult:
            if len(refused) < 4 and any(isinstance(write, FinishRequest) for write in batch):
                refused.append(batch)
                raise InternalError("err_1")
            return await commit(batch)

        replace_commit(store, refuse_ends)
        run = await client.flows.dispatch("ends", "answer", None)
        with pytest.raises(ActionFailed, match="INTERNAL"):
            await run.result(timeout=10.0)
        assert len(refused) == 4


async def test_what_became_of_a_write_can_not_be_learnt(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The write is not repeated, and callers are told that the whole run may be."""
    store = SqliteStore(tmp_path_factory.mktemp("store") / "flowstate.db")
    async with running_server(ends, store=store) as server, server.connect(user="u") as client:
        commit = store.commit
        writes: list[Batch] = []

        async def lose_answers(batch: Batch) -> CommitResult:
            result = await commit(batch)
            if any(isinstance(write, ChangeState) for write in batch):
                writes.append(batch)
                raise UnclearCommitError
            return result

        replace_commit(store, lose_answers)
        run = await client.flows.dispatch("ends", "count", None)
        with pytest.raises(ActionFailed, match="STORE_UNAVAILABLE") as failed:
            await run.result(timeout=10.0)
        assert failed.value.failure.retryable
        assert len(writes) == 1


async def test_an_end_whose_answer_is_lost_is_the_end(tmp_path_factory: pytest.TempPathFactory) -> None:
    store = SqliteStore(tmp_path_factory.mktemp("store") / "flowstate.db")
    async with running_server(ends, store=store) as server, server.connect(user="u") as client:
        commit = store.commit
        lost: list[Batch] = []

        async def lose_the_first_end(batch: Batch) -> CommitResult:
            result = await commit(batch)
            if not lost and any(isinstance(write, FinishRequest) for write in batch):
                lost.append(batch)
                raise UnclearCommitError
            return result

        replace_commit(store, lose_the_first_end)
        run = await client.flows.dispatch("ends", "answer", None)
        assert await run.result(str, timeout=10.0) == "answer"
        assert await client.flows.call("ends", "answer", None) == "answer"
