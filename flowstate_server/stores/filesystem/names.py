"""Where each record's file is. Paths are relative to the store's folder."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import PurePosixPath as Path

from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind, SessionKey

LONGEST = 200
KEPT = 150
NONE = "@none"

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


def session_folder(key: SessionKey) -> Path:
    return Path("sessions", file_name(key.tenant), file_name(key.session_id))


def session_path(key: SessionKey) -> Path:
    return session_folder(key) / "session.json"


def counters_path(key: SessionKey) -> Path:
    return session_folder(key) / "counters.json"


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
