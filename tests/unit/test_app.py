"""How an application is put together, and what is said when it can't be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_server.app import create_flowstate, store_from_url
from flowstate_server.errors import CrossFlowSchemaConflictError
from flowstate_server.flows import Context, User, action, define_flow, handler
from flowstate_server.profiles import blobs_of
from flowstate_server.store_urls import redacted
from flowstate_server.stores.blobs import BlobFolder
from flowstate_server.stores.memory.store import MemoryStore


@handler
async def reset(_: None, ctx: Context) -> None: ...


CHAT = define_flow("chat", actions={"reset": action(block=reset)})


def test_a_store_is_given_bare_or_by_its_slot() -> None:
    store = MemoryStore()
    assert create_flowstate(flows=[CHAT], stores={"default": store}).store is store
    assert create_flowstate(flows=(CHAT,), stores={"default": {"primary": store}}).store is store
    assert isinstance(create_flowstate(flows=[CHAT]).store, MemoryStore)
    assert isinstance(store_from_url("memory"), MemoryStore)


@pytest.mark.parametrize("flows", [CHAT, None, 1])
def test_flows_must_be_a_list(flows: Any) -> None:
    with pytest.raises(TypeError, match=r"flows must be a list of flows, flows=\[\.\.\.\], not"):
        create_flowstate(flows=flows)


def test_flows_are_given_by_name() -> None:
    with pytest.raises(TypeError, match=r"takes its flows by name: write create_flowstate\(flows=\[...\]\)"):
        create_flowstate([CHAT])  # type: ignore[call-arg]


def test_flows_must_hold_flows() -> None:
    anything: Any = [reset]
    with pytest.raises(TypeError, match="flows must hold flows made by define_flow"):
        create_flowstate(flows=anything)


async def undecorated() -> AsyncIterator[None]:
    yield


def test_a_required_field_of_one_flow_is_refused_only_strictly(caplog: pytest.LogCaptureFixture) -> None:
    class Shared(BaseModel):
        theme: str = ""

    class Named(Shared):
        name: str

    flows = [
        define_flow(kind, actions={"reset": action(block=reset)}, user=User(state=model))
        for kind, model in (("a", Shared), ("b", Named))
    ]
    assert create_flowstate(flows=flows).catalogue.kinds() == ["a", "b"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    with pytest.raises(
        CrossFlowSchemaConflictError, match='field "name": required, and declared by flow "b" only'
    ):
        create_flowstate(flows=flows, strict=True)


@pytest.mark.parametrize(
    ("lifespan", "problem"),
    [
        (undecorated, r"decorate it with @asynccontextmanager"),
        (nullcontext(), r"a function under @asynccontextmanager, not a value of type nullcontext"),
        (None, r"not a value of type NoneType"),
    ],
)
def test_a_lifespan_must_make_a_context_manager(lifespan: Any, problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        create_flowstate(flows=[CHAT], lifespan=lifespan)


@pytest.mark.parametrize(
    "stores", ["sqlite:///x", {"default": "sqlite:///x"}, {"default": {"primary": "sqlite:///x"}}]
)
def test_a_url_is_no_store(stores: Any) -> None:
    with pytest.raises(TypeError, match=r"not a value of type str; .*store_from_url\(url\)"):
        create_flowstate(flows=[CHAT], stores=stores)


def test_profiles_have_names_and_reserved_slots() -> None:
    one, other = MemoryStore(), MemoryStore()
    slots: dict[str, Any] = {"primary": other, "blobs": BlobFolder("blobs"), "queue": one, "scheduler": one}
    app = create_flowstate(flows=[CHAT], stores={"default": one, "archive": slots})
    assert app.store is app.store_of("default") is one
    assert app.store_of("archive") is other
    with pytest.raises(ValueError, match="no store profile 'archiv', only archive, default"):
        app.store_of("archiv")


def test_profiles_and_slots_that_there_are_not() -> None:
    store = MemoryStore()
    with pytest.raises(ValueError, match="must hold the profile 'default', not only 'other'"):
        create_flowstate(flows=[CHAT], stores={"other": store})
    with pytest.raises(ValueError, match="must hold the profile 'default', and there are none"):
        create_flowstate(flows=[CHAT], stores={})
    with pytest.raises(ValueError, match="'default' has unknown slots: replica"):
        create_flowstate(flows=[CHAT], stores={"default": {"primary": store, "replica": store}})
    with pytest.raises(ValueError, match="'archive' lacks the slot 'primary'"):
        create_flowstate(flows=[CHAT], stores={"default": store, "archive": {"queue": store}})
    with pytest.raises(
        TypeError, match=r"slot 'blobs' must keep pieces, as BlobFolder\(path\), not .* MemoryStore"
    ):
        create_flowstate(flows=[CHAT], stores={"default": {"primary": store, "blobs": store}})
    pieces: Any = BlobFolder("blobs")
    with pytest.raises(TypeError, match="the slot 'queue' must be a store, not a value of type BlobFolder"):
        create_flowstate(flows=[CHAT], stores={"default": {"primary": store, "queue": pieces}})


async def test_blobs_are_kept_in_their_slot_else_in_the_primary_store() -> None:
    store, folder = MemoryStore(), BlobFolder("blobs")
    await store.open()
    assert blobs_of({"primary": store, "blobs": folder}) is folder
    assert blobs_of({"primary": store}) is blobs_of(store) is store.pieces
    await store.close()


@pytest.mark.parametrize(
    "url", ["sqlite:chat.db", "sqlite:///", "file:", "file://host/x", "redis://x", "", "mem"]
)
def test_urls_of_no_store(url: str) -> None:
    with pytest.raises(ValueError, match="use memory, file:///PATH, sqlite:///PATH or postgres://"):
        store_from_url(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://ann:c4nary@db:5432/chat?password=c4nary", "postgres://ann@db:5432/chat"),
        ("postgresql://db/chat", "postgresql://db/chat"),
        ("postgres://[c4nary", "postgres:..."),
        ("sqlite:///chat.db", "sqlite:///chat.db"),
        ("postgres://ann:c4nary@a:1,b:2/chat?target_session_attrs=read-write", "postgres://ann@a:1,b:2/chat"),
        ("postgres:///chat?host=a,b&port=1,2&password=c4nary", "postgres://a:1,b:2/chat"),
        ("postgres://ann:c4nary@/chat?host=a,b&port=6432", "postgres://ann@a:6432,b:6432/chat"),
        ("postgres:///chat?host=/tmp", "postgres:///tmp/chat"),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    assert redacted(url) == shown


@pytest.mark.parametrize(
    "url",
    ["pool:6432/chat?listen=pool:6432", "a,pool/chat?listen=pool:5432", "/chat?host=a,b&port=1,2&listen=b:2"],
)
def test_a22_the_pooler_itself_is_no_place_to_listen_at(url: str) -> None:
    with pytest.raises(ValueError, match="listen in the URL of the store names the pooler itself"):
        store_from_url(f"postgres://{url}&serverless=true")
    store_from_url(f"postgres://{url}")  # there is no pooler


def test_a_postgres_url_has_parameters_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, dict[str, Any]]] = []

    def postgres_stores(dsn: str, **options: Any) -> MemoryStore:
        made.append((dsn, options))
        return MemoryStore()

    monkeypatch.setattr("flowstate_server.stores.postgres.postgres_stores", postgres_stores)
    store_from_url("postgres://db/chat")
    store_from_url("postgresql://ann:pw@pool:6432/chat?sslmode=require&pool=3&serverless=true&listen=db:5432")
    assert made == [
        ("postgres://db/chat", {"serverless": False, "create": True, "update": True}),
        (
            "postgresql://ann:pw@pool:6432/chat?sslmode=require",
            {
                "pool": 3,
                "serverless": True,
                "listen_dsn": "postgresql://ann:pw@db:5432/chat?sslmode=require",
                "create": True,
                "update": True,
            },
        ),
    ]


@pytest.mark.parametrize("parameter", ["pool=0", "pool=x", "serverless=yes"])
def test_wrong_parameters_are_named(parameter: str) -> None:
    with pytest.raises(ValueError, match=f"{parameter.partition('=')[0]} in the URL of the store must be"):
        store_from_url(f"postgres://db/chat?{parameter}")


@pytest.mark.parametrize(
    "url",
    [
        "postgres:///chat?host=h&password=c4nary",
        "postgres:user:c4nary@host/db",
        "postgres://u:[c4nary]@h/db",
        "postgres://u:c4nary＃@h/db",
        "pg://user:c4/nary@host/db",
    ],
)
def test_a_password_is_nowhere_in_what_is_said_of_a_url(url: str) -> None:
    assert "c4nary" not in redacted(url)
    assert "c4nary" not in _refusal_of(url)


def _refusal_of(url: str) -> str:
    try:
        store_from_url(url)
    except ValueError as error:
        return str(error)
    return ""
