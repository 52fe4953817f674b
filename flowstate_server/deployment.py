"""Checking an application ahead of its deploy: its flows, those of the fleet, and what is stored. It writes nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from flowstate_server.engine.deploys.agreement import Agreed, compare_flows, compare_with_recorded
from flowstate_server.engine.deploys.copied_records import CopiedRecords
from flowstate_server.engine.deploys.stored_records import Looked, Misfit, look_at_records
from flowstate_server.engine.foreign_flows import Note
from flowstate_server.errors import ServiceError, StoreOpenError
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.store_urls import MEMORY, redacted, store_from_url
from flowstate_server.stores.contract.pages import DamagedRecord
from flowstate_server.stores.store import Store

__all__ = ["Agreed", "CopiedRecords", "Looked", "Misfit", "NotChecked", "Report", "check", "glance"]


GLANCE_SECONDS = 1.0
GLANCE_RECORDS = 100
"""Of a kind. Chosen: a page, which is a read or two."""

_logger = logging.getLogger(__name__)


class NotChecked(Exception):
    """The store can't be looked at; the text says why."""


@dataclass(frozen=True)
class Report:
    """What was found; ``looked`` is ``None`` if no store was named."""

    agreed: Agreed
    looked: Looked | None = None

    @property
    def notes(self) -> list[Note]:
        """What should be known, the louder first."""
        found = [*self.agreed.notes, *(self.looked.notes if self.looked else ())]
        return sorted(found, key=lambda note: not note.loud)

    @property
    def deployable(self) -> bool:
        """Whether the application would be served, and everything that was looked at could be read and written."""
        looked = self.looked
        return not self.agreed.conflicts and not (looked and (looked.misfits or looked.damaged))


async def check(
    catalogue: Catalogue, url: str | None, *, every: bool, report: Callable[[Looked], None]
) -> Report:
    """Compare the flows with each other and, if a store is named, with those of the servers on it; look at a sample of
    what it keeps, or at ``every`` record. The store may be served meanwhile, if it is one that several processes may
    open; it is brought up to date by nobody.

    Raises:
        NotChecked: the store can't be opened or read.
    """
    agreed = compare_flows(catalogue)
    if url is None:
        return Report(agreed)
    async with _opened(url) as store:
        await compare_with_recorded(store, catalogue, agreed)
        return Report(agreed, await look_at_records(store, catalogue, every=every, report=report))


async def glance(store: Store, catalogue: Catalogue) -> Looked | None:
    """What a few of the records of a store that is served look like to the flows, within :data:`GLANCE_SECONDS`;
    ``None`` if that does not suffice, or the store can't be looked at."""
    try:
        async with asyncio.timeout(GLANCE_SECONDS):
            return await look_at_records(store, catalogue, most=GLANCE_RECORDS)
    except Exception as error:  # a server does not end of it
        _logger.debug("what is stored was not looked at", exc_info=error)
        return None


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Store]:
    if url in MEMORY:
        raise NotChecked("memory is empty in a new process: there is nothing to look at")
    try:
        store = store_from_url(url, create=False, update=False)
        await store.open()
    except StoreOpenError as error:
        raise NotChecked(f"the store can't be checked: {error.problem}") from error
    except ValueError as error:
        raise NotChecked(f"the store can't be checked: {error}") from error
    try:
        yield store
    except (ServiceError, DamagedRecord, TypeError) as error:
        advice = f"if an older release made it, run flowstate store migrate {redacted(url)} first"
        raise NotChecked(f"the store can't be read: {error.__cause__ or error}; {advice}") from error
    finally:
        await store.close()
