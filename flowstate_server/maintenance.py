"""Migrating, checking and copying stores by URL, while no server uses them; copying states also while one does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from flowstate_server.errors import InternalError, ServiceError, StoreOpenError
from flowstate_server.store_urls import MEMORY, path_of, redacted, store_from_url
from flowstate_server.stores.blobs import BlobFolder
from flowstate_server.stores.contract.pages import DamagedRecord
from flowstate_server.stores.store import Store
from flowstate_server.stores.transfer import (
    Copied,
    CopiedState,
    CopyRefused,
    Misfit,
    Outcome,
    Scope,
    StateCopy,
    check_store,
    copy_states,
    copy_store,
    differences,
    serving,
)

__all__ = [
    "Copied",
    "CopiedState",
    "Misfit",
    "Outcome",
    "Scope",
    "StateCopy",
    "Unmaintained",
    "check",
    "copy",
    "copy_state",
    "migrate",
]


class Unmaintained(Exception):
    """It could not be done; the text says why. ``retryable``: another attempt may succeed."""

    def __init__(self, problem: str, *, retryable: bool = False) -> None:
        super().__init__(problem)
        self.retryable = retryable


async def migrate(url: str) -> None:
    """Create the store, or bring it up to date; raises ``Unmaintained``."""
    async with _opened(created=[url]):
        pass


def _silently(table: str, records: int) -> None: ...


async def check(
    url: str, *, blobs: Path | None = None, report: Callable[[str, int], None] = _silently
) -> AsyncIterator[str]:
    """What does not fit together in the store, one line each; raises ``Unmaintained``.

    ``blobs`` is the folder of the profile's slot for blobs, if it has one. ``report`` hears now and then of a table,
    and how many of its records were looked at.
    """
    async with _opened(existing=[url]) as (store,):
        await _refuse_in_use(store)
        async for problem in check_store(store, blobs=_folder(blobs), report=report):
            yield problem


async def copy(
    source: str,
    target: str,
    report: Callable[[Copied], None],
    differs: Callable[[str], None],
    *,
    source_blobs: Path | None = None,
    target_blobs: Path | None = None,
) -> Copied:
    """Copy everything, going on with a copy that was interrupted, and compare; raises ``Unmaintained``.

    ``report`` hears of the progress, ``differs`` of each record that is not the same in both. ``source_blobs`` and
    ``target_blobs`` are the folders of the profiles' slots for blobs, if they have them.
    """
    if source in MEMORY:
        raise Unmaintained("memory is empty in a new process; to copy it, call copy_store where it is in use")
    if _name(source) == _name(target):
        raise Unmaintained("both URLs name the same store")
    async with _opened(existing=[source], created=[target]) as (one, other):
        await _refuse_in_use(one)
        await _refuse_in_use(other)
        ours, theirs = _folder(source_blobs), None if target_blobs is None else BlobFolder(target_blobs)
        copied = await copy_store(
            one, other, name=_name(source), report=report, source_blobs=ours, target_blobs=theirs
        )
        async for difference in differences(one, other, one_blobs=ours, other_blobs=theirs):
            differs(difference)
        await _refuse_in_use(one)
        return copied


async def copy_state(url: str, what: StateCopy, *, blobs: Path | None = None) -> AsyncIterator[CopiedState]:
    """Copy records, with their resources, between what flows share and a flow's own, also while the store is served;
    raises ``Unmaintained``. ``blobs`` is the folder of the profile's slot for blobs, if it has one."""
    if url in MEMORY:
        raise Unmaintained("memory is empty in a new process")
    async with _opened(existing=[url]) as (store,):
        async for copied in copy_states(store, what, blobs=_folder(blobs)):
            yield copied


@asynccontextmanager
async def _opened(*, existing: Sequence[str] = (), created: Sequence[str] = ()) -> AsyncIterator[list[Store]]:
    try:
        async with AsyncExitStack() as stack:
            stores = [store_from_url(url, create=False) for url in existing]
            stores += [store_from_url(url) for url in created]
            for store in stores:
                await store.open()
                stack.push_async_callback(store.close)
            yield stores
    except (StoreOpenError, CopyRefused, ValueError, TypeError) as error:
        raise Unmaintained(str(error)) from error
    except (DamagedRecord, LookupError) as error:
        raise Unmaintained(f"the store is damaged, flowstate store check may say where: {error}") from error
    except InternalError as error:
        raise Unmaintained(f"the store is damaged: {error.__cause__ or error}") from error
    except ServiceError as error:
        raise Unmaintained(str(error), retryable=True) from error


def _folder(path: Path | None) -> BlobFolder | None:
    """The blobs that are there. A folder that is not would be an empty one, and all of its content missing."""
    if path is not None and not path.is_dir():
        raise Unmaintained(f"there is no folder {path}")
    return None if path is None else BlobFolder(path)


async def _refuse_in_use(store: Store) -> None:
    """What a server changes meanwhile would be copied in part, and found not to fit together."""
    users = await serving(store)
    if users:
        process, seconds = users[0]
        problem = f"the server {process} uses the store; stop it, or wait {seconds} s if it was killed"
        raise Unmaintained(problem, retryable=True)


def _name(url: str) -> str:
    """The same for the same store, wherever the command is typed and whatever the password is by then."""
    path = path_of(url)
    return redacted(url) if path is None else str(path.resolve())
