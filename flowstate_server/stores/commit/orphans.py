"""What owners leave behind."""

from __future__ import annotations

from flowstate_server.model.json_values import EMPTY_OBJECT
from flowstate_server.model.resources import ResourceOwner, orphaned_key
from flowstate_server.stores.commit.document_writes import put
from flowstate_server.stores.commit.working_set import WorkingSet


def note_orphans(work: WorkingSet, owner: ResourceOwner) -> None:
    """The owner is deleted by this commit: its resources are to go."""
    put(work, orphaned_key(owner, work.time), EMPTY_OBJECT)
