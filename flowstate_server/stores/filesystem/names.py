"""Where each record's file is. Paths are relative to the store's folder."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import PurePosixPath as Path
from urllib.parse import unquote

from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.scopes import (
    RequestKey,
    ScopeKey,
    ScopeKind,
    SessionKey,
    request_scope,
    session_scope,
)

LONGEST = 200
KEPT = 150
NONE = "@none"
COUNTERS = "counters.json"

Key = SessionKey | RequestKey | ScopeKey | IdempotencyKey

_UNSAFE = re.compile(rb"[^a-z0-9._-]|^\.|\.$")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)")
_FOLDERS = {ScopeKind.USER: "users", ScopeKind.ORG: "orgs"}


def file_name(id: str) -> str:
    """A name for ``id`` that no other id has, on file systems that fold case and on Windows too.

    All but ``[a-z0-9._-]`` is percent-encoded, and so are a dot at either end and the first letter of a device's
    name. What is then over 200 bytes keeps the first 150, ``~`` and its SHA-256. The empty id is ``@none``.
    """
    if not id:
        return NONE
    name = _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], id.encode()).decode()
    if _DEVICE.match(name):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if len(name) > LONGEST:
        name = f"{name[:KEPT]}~{sha256(id.encode()).hexdigest()}"
    return name


def id_of(name: str) -> str:
    """The id whose file name is ``name``; of one that was cut, what is left of it."""
    return "" if name == NONE else unquote(name)


def session_folder(key: SessionKey) -> Path:
    return Path("sessions", file_name(key.tenant), file_name(key.session_id))


def session_path(key: SessionKey) -> Path:
    return session_folder(key) / "session.json"


def counters_path(key: SessionKey) -> Path:
    return session_folder(key) / COUNTERS


def log_path(key: SessionKey, log_id: str) -> Path:
    return session_folder(key) / f"events-{file_name(log_id)}.jsonl"


def request_path(session: SessionKey, key: RequestKey) -> Path:
    return session_folder(session) / "requests" / file_name(key.request_id) / "request.json"


def state_path(key: ScopeKey, session: SessionKey | None = None) -> Path:
    """``session`` is that of a request scope's request."""
    if key.kind is ScopeKind.SESSION:
        return session_folder(SessionKey(key.tenant, key.id)) / "state.json"
    if key.kind is ScopeKind.REQUEST:
        if session is None:
            raise LookupError("the state of an unknown request")
        return request_path(session, RequestKey(key.tenant, key.id)).with_name("state.json")
    name = f"flow-{file_name(key.flow_kind)}.json" if key.flow_kind else "shared.json"
    return Path(_FOLDERS[key.kind], file_name(key.id), name)


def process_path(process: str) -> Path:
    return Path("processes", f"{file_name(process)}.json")


def key_path(key: IdempotencyKey) -> Path:
    folders = (file_name(key.tenant), file_name(key.principal), file_name(key.method))
    return Path("idempotency_keys", *folders, f"{file_name(key.key)}.json")


def key_at(path: Path) -> Key:
    """The key of the record at ``path``, for a file that can't be understood itself."""
    folder, *names = path.with_suffix("").parts
    ids = [id_of(name) for name in names]
    match folder, names[-1], ids:
        case "sessions", "session", [tenant, session, _]:
            return SessionKey(tenant, session)
        case "sessions", "state", [tenant, session, _]:
            return session_scope(SessionKey(tenant, session))
        case "sessions", "request", [tenant, _, _, request, _]:
            return RequestKey(tenant, request)
        case "sessions", "state", [tenant, _, _, request, _]:
            return request_scope(RequestKey(tenant, request))
        case "idempotency_keys", _, [tenant, principal, method, key]:
            return IdempotencyKey(tenant, principal, method, key)
        case "users" | "orgs", name, [id, _]:
            kind = ScopeKind.USER if folder == "users" else ScopeKind.ORG
            return ScopeKey(kind, "", id, "" if name == "shared" else id_of(name.removeprefix("flow-")))
    raise LookupError(f"no record is kept at {path}")


def as_found(key: Key) -> Key:
    """What :func:`key_at` makes of the path of ``key``."""
    match key:
        case SessionKey():
            return SessionKey(_as_found(key.tenant), _as_found(key.session_id))
        case RequestKey():
            return RequestKey(_as_found(key.tenant), _as_found(key.request_id))
        case ScopeKey():
            return ScopeKey(key.kind, *map(_as_found, key[1:]))
        case IdempotencyKey():
            parts = key.tenant, key.principal, key.method, key.key
            return IdempotencyKey(*map(_as_found, parts))


def _as_found(id: str) -> str:
    return id_of(file_name(id))
