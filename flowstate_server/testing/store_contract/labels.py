"""Finding sessions: by tags, by metadata, by activity, all together; and counting them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from flowstate_server.errors import SessionNotFoundError
from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.scopes import SessionKey
from flowstate_server.model.session_labels import labels
from flowstate_server.stores.contract.deletion_writes import DeleteSession
from flowstate_server.stores.contract.reads import SessionFilter, SessionPosition
from flowstate_server.stores.contract.tables import SESSIONS
from flowstate_server.stores.contract.writes import AppendEvents, CreateSession, UpdateSession
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import new_session, note, take_over
from flowstate_server.testing.store_contract.expectations import refused
from flowstate_server.testing.store_contract.harness import StoreHarness
from flowstate_server.testing.store_contract.listing import ALL, every, ids, place

KEY = SessionKey(NO_TENANT, "session-1")

VALUES: tuple[object, ...] = (
    *(None, True, False, 0, -0.0, 0.0, 1, 1.0, -1, 2**63 - 1, 1e300, 0.1),
    *("", "1", "true", "é", "\x00", "\U0001d11e", [], {}, [1], [1.0], [[1]], {"a": 1}, {"a": 1.0}, {"a": {}}),
    "x" * 5000,
)
"""No two of them are equal."""


def having(*tags: str, which: SessionFilter = ALL, **metadata: object) -> SessionFilter:
    return replace(which, labels=tuple(sorted(labels(tags, as_json(metadata)))))


def as_json(metadata: dict[str, object]) -> JsonObject:
    return metadata  # type: ignore[return-value]


def labelled(session_id: str, *tags: str, **metadata: object) -> CreateSession:
    return replace(new_session(session_id), tags=tags, metadata=as_json(metadata))


async def found(store: Store, which: SessionFilter, *, limit: int = 100) -> list[str]:
    """The ids of all pages, of which there are as many as are counted."""
    names = ids(await every(store, which, limit=limit))
    assert await store.count_sessions(which) == len(names), which
    return names


async def check_sessions_by_tags(harness: StoreHarness) -> None:
    """Sessions are found by their tags: those that have all that are asked for."""
    store = await harness.open()
    await store.commit((labelled("1", "a", "b"),))
    await store.commit((labelled("2", "b", "c", "b"),))
    await store.commit((labelled("3"),))
    await store.commit((labelled("4", a=None),))
    for tags, wanted in (("a", "1"), ("b", "21"), ("ab", "1"), ("ac", ""), ("bc", "2"), ("x", "")):
        for limit in (1, 100):
            assert await found(store, having(*tags), limit=limit) == list(wanted), tags
    assert await found(store, ALL) == list("4321")


async def check_sessions_by_metadata_of_every_kind(harness: StoreHarness) -> None:
    """A top-level key of the metadata finds its value of every kind and size, and no other one."""
    store = await harness.open()
    await store.commit(tuple(labelled(f"{at:02}", value=value) for at, value in enumerate(VALUES)))
    await store.commit((labelled("other", other=1),))
    for at, value in enumerate(VALUES):
        assert await found(store, having(value=value)) == [f"{at:02}"], value
    assert await found(store, having(value="unknown")) == []


async def check_nested_metadata_are_equal_whatever_their_order(harness: StoreHarness) -> None:
    """Nested objects are equal however their keys are ordered; lists are in order; keys may be any text."""
    store = await harness.open()
    odd: JsonObject = {"": {"b": [1, {"d": 1, "c": 2}], "a": 1}, "a\x00\U0001d11e": 1}
    await store.commit((replace(new_session("s"), metadata=odd),))
    for metadata, wanted in (
        ({"": {"a": 1, "b": [1, {"c": 2, "d": 1}]}}, ["s"]),
        ({"": {"a": 1, "b": [{"c": 2, "d": 1}, 1]}}, []),
        ({"a\x00\U0001d11e": 1}, ["s"]),
        ({"a": 1}, []),
    ):
        which = replace(ALL, labels=tuple(labels((), as_json(metadata))))  # type: ignore[arg-type]
        assert await found(store, which) == wanted, metadata


async def check_a_tag_is_no_metadata(harness: StoreHarness) -> None:
    """Neither finds what has the other of the same text."""
    store = await harness.open()
    await store.commit((labelled("tagged", "a", '"a":1', "a:1"),))
    await store.commit((labelled("described", a=1),))
    assert await found(store, having(a=1)) == ["described"]
    for tag in ("a", '"a":1', "a:1"):
        assert await found(store, having(tag)) == ["tagged"]


async def check_many_labels_at_once(harness: StoreHarness) -> None:
    """However many labels are asked for, a session that lacks one of them is not found."""
    store = await harness.open()
    tags = [f"tag-{number}" for number in range(30)]
    metadata: dict[str, Any] = {f"key-{number}": number for number in range(30)}
    await store.commit((labelled("all", *tags, **metadata), labelled("most", *tags[1:], **metadata)))
    assert await found(store, having(*tags, **metadata)) == ["all"]
    assert await found(store, having(*tags[1:], which=replace(ALL, user_id="ada"), **metadata)) == [
        "most",
        "all",
    ]
    assert await found(store, having(*tags, "other", **metadata)) == []


async def check_filters_with_labels(harness: StoreHarness) -> None:
    """Labels narrow the other filters, and they narrow them."""
    store = await harness.open()
    for number in range(24):
        create = labelled(f"{number:02}", *("ab"[: number % 3]), even=number % 2 == 0)
        bound = replace(
            create,
            user_id=("ada", "bob")[number % 4 // 2],
            org_id=("acme", "")[number % 2],
            flow_kind=("chat", "other")[number > 11],
        )
        await store.commit((replace(bound, ephemeral=number % 5 == 0),))
    await store.commit((replace(labelled("x", "a", even=True), key=SessionKey(Tenant("t"), "x")),))
    for flow in (None, "chat", "other"):
        for user in (None, "ada", "nobody"):
            for org in (None, "acme", ""):
                for tags, even in (((), True), (("a",), None), (("a", "b"), True), (("b",), False)):
                    for ephemeral in (False, True):
                        which = SessionFilter(NO_TENANT, flow, user, org, ephemeral)
                        metadata = {} if even is None else {"even": even}
                        expected = [
                            f"{number:02}"
                            for number in range(23, -1, -1)
                            if (flow is None or (flow == "other") == (number > 11))
                            and user in (None, ("ada", "bob")[number % 4 // 2])
                            and org in (None, ("acme", "")[number % 2])
                            and len(tags) <= number % 3
                            and (tags != ("b",) or number % 3 == 2)
                            and even in (None, number % 2 == 0)
                            and (ephemeral or number % 5)
                        ]
                        which = having(*tags, which=which, **metadata)
                        assert await found(store, which, limit=5) == expected, which


async def check_labels_follow_updates(harness: StoreHarness) -> None:
    """An update moves a session from what it was found by to what it is found by now, and leaves the rest."""
    store = await harness.open()
    await store.commit((labelled("session-1", "a", "b", k=1, l=[2]),))
    await store.commit((UpdateSession(KEY, {"tags": ["b", "c"]}),))
    await store.commit(
        (UpdateSession(KEY, {"title": "t"}), UpdateSession(KEY, {"metadata": {"k": 2, "l": [2]}}))
    )
    for which, there in (
        (having("a"), False),
        (having("b", "c"), True),
        (having(k=1), False),
        (having("c", k=2, l=[2]), True),
    ):
        assert await found(store, which) == ["session-1"] * there, which
    await store.commit((UpdateSession(KEY, {"tags": [], "metadata": {}}),))
    for which in (having("b"), having(k=2), having(l=[2])):
        assert await found(store, which) == []
    assert await found(store, ALL) == ["session-1"]


async def check_labels_written_twice_in_a_commit(harness: StoreHarness) -> None:
    """Of a session that one commit makes and changes only the last is found."""
    store = await harness.open()
    await store.commit((labelled("session-1", "a", "b"), UpdateSession(KEY, {"tags": ["b", "c"]})))
    assert [len(await found(store, having(tag))) for tag in "abc"] == [0, 1, 1]
    change, back = UpdateSession(KEY, {"tags": ["x"]}), UpdateSession(KEY, {"tags": ["c", "b"]})
    await store.commit((change, back))
    assert [len(await found(store, having(tag))) for tag in "abcx"] == [0, 1, 1, 0]


async def check_labels_of_a_session_made_anew(harness: StoreHarness) -> None:
    """A deleted session is found by nothing; made anew it is found by its own labels alone."""
    store = await harness.open()
    await store.commit((labelled("session-1", "a", "b", k=1),))
    session = await store.get_session(KEY)
    assert session is not None
    await take_over(store, SESSIONS, [replace(session, delete_time=session.create_time)])
    assert [len(await found(store, which)) for which in (having("a"), having(k=1), ALL)] == [0, 0, 0]
    create = replace(labelled("session-1", "b", "c", k=2), log_id="new", exclusive=True)
    await store.commit((create,))
    for which, there in ((having("a"), 0), (having("b"), 1), (having("c", k=2), 1), (having(k=1), 0)):
        assert len(await found(store, which)) == there, which


async def check_labels_of_deleted_sessions(harness: StoreHarness) -> None:
    """A deleted session is in no list, whatever it was found by; neither is one that is made anew without it."""
    store = await harness.open()
    await store.commit((labelled("1", "a", team="red"),))
    await store.commit((labelled("2", "a", team="red"),))
    lists = (having("a"), having(team="red"), having("a", team="red"), ALL)
    await store.commit((DeleteSession(SessionKey(NO_TENANT, "2")),))
    for which in lists:
        assert await found(store, which) == ["1"]
    await store.commit((replace(labelled("2", "b"), log_id="anew", exclusive=True),))
    assert [await found(store, which) for which in (*lists, having("b"))] == [["1"]] * 3 + [["2", "1"], ["2"]]
    await store.commit((DeleteSession(SessionKey(NO_TENANT, "1")),))
    while await store.sweep_sessions(retention=Micros(0), limit=10):
        pass
    assert [await found(store, which) for which in (*lists, having("b"))] == [[]] * 3 + [["2"]] * 2


async def check_labels_of_copied_sessions(harness: StoreHarness) -> None:
    """A session that is taken over from another store is found as there, also where it replaces another one."""
    store = await harness.open()
    await store.commit((labelled("session-1", "a"), labelled("2", "a", k=1)))
    session = await store.get_session(KEY)
    assert session is not None
    copied = replace(session, tags=("b",), metadata={"k": 1}, create_time=Micros(session.create_time + 5))
    other = replace(copied, key=SessionKey(Tenant("t"), "other"), ephemeral=True)
    await take_over(store, SESSIONS, [copied, other])
    assert await found(store, having("a")) == ["2"]
    assert await found(store, having("b", k=1)) == ["session-1"]
    assert await found(store, having(k=1)) == ["session-1", "2"]
    elsewhere = SessionFilter(Tenant("t"), include_ephemeral=True)
    assert await found(store, having("b", which=elsewhere)) == ["other"]


async def check_refused_updates_move_no_label(harness: StoreHarness) -> None:
    """A batch that is refused changes nothing of what finds a session."""
    store = await harness.open()
    await store.commit((labelled("session-1", "a"),))
    missing = AppendEvents(SessionKey(NO_TENANT, "missing"), (note(),))
    with refused(SessionNotFoundError, session_id="missing"):
        await store.commit((UpdateSession(KEY, {"tags": ["b"]}), labelled("2", "b"), missing))
    assert [await found(store, having(tag)) for tag in "ab"] == [["session-1"], []]


async def check_labels_are_kept(harness: StoreHarness) -> None:
    """What finds a session finds it after the store was opened again."""
    store = await harness.open()
    await store.commit((labelled("session-1", "a", k={"n": 1}), labelled("2", "a")))
    await store.commit((UpdateSession(KEY, {"tags": ["b"]}),))
    store = await harness.reopen(store)
    assert await found(store, having("a")) == ["2"]
    assert await found(store, having("b", k={"n": 1})) == ["session-1"]


async def check_active_sessions(harness: StoreHarness) -> None:
    """Sessions are listed by whether anything happened in them after a time, of whatever age they are."""
    store = await harness.open()
    for name in "1234":
        await store.commit((labelled(name, "odd" if name in "13" else "even"),))
    created = (await every(store))[0].record.create_time
    appended = await store.commit((AppendEvents(SessionKey(NO_TENANT, "1"), (note(),)),))
    await store.commit((AppendEvents(SessionKey(NO_TENANT, "2"), (note(),)),))
    for after, wanted in ((0, "4321"), (created, "21"), (appended.time, "2"), (2**60, "")):
        which = replace(ALL, active_after=Micros(after))
        for limit in (1, 100):
            assert await found(store, which, limit=limit) == list(wanted)
    assert await found(store, having("odd", which=replace(ALL, active_after=created))) == ["1"]
    ada = replace(ALL, user_id="ada", active_after=created)
    assert await found(store, ada) == ["2", "1"]
    assert await found(store, replace(ada, user_id="bob")) == []


async def check_filters_that_rarely_meet(harness: StoreHarness) -> None:
    """However seldom two filters meet, all pages together have what there is, in order and once."""
    store = await harness.open()
    many = 2500
    for start in range(0, many, 100):
        await store.commit(tuple(_of_many(number) for number in range(start, start + 100)))
    both = [f"{number:05}" for number in range(many - 1, -1, -1) if number in (3, 1203, 1204)]
    assert await found(store, having("first", "last")) == both
    assert await found(store, having("first", "last"), limit=1) == both
    assert await found(store, having("first", which=replace(ALL, user_id="bob"))) == both[:1]
    first = [f"{number:05}" for number in range(1204, -1, -1)]
    assert await found(store, having("first"), limit=500) == first


def _of_many(number: int) -> CreateSession:
    tags = [tag for tag, those in (("first", number < 1205), ("last", number > 1202 or number == 3)) if those]
    return replace(labelled(f"{number:05}", *tags), user_id="bob" if number >= 1204 else "ada")


async def check_pages_by_label_stay_right_while_sessions_are_added(harness: StoreHarness) -> None:
    """Sessions created between two pages neither repeat nor hide others that have the label."""
    store = await harness.open()
    names = [f"old-{number}" for number in range(7)]
    for name in names:
        await store.commit((labelled(name, "a", k=1),))
    seen: list[str] = []
    after: SessionPosition | None = None
    while True:
        page = await store.list_sessions(having("a", k=1), limit=2, after=after)
        seen += ids([*page.sessions])
        if page.next is None:
            break
        assert after is None or place(page.next) < place(after)
        after = page.next
        await store.commit((labelled(f"new-{len(seen)}", "a", k=1),))
    assert seen == names[::-1]


async def check_labels_of_another_handle(harness: StoreHarness) -> None:
    """Changes of one session through two handles leave it found by what it has now alone."""
    one, other = await harness.open(), await harness.open()
    await one.commit((labelled("session-1", "a"),))
    for number in range(10):
        store = (one, other)[number % 2]
        await store.commit((UpdateSession(KEY, {"tags": [f"t{number}", "a"]}),))
    assert await _tags_of(one, (f"t{number}" for number in range(10))) == ["t9"]
    assert await _tags_of(other, "ab") == ["a"]


async def _tags_of(store: Store, tags: Iterable[str]) -> list[str]:
    return [tag for tag in tags if await found(store, having(tag))]
