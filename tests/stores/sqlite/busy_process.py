"""Run as a process of its own: ``busy_process.py DATABASE MODE SECONDS``. Prints JSON lines.

``add``: adds to one record from four tasks as fast as it goes, then prints what it added and its longest wait.
``pairs``: changes two records and a log in one batch, again and again, printing each number once it is acknowledged.
``hold``: is the one who writes, says so, and stays it.
``open``: opens the store and closes it.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from flowstate_server.model.events import EventType
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.contract.writes import AppendEvents, ChangeState
from flowstate_server.stores.sqlite import SqliteStore
from flowstate_server.stores.sqlite.writer_queue import WriterQueue
from tests.stores.sqlite import batches


def say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


async def add(store: SqliteStore, seconds: float) -> None:
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    end = time.perf_counter() + seconds
    waits: list[float] = []

    async def work() -> None:
        while (begin := time.perf_counter()) < end:
            await store.commit(batches.add_one())
            waits.append(time.perf_counter() - begin)

    await asyncio.gather(*(work() for _ in range(4)))
    say({"added": len(waits), "longest": max(waits)})


async def pairs(store: SqliteStore) -> None:
    for number in range(1_000_000):
        await store.commit(
            (
                ChangeState(user_scope("left"), batches.increment),
                AppendEvents(batches.SESSION, (batches.event(EventType.STATUS),)),
                ChangeState(user_scope("right"), batches.increment),
            )
        )
        say(number + 1)


async def run(path: Path, mode: str, seconds: float) -> None:
    store = SqliteStore(path)
    await store.open()
    if mode == "add":
        await add(store, seconds)
    elif mode == "pairs":
        await pairs(store)
    await store.close()


def main(path: Path, mode: str, seconds: float) -> None:
    if mode == "hold":
        with WriterQueue(path):
            say("held")
            sys.stdin.readline()
    else:
        asyncio.run(run(path, mode, seconds))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
