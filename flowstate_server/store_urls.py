"""Stores by URL, each adapter imported when it is asked for."""

from __future__ import annotations

import re
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from flowstate_server.stores.memory.store import MemoryStore
from flowstate_server.stores.store import Store

FORMS = "memory, file:///PATH, sqlite:///PATH or postgres://USER@HOST/DATABASE"
MEMORY = ("memory", "memory://")
POSTGRES = ("postgres", "postgresql")
_SLASHES = {
    "sqlite": "three slashes lead to a file beside the working directory (sqlite:///chat.db), four to one at an "
    "absolute path (sqlite:////var/lib/chat.db)",
    "file": "file:chat is a folder beside the working directory, file:///var/lib/chat one at an absolute path",
}


def store_from_url(url: str, *, create: bool = True, update: bool = True) -> Store:
    """The store that a URL names, not yet opened.

    ``memory`` keeps state in this process. ``sqlite:///chat.db`` is a file beside the working directory,
    ``sqlite:////var/lib/chat.db`` one at an absolute path. ``file:///var/lib/chat`` is a folder at an absolute path,
    ``file:chat`` one beside the working directory. ``postgres://`` is what Postgres clients take everywhere, with
    several hosts too: ``postgres://a:5432,b:5432/chat?target_session_attrs=read-write`` or
    ``postgres:///chat?host=a,b&port=5432,5432``, of which the one that is the primary is used. Three parameters are
    FlowState's own: ``pool=5`` (most connections), ``serverless=true`` (the URL leads to a pooler in
    transaction mode) and ``listen=HOST:PORT`` (the database itself past that pooler, to listen there for other
    servers' commits).

    Without ``create`` a store that is not there is not opened but refused. Without ``update`` one of an older release
    is not brought up to date: what needs what it has not fails, and a folder is refused.

    Raises:
        ValueError: the URL names no store, or its driver is not installed.
    """
    if url in MEMORY:
        return MemoryStore()
    scheme = url.partition(":")[0]
    path = path_of(url)
    if path is not None and "?" in url:
        raise ValueError(f"{url!r} has parameters, a store of files takes none")
    if scheme == "sqlite" and path is not None:
        from flowstate_server.stores.sqlite.store import SqliteStore

        return SqliteStore(path, create=create, update=update)
    if scheme == "file" and path is not None:
        from flowstate_server.stores.filesystem.store import FilesystemStore

        return FilesystemStore(path, create=create, update=update)
    if scheme in POSTGRES and url.startswith(f"{scheme}://"):
        return _postgres(url, create, update)
    if url and ":" not in url:
        raise ValueError(f"no store for {url!r}: use {FORMS}; of that file: sqlite:///{url}")
    if scheme in ("sqlite", "file"):
        raise ValueError(f"no store for {url!r}: use {FORMS}; {_SLASHES[scheme]}")
    raise ValueError(f"no store for {redacted(url)!r}: use {FORMS}")


def redacted(url: str) -> str:
    """The URL without the password in it, and without parameters, which may hold one too."""
    scheme = url.partition(":")[0]
    if scheme in ("memory", "file", "sqlite"):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"{scheme}:..."
    user, at, _ = parts.netloc.rpartition("@")
    if scheme not in POSTGRES or "@" in parts.path or not url.startswith(f"{scheme}://"):
        return f"{scheme}:..."
    name = user.partition(":")[0]
    return f"{scheme}://{name}{at}{_hosts(parts)}{parts.path}"


def _hosts(parts: SplitResult) -> str:
    """Where a URL of Postgres leads to: the hosts before its path, else those among its parameters."""
    named = parts.netloc.rpartition("@")[2]
    given = dict(parse_qsl(parts.query))
    if named or "host" not in given:
        return named
    hosts, ports = given["host"].split(","), given.get("port", "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return ",".join(
        f"{host}:{port}" if port else host for host, port in zip_longest(hosts, ports, fillvalue="")
    )


def path_of(url: str) -> Path | None:
    """Where a URL's store is on the file system, if it is there."""
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite" and rest.startswith("///") and len(rest) > 3:
        return Path(rest[3:])
    return Path(_folder(rest)) if scheme == "file" and _folder(rest) else None


def _folder(rest: str) -> str:
    """The path in what follows ``file:``."""
    if rest.startswith("//"):
        rest = rest[2:] if rest.startswith("///") else ""
    return unquote(rest)


def _postgres(url: str, create: bool, update: bool) -> Store:
    if find_spec("asyncpg") is None:
        raise ValueError(
            "the driver of Postgres is not installed; pip install 'flowstate-grpc[server,postgres]' brings it, "
            "or of a checkout pip install 'PATH[server,postgres]'"
        )
    from flowstate_server.stores.postgres import postgres_stores

    try:
        parts = urlsplit(url)
    except ValueError:  # its text repeats parts of the URL
        parts = None
    if parts is None:
        raise ValueError("the Postgres URL can't be understood; percent-encode special characters")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    own = {name: given.pop(name) for name in ("pool", "serverless", "listen") if name in given}
    dsn = parts._replace(query=urlencode(given))
    options: dict[str, Any] = {
        "serverless": _switch("serverless", own.get("serverless", "false")),
        "create": create,
        "update": update,
    }
    if "pool" in own:
        options["pool"] = _count("pool", own["pool"])
    if "listen" in own:
        if options["serverless"] and _places(own["listen"]) & _places(_hosts(parts)):
            raise ValueError(
                "listen in the URL of the store names the pooler itself, through which no notification comes: give"
                " HOST:PORT of the database, or leave it out"
            )
        login, at, _ = parts.netloc.rpartition("@")
        options["listen_dsn"] = urlunsplit(dsn._replace(netloc=login + at + own["listen"]))
    return postgres_stores(urlunsplit(dsn), **options)


def _places(hosts: str) -> set[str]:
    return {host if re.search(r":\d+$", host) else f"{host}:5432" for host in hosts.split(",")}


def _switch(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"{name} in the URL of the store must be true or false")
    return text == "true"


def _count(name: str, text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ValueError(f"{name} in the URL of the store must be a positive integer")
    return int(text)
