"""Lists of requests: filters, pages, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.records import Failure, RequestStatus
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.lists import SCANNED, RequestFilter, RequestPage, RequestPosition
from flowstate_server.stores.contract.tables import SESSIONS
from flowstate_server.stores.contract.writes import CreateRequest, FinishRequest, RenewLease
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    ENDS,
    LEASE,
    PROCESS,
    Scene,
    finish,
    new_request,
    new_session,
    open_scene,
    request_of,
    take_over,
)
from flowstate_server.testing.store_contract.harness import StoreHarness

ALL = RequestFilter(NO_TENANT)
BYTES = 1 << 20
LOG = "log-session-1"
SESSION = SessionKey(NO_TENANT, "session-1")
OF_SESSION = replace(ALL, session=(SESSION, LOG))


async def every(
    store: Store, which: RequestFilter = ALL, *, limit: int = 100, max_bytes: int = BYTES
) -> list[str]:
    """The ids of all requests, page by page."""
    names: list[str] = []
    after: RequestPosition | None = None
    while True:
        page = await store.list_requests(which, limit=limit, max_bytes=max_bytes, after=after)
        assert len(page.requests) <= limit
        names += [record.key.request_id for record in page.requests]
        if page.end is None:
            return names
        assert page.end != after, "a page that is not the last must get on"
        after = page.end


async def same_in_any_pages(store: Store, which: RequestFilter, wanted: Sequence[str]) -> None:
    for limit in (1, 2, 100):
        assert await every(store, which, limit=limit) == list(wanted), (which, limit)


async def check_requests_are_listed_newest_first(harness: StoreHarness) -> None:
    """Requests by create time, then id, both descending, whatever page size; of a session, a user and a tenant."""
    store = await harness.open()
    for number in range(4):
        await open_scene(store, request_id=f"request-{number}")
    other = await open_scene(store, "session-2", "other", user="bob")
    together = [new_request(other.session, f"at once {name}", user="bob") for name in ("b", "a", "B", "é")]
    await store.commit(tuple(together))
    await open_scene(store, request_id="elsewhere", tenant="tenant")
    of_bob = ["at once é", "at once b", "at once a", "at once B", "other"]
    of_ada = [f"request-{number}" for number in (3, 2, 1, 0)]
    await same_in_any_pages(store, ALL, of_bob + of_ada)
    await same_in_any_pages(store, OF_SESSION, of_ada)
    await same_in_any_pages(store, replace(ALL, user_id="bob"), of_bob)
    await same_in_any_pages(store, RequestFilter(Tenant("tenant")), ["elsewhere"])
    await same_in_any_pages(store, replace(ALL, session=(other.session, "log-session-2")), of_bob)


async def check_filters_of_requests(harness: StoreHarness) -> None:
    """Each filter, and any of them together, picks the right requests; empty differs from absent."""
    store = await harness.open()
    await store.commit((RenewLease(PROCESS, LEASE, start=True), new_session(), new_session("session-2")))
    two = SessionKey(NO_TENANT, "session-2")
    for create in (
        new_request(SESSION, "1"),
        replace(new_request(SESSION, "2"), action="sing"),
        replace(new_request(two, "3", user="bob"), org_id="acme"),
        replace(new_request(two, "4", user="bob"), flow_kind="other"),
        new_request(two, "5"),
    ):
        await store.commit((create,))
    await store.commit((finish(new_request(SESSION, "1").key),))
    await store.commit((finish(new_request(two, "4").key, status=RequestStatus.FAILED),))
    running, completed = RequestStatus.IN_PROGRESS, RequestStatus.COMPLETED
    for which, wanted in (
        (ALL, "54321"),
        (replace(ALL, flow_kind="chat"), "5321"),
        (replace(ALL, flow_kind="chat", action="sing"), "2"),
        (replace(ALL, flow_kind="other", action="sing"), ""),
        (replace(ALL, user_id="bob"), "43"),
        (replace(ALL, user_id="bob", session=(two, "log-session-2")), "43"),
        (replace(ALL, user_id="bob", session=(SESSION, LOG)), ""),
        (replace(ALL, user_id=""), ""),
        (replace(ALL, org_id="acme"), "3"),
        (replace(ALL, org_id=""), "5421"),
        (replace(ALL, statuses=frozenset((running,))), "532"),
        (replace(ALL, statuses=frozenset((running,)), user_id="bob"), "3"),
        (replace(ALL, statuses=frozenset((running,)), session=(SESSION, LOG)), "2"),
        (replace(ALL, statuses=frozenset((completed, RequestStatus.FAILED))), "41"),
        (replace(ALL, statuses=frozenset((running, completed)), user_id="ada"), "521"),
        (replace(ALL, statuses=frozenset((RequestStatus.QUEUED,))), ""),
        (replace(OF_SESSION, session=(SESSION, "another")), ""),
        (replace(OF_SESSION, tenant=Tenant("tenant"), session=(SessionKey(Tenant("tenant"), "s"), LOG)), ""),
        (RequestFilter(Tenant("tenant"), statuses=frozenset((running,))), ""),
    ):
        await same_in_any_pages(store, which, list(wanted))


async def _ended(scene: Scene, status: RequestStatus, failure: Failure | None = None) -> None:
    output = b'"out"' if status is RequestStatus.COMPLETED else None
    reason = "enough" if status is RequestStatus.ABORTED else ""
    end = FinishRequest(
        scene.request, status, ENDS[status], {}, scene.scopes, output=output, failure=failure, reason=reason
    )
    await scene.commit(end)


async def check_listed_requests_are_the_records(harness: StoreHarness) -> None:
    """With payloads a listed request is the record as read by its key; without, input and output are left out."""
    store = await harness.open()
    failure = Failure("WHY", "words", {"a": [1, None]}, "error-1", retryable=True)
    for status in ENDS:
        scene = await open_scene(store, request_id=status.value)
        await _ended(scene, status, failure if status is RequestStatus.FAILED else None)
    await open_scene(store, request_id="running")
    for which in (OF_SESSION, ALL, replace(ALL, user_id="ada")):
        page = await store.list_requests(replace(which, with_payloads=True), limit=9, max_bytes=BYTES)
        whole = [await request_of(store, record.key) for record in page.requests]
        assert list(page.requests) == whole
        assert len(whole) == 5
        page = await store.list_requests(which, limit=9, max_bytes=BYTES)
        assert list(page.requests) == [replace(record, input=b"", output=None) for record in whole]


async def check_pages_of_requests_stop_at_their_size(harness: StoreHarness) -> None:
    """A page ends before its texts exceed the limit, but has one request at least; texts left out do not count."""
    store = await harness.open()
    await store.commit((RenewLease(PROCESS, LEASE, start=True), new_session()))
    for number in range(5):
        create = replace(new_request(SESSION, f"{number}"), input=b'"' + b"x" * 998 + b'"')
        await store.commit((create,))
        failure = Failure("WHY", "", {"text": "y" * 400})
        await store.commit(
            (
                FinishRequest(
                    create.key, RequestStatus.FAILED, ENDS[RequestStatus.FAILED], {}, (), failure=failure
                ),
            )
        )
    for which in (OF_SESSION, ALL, replace(ALL, flow_kind="chat")):
        with_payloads = replace(which, with_payloads=True)
        for max_bytes, wanted in ((3500, 2), (1, 1), (100_000, 5)):
            page = await store.list_requests(with_payloads, limit=9, max_bytes=max_bytes)
            assert len(page.requests) == wanted
        assert await every(store, with_payloads, max_bytes=3500) == list("43210")
        page = await store.list_requests(which, limit=9, max_bytes=1500)
        assert 2 <= len(page.requests) <= 3
        assert await every(store, which, max_bytes=1500) == list("43210")


async def check_lists_of_requests_stay_right_while_requests_are_added(harness: StoreHarness) -> None:
    """Requests created between two pages neither repeat nor hide others."""
    store = await harness.open()
    for number in range(5):
        await open_scene(store, request_id=f"old-{number}")
    seen: list[str] = []
    page = RequestPage((), None)
    while not seen or page.end is not None:
        page = await store.list_requests(OF_SESSION, limit=2, max_bytes=BYTES, after=page.end)
        seen += [record.key.request_id for record in page.requests]
        await open_scene(store, request_id=f"new-{len(seen)}")
    assert seen == [f"old-{number}" for number in (4, 3, 2, 1, 0)]


async def check_requests_of_sessions_that_do_not_live_are_not_listed(harness: StoreHarness) -> None:
    """The requests of a deleted session are in no list, nor are they once it is made anew."""
    store = await harness.open()
    scene = await open_scene(store, request_id="old")
    await scene.finish()
    await open_scene(store, "session-2", "kept")
    session = await store.get_session(SESSION)
    assert session is not None
    await take_over(store, SESSIONS, (replace(session, delete_time=await store.time()),))
    for which in (OF_SESSION, ALL, replace(ALL, user_id="ada"), replace(ALL, flow_kind="chat")):
        assert await every(store, which) == ([] if which is OF_SESSION else ["kept"])
    await store.commit((replace(new_session(), log_id="another", exclusive=True),))
    await open_scene(store, request_id="new")
    assert await every(store) == ["new", "kept"]
    assert await every(store, OF_SESSION) == []
    assert await every(store, replace(ALL, session=(SESSION, "another"))) == ["new"]


async def check_a_page_of_picked_requests_costs_no_more_than_a_scan(harness: StoreHarness) -> None:
    """Where hardly any request is picked a page may come early, and empty; all of them are found in the end."""
    store = await harness.open()
    await store.commit((RenewLease(PROCESS, LEASE, start=True), new_session()))
    await store.commit((replace(new_request(SESSION, "first"), action="rare"),))
    for number, at_once in enumerate((SCANNED + 10, 1, 1)):  # of one moment are more than a page looks at
        writes: list[CreateRequest] = [
            new_request(SESSION, f"request-{number}-{place}") for place in range(at_once)
        ]
        await store.commit(tuple(writes))
    for which in (ALL, OF_SESSION, replace(ALL, user_id="ada")):
        rare = replace(which, flow_kind="chat", action="rare")
        page = await store.list_requests(rare, limit=10, max_bytes=BYTES)
        assert len(page.requests) <= 1
        assert await every(store, rare) == ["first"]
        assert await every(store, replace(which, flow_kind="never")) == []
