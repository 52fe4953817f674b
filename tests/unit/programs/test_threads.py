from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import CancelledError
from functools import partial

import pytest

from flowstate_server.programs import threads
from flowstate_server.programs.threads import DaemonThreads
from flowstate_server.testing.waiting import until


async def test_reuses_threads_that_have_nothing_to_do() -> None:
    pool = DaemonThreads("test-reuse")
    idents = set()
    for _ in range(20):
        idents.add(await pool.run(threading.get_ident))
        await until(lambda: pool._idle, every=0.001)
    assert len(idents) == 1


async def test_threads_end_after_a_while_without_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "IDLE_SECONDS", 0.01)
    pool = DaemonThreads("test-idle")
    first = await pool.run(threading.current_thread)
    assert first.daemon
    await asyncio.to_thread(first.join, 20)
    assert not first.is_alive()
    assert await pool.run(lambda: "again") == "again"


async def test_a_limit_makes_the_rest_wait() -> None:
    pool = DaemonThreads("test-limit", limit=2)
    running, most, lock, go_on = 0, 0, threading.Lock(), threading.Event()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        go_on.wait(10)
        with lock:
            running -= 1

    calls = [asyncio.ensure_future(pool.run(work)) for _ in range(10)]
    await until(lambda: running >= 2)
    assert [thread.name for thread in threading.enumerate()].count("test-limit") == 2
    go_on.set()
    await asyncio.gather(*calls)
    assert most == 2


async def test_a_call_cancelled_before_it_began_never_begins() -> None:
    pool = DaemonThreads("test-cancel", limit=1)
    occupied, go_on = threading.Event(), threading.Event()
    begun: list[str] = []

    def occupy() -> bool:
        occupied.set()
        return go_on.wait(20)

    first = asyncio.ensure_future(pool.run(occupy))
    second = asyncio.ensure_future(pool.run(begun.append, "second"))
    assert await asyncio.to_thread(occupied.wait, 20)
    second.cancel()
    await asyncio.sleep(0)
    go_on.set()
    assert await first
    await pool.run(begun.append, "third")
    assert begun == ["third"]
    assert second.cancelled()


@pytest.mark.parametrize(
    "kind", [SystemExit, KeyboardInterrupt, StopIteration, asyncio.CancelledError, CancelledError]
)
async def test_what_would_end_a_loop_comes_as_an_error(kind: type[BaseException]) -> None:
    def work() -> None:
        raise kind

    with pytest.raises(RuntimeError, match=f"the function raised {kind.__name__}") as caught:
        await DaemonThreads("test-errors").run(work)
    assert isinstance(caught.value.__cause__, kind)


def test_a_function_that_never_ends_does_not_hold_up_the_process() -> None:
    program = """
import asyncio, threading
from flowstate_server.programs.threads import DaemonThreads

async def main():
    try:
        await asyncio.wait_for(DaemonThreads("stuck").run(threading.Event().wait), 0.01)
    except TimeoutError:
        print("left")

asyncio.run(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert (ended.stdout, ended.stderr) == ("left\n", "")


async def test_what_is_quick_is_answered_on_the_spot() -> None:
    pool = DaemonThreads("test-still")
    answer = pool.begin(lambda: "quick", still=10.0)
    assert answer.done()
    assert await answer == "quick"


async def test_what_is_not_quick_is_waited_for_by_the_loop() -> None:
    pool = DaemonThreads("test-later")
    go_on = threading.Event()
    answer = pool.begin(lambda: go_on.wait(20), still=0.001)
    assert not answer.done()
    go_on.set()
    assert await answer


@pytest.mark.parametrize("still", [0.0, 0.001, 10.0])
async def test_each_of_many_calls_is_answered(still: float) -> None:
    pool = DaemonThreads("test-many", limit=3)
    answers = [pool.begin(partial(int, number), still=still) for number in range(300)]
    assert await asyncio.gather(*answers) == list(range(300))


async def test_what_is_raised_on_the_spot_is_contained() -> None:
    def work() -> None:
        raise SystemExit

    with pytest.raises(RuntimeError, match="the function raised SystemExit"):
        await DaemonThreads("test-raised").begin(work, still=10.0)
