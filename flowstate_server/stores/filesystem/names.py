"""Where each record's file is. Paths are relative to the store's folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import PurePosixPath as Path
from typing import Any
from urllib.parse import unquote

from flowstate_server.model.documents import DocumentKey, Owner, OwnerKind
from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.records import TurnKey
from flowstate_server.model.scopes import (
    RequestKey,
    ScopeKey,
    ScopeKind,
    SessionKey,
    request_scope,
    session_scope,
)

LONGEST = 200
"""File systems take 255 bytes; the rest is for a suffix and for the temporary name of a file that is being written."""
KEPT = 150
"""To be recognised by; the digest behind it takes 65."""
NONE = "@none"
NO_IDS = "@"

SessionOf = Callable[[RequestKey], SessionKey]
"""The session of a request, in whose folder the request's files are."""

_UNSAFE = re.compile(rb"[^a-z0-9._-]|^\.|\.$")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)")
_FOLDERS = {ScopeKind.USER: "users", ScopeKind.ORG: "orgs"}


def file_name(*ids: str) -> str:
    """A name for ``ids`` that no others have, on file systems that fold case and on Windows too.

    All but ``[a-z0-9._-]`` is percent-encoded, and so are a dot at either end and the first letter of a device's
    name; the empty id is ``@none``. Several ids are joined by commas, none are ``@``. What is then over 200 bytes
    keeps the first 150, ``~`` and its SHA-256.
    """
    name = ",".join([_encoded(id) for id in ids]) or NO_IDS
    if len(name) > LONGEST:
        whole = ids[0] if len(ids) == 1 else name
        name = f"{name[:KEPT]}~{sha256(whole.encode()).hexdigest()}"
    return name


def _encoded(id: str) -> str:
    if not id:
        return NONE
    name = _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], id.encode()).decode()
    return f"%{ord(name[0]):02X}{name[1:]}" if _DEVICE.match(name) else name


def id_of(name: str) -> str:
    """The id whose file name is ``name``; of one that was cut, what is left of it."""
    return "" if name == NONE else unquote(name)


def session_folder(key: SessionKey) -> Path:
    return Path("sessions", file_name(key.tenant), file_name(key.session_id))


def session_path(key: SessionKey, _: SessionOf) -> Path:
    return session_folder(key) / "session.json"


def counters_path(key: SessionKey, _: SessionOf) -> Path:
    return session_folder(key) / "counters.json"


def log_path(key: SessionKey, log_id: str) -> Path:
    return session_folder(key) / f"events-{file_name(log_id)}.jsonl"


def turn_path(key: TurnKey, _: SessionOf) -> Path:
    return session_folder(key.session) / f"turns-{file_name(key.log_id)}" / f"{key.number}.json"


def request_path(key: RequestKey, session_of: SessionOf) -> Path:
    return session_folder(session_of(key)) / "requests" / file_name(key.request_id) / "request.json"


def state_path(key: ScopeKey, session_of: SessionOf) -> Path:
    if key.kind is ScopeKind.SESSION:
        return session_folder(SessionKey(key.tenant, key.id)) / "state.json"
    if key.kind is ScopeKind.REQUEST:
        return request_path(RequestKey(key.tenant, key.id), session_of).with_name("state.json")
    name = f"flow-{file_name(key.flow_kind)}.json" if key.flow_kind else "shared.json"
    return Path(_FOLDERS[key.kind], file_name(key.id), name)


def process_path(process: str, _: SessionOf) -> Path:
    return Path("processes", f"{file_name(process)}.json")


def document_path(key: DocumentKey, _: SessionOf) -> Path:
    kind, *owner = key.owner
    while owner and not owner[-1]:
        owner.pop()
    return Path("documents", kind, file_name(*owner), file_name(key.kind), f"{file_name(*key.name)}.json")


def key_at(path: Path) -> Any:
    """The key of the record at ``path``, for a file that can't be understood itself.

    Raises:
        ValueError: no record is kept there.
    """
    folder, *names = path.with_suffix("").parts
    ids = [id_of(name) for name in names]
    match folder, names[-1], ids:
        case "sessions", "session" | "counters", [tenant, session, _]:
            return SessionKey(Tenant(tenant), session)
        case "sessions", "state", [tenant, session, _]:
            return session_scope(SessionKey(Tenant(tenant), session))
        case "sessions", "request", [tenant, _, _, request, _]:
            return RequestKey(Tenant(tenant), request)
        case "sessions", "state", [tenant, _, _, request, _]:
            return request_scope(RequestKey(Tenant(tenant), request))
        case "sessions", number, [tenant, session, _, _]:
            log_id = id_of(names[-2].removeprefix("turns-"))
            return TurnKey(SessionKey(Tenant(tenant), session), log_id, int(number))
        case "processes", _, [process]:
            return process
        case "users" | "orgs", name, [id, _]:
            kind = ScopeKind.USER if folder == "users" else ScopeKind.ORG
            return ScopeKey(
                kind, NO_TENANT, id, "" if name == "shared" else id_of(name.removeprefix("flow-"))
            )
        case "documents", name, [owner_kind, _, kind, _]:
            tenant, *owner = [*_ids(names[1]), "", "", "", ""][:4]
            return DocumentKey(Owner(OwnerKind(owner_kind), Tenant(tenant), *owner), kind, tuple(_ids(name)))
    raise ValueError(f"no record is kept at {path}")


def _ids(name: str) -> list[str]:
    return [] if name == NO_IDS else [id_of(part) for part in name.split(",")]
