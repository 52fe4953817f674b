import asyncio
import threading
from contextlib import AsyncExitStack
from pathlib import Path

from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.sqlite import SqliteStore
from flowstate_server.stores.sqlite.writer_queue import WriterQueue
from tests.stores.sqlite import batches
from tests.stores.sqlite.processes import busy_process, go, heard


async def test_of_four_busy_processes_none_waits_over_a_second(store: SqliteStore, path: Path) -> None:
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(busy_process(path, "add", 2)) for _ in range(4)]
        for process in processes:
            assert await heard(process) == "ready"
        for process in processes:
            go(process)
        reports = [await heard(process) for process in processes]
    assert max(report["longest"] for report in reports) < 1
    assert min(report["added"] for report in reports) > 20
    states = await store.load_states([user_scope("u1")])
    assert states[user_scope("u1")].state["n"] == sum(report["added"] for report in reports)


async def test_a_dead_process_gives_its_place_back(store: SqliteStore, path: Path) -> None:
    async with busy_process(path, "hold", 60) as holder:
        assert await heard(holder) == "held"
        commit = asyncio.create_task(store.commit(batches.add_one()))
        await asyncio.wait([commit], timeout=0.05)
        assert not commit.done()
        await store.get_session(batches.SESSION)  # readers do not queue
        holder.kill()
        result = await commit
    assert result.results[0].version == 1


def test_two_in_one_process_queue_too(path: Path) -> None:
    one, other = WriterQueue(path), WriterQueue(path)
    order: list[str] = []

    def second() -> None:
        with other:
            order.append("second")

    with one:
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    one.close()
    other.close()
