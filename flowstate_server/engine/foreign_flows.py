"""The flows that other processes serve on a store, and whether those of a catalogue can be served beside them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from flowstate_server.errors import CrossFlowSchemaConflictError
from flowstate_server.model.documents import Document
from flowstate_server.model.json_values import decode_json
from flowstate_server.model.recorded_flows import (
    RecordedFlow,
    declarations_range,
    decode_served,
    recorded_flow,
    served_key,
)
from flowstate_server.programs.agreement import UPGRADES, Conflict, agreement
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.declarations import (
    FlowDeclaration,
    declaration_hash,
    decode_declaration,
    portable,
)
from flowstate_server.stores.store import Store

PAGE = 200

_logger = logging.getLogger(__name__)


class Foreign(NamedTuple):
    """A flow as a process recorded it; ``process`` is empty if none that holds a lease serves it."""

    process: str
    declaration: FlowDeclaration


class ForeignConflict(NamedTuple):
    """What keeps a flow of a catalogue from being served beside a foreign one."""

    foreign: Foreign
    conflict: Conflict

    def error(self) -> CrossFlowSchemaConflictError:
        kind, process = self.foreign.declaration.kind, self.foreign.process
        where = f"is served by process {process}" if process else "was served not long ago"
        return self.conflict.error(f'Flow "{kind}" {where}.')


class Note(NamedTuple):
    """What is no conflict, but should be known."""

    text: str
    loud: bool = False


class Compared(NamedTuple):
    conflicts: list[ForeignConflict]
    notes: list[Note]


def shared_flows(catalogue: Catalogue) -> dict[RecordedFlow, FlowDeclaration]:
    """Those that share anything, by the names under which they are recorded."""
    shared = [hosted.described.shared for hosted in catalogue]
    return {RecordedFlow(flow.kind, declaration_hash(flow)): flow for flow in shared if flow.scopes}


def compared(catalogue: Catalogue, foreign: Iterable[Foreign]) -> Compared:
    """Compare the flows of ``catalogue`` with foreign ones.

    A foreign flow of a kind that the catalogue has is another deploy of the same flow, on its way out or in: it is no
    conflict, neither with that flow nor with its neighbours.
    """
    found = Compared([], [])
    own = [portable(flow) for flow in shared_flows(catalogue).values()]
    for one in foreign:
        for flow in own:
            if one.declaration.kind == flow.kind:
                found.notes.extend(_notes_on_deploy(one, flow))
            elif one.declaration.kind not in catalogue:
                pair = agreement(one.declaration, flow)
                found.conflicts.extend(ForeignConflict(one, conflict) for conflict in pair.conflicts)
                if not pair.conflicts:
                    found.notes.extend(
                        Note(f"{remark.text}{_of(one)}", remark.loud) for remark in pair.remarks
                    )
    return found


async def served_elsewhere(store: Store, catalogue: Catalogue, *, process: str = "") -> list[Foreign]:
    """The flows of processes that hold a lease, those of ``process`` and those just as in ``catalogue`` excepted."""
    own = shared_flows(catalogue)
    keys = [served_key(one.process) for one in await store.leased() if one.process != process]
    served = await store.load_documents(keys) if keys else {}
    names: dict[RecordedFlow, str] = {}
    for key, document in served.items():
        names |= {name: key.name[0] for name in decode_served(document) if name not in own}
    declared = await store.load_documents([name.key for name in names]) if names else {}
    return [
        Foreign(names[recorded_flow(key)], flow)
        for key, document in sorted(declared.items())
        for flow in _decoded(document)
    ]


async def recorded(store: Store) -> list[Foreign]:
    """Every flow that a process recorded of late, whether it is served or not."""
    found: list[Foreign] = []
    beyond = None
    while page := await store.read_documents(declarations_range(limit=PAGE, beyond=beyond)):
        found += [Foreign("", flow) for document in page for flow in _decoded(document)]
        beyond = page[-1].key
    return found


def _notes_on_deploy(foreign: Foreign, flow: FlowDeclaration) -> Iterator[Note]:
    for conflict in agreement(foreign.declaration, flow).conflicts:
        theirs, ours = (one.scopes[conflict.scope].generation for one in (foreign.declaration, flow))
        if conflict.reason != UPGRADES and theirs == ours:
            yield Note(
                f'another deploy of flow "{flow.kind}" declares the {conflict.scope} state field "{conflict.field}" '
                f"otherwise ({conflict.reason}: {conflict.detail}) in the same generation, {ours}: what one of them "
                f"writes, the other one may fail to read{_of(foreign)}"
            )


def _of(foreign: Foreign) -> str:
    return f" (process {foreign.process})" if foreign.process else ""


def _decoded(document: Document) -> Iterator[FlowDeclaration]:
    try:
        yield decode_declaration(decode_json(document.text))
    except (LookupError, TypeError, ValueError) as error:
        _logger.warning(
            "what a server recorded of the flow %s can't be understood and is passed over: %s",
            document.key.name[0],
            type(error).__name__,
        )
