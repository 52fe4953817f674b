"""Whether the flows of an application agree with each other and with those that servers recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

from flowstate_server.engine.foreign_flows import Note, compared, recorded, served_elsewhere
from flowstate_server.errors import CrossFlowSchemaConflictError
from flowstate_server.programs.agreement import agreement
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.stores.store import Store


@dataclass(slots=True)
class Agreed:
    """What keeps the application from being served, and what should be known."""

    conflicts: list[CrossFlowSchemaConflictError] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def note(self, note: Note) -> None:
        if note not in self.notes:
            self.notes.append(note)


def compare_flows(catalogue: Catalogue) -> Agreed:
    """Of the flows among themselves: what is registered has no conflict."""
    agreed = Agreed()
    for one, other in combinations(catalogue, 2):
        for remark in agreement(one.described.shared, other.described.shared).remarks:
            agreed.note(Note(remark.text, remark.loud))
    return agreed


async def compare_with_recorded(store: Store, catalogue: Catalogue, agreed: Agreed) -> None:
    """Of the flows with those of processes that hold a lease, and with those that were served of late: a conflict with
    one of the latter keeps nobody from serving, unless it comes back."""
    served = await served_elsewhere(store, catalogue)
    found = compared(catalogue, served)
    agreed.conflicts += [conflict.error() for conflict in found.conflicts]
    kinds = {foreign.declaration.kind for foreign in served}
    past = [foreign for foreign in await recorded(store) if foreign.declaration.kind not in kinds]
    before = compared(catalogue, past)
    for note in found.notes:
        agreed.note(note)
    for conflict in before.conflicts:
        agreed.note(Note(str(conflict.error()), loud=True))
    for note in before.notes:
        agreed.note(note)
