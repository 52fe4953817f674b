"""What a caller has begun or said is remembered for that caller alone: tenant, user, org, plane and credentials."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import product
from pathlib import Path

import pytest

from flowstate.v1 import (
    journal_service_pb2 as journals,
    resource_service_pb2 as resources,
    session_service_pb2 as sessions,
    state_service_pb2 as states,
)
from flowstate.v1.events_pb2 import Item
from flowstate.v1.journal_service_pb2_grpc import JournalServiceStub
from flowstate.v1.types_pb2 import ScopeRef
from flowstate_server.rpc.token_file import read_tokens
from tests.support.resource_flow import KIND, Desk, desk_server, increment, value
from tests.support.wire import TRUSTED

Metadata = tuple[tuple[str, str], ...]
Call = Callable[[Desk, Metadata], Awaitable[bool]]
"""Whether the answer is that of an earlier call."""


def _callers(*planes: str) -> list[Metadata]:
    return [
        (
            ("x-flowstate-plane", plane),
            *((("x-flowstate-user", user),) if user else ()),
            *((("x-flowstate-org", org),) if org else ()),
        )
        for plane, user, org in product(planes, ("", "ada", "acme"), ("", "acme", "other"))
    ]


async def _create(desk: Desk, caller: Metadata) -> bool:
    user = dict(caller).get("x-flowstate-user", "ada")
    new = sessions.CreateSessionRequest(
        session=sessions.Session(flow_kind=KIND, user_id=user), idempotency_key="k"
    )
    return (await desk.sessions.CreateSession(new, metadata=caller)).replayed


async def _commit(desk: Desk, caller: Metadata) -> bool:
    change = states.StateMutation(scope=_session(caller), ops=[increment("/count")])
    request = states.CommitStateRequest(mutations=[change], idempotency_key="k")
    return (await desk.states.CommitState(request, metadata=caller)).replayed


async def _note(desk: Desk, caller: Metadata) -> bool:
    request = journals.AppendJournalRequest(
        session_id=_session(caller).session_id,
        entries=[journals.JournalEntry(text="x")],
        idempotency_key="k",
    )
    return (await JournalServiceStub(desk.channel).AppendJournal(request, metadata=caller)).replayed


async def _append(desk: Desk, caller: Metadata) -> bool:
    item = Item(kind="message", role="user", content=value({"parts": [{"type": "text", "text": "x"}]}))
    request = sessions.AppendItemsRequest(
        session_id=_session(caller).session_id, items=[item], idempotency_key="k"
    )
    return (await desk.sessions.AppendItems(request, metadata=caller)).replayed


async def _put(desk: Desk, caller: Metadata) -> bool:
    resource = resources.Resource(scope=_session(caller), name="draft", state=value({"words": 1}))
    request = resources.PutResourceRequest(resource=resource, idempotency_key="k")
    return (await desk.resources.PutResource(request, metadata=caller)).replayed


async def _upload(desk: Desk, caller: Metadata) -> bool:
    """Of the first piece nothing is there yet."""
    request = resources.WriteContentRequest(scope=_session(caller), name="draft", upload_id="u", data=b"x")
    again = resources.WriteContentRequest(scope=_session(caller), name="draft", upload_id="u", position=9)
    before = (await desk.resources.WriteContent(again, metadata=caller)).received
    await desk.resources.WriteContent(request, metadata=caller)
    return before > 0


def _session(caller: Metadata) -> ScopeRef:
    """One that the caller may use; callers with the same user, or of the same org, share it."""
    claims = dict(caller)
    return ScopeRef(
        session_id=f"of {claims.get('x-flowstate-user', 'ada')} {claims.get('x-flowstate-org', 'acme')}"
    )


CALLS: dict[Call, tuple[str, ...]] = {
    _create: ("client", "trusted"),
    _commit: ("trusted",),
    _note: ("trusted",),
    _append: ("trusted",),
    _put: ("trusted",),
    _upload: ("trusted",),
}


@pytest.mark.parametrize("call", CALLS, ids=lambda one: one.__name__)
async def test_no_caller_is_answered_with_what_another_has_done(call: Call) -> None:
    callers = _callers(*CALLS[call])
    async with desk_server() as desk:
        for user, org in product(("ada", "acme"), ("acme", "other")):
            await desk.session(f"of {user} {org}", user, org)
        assert [await call(desk, caller) for caller in callers] == [False] * len(callers)
        assert [await call(desk, caller) for caller in callers] == [True] * len(callers)


async def test_uploads_of_two_callers_do_not_meet() -> None:
    async with desk_server() as desk:
        await desk.session("s1", org="acme")
        scope = ScopeRef(session_id="s1")
        for org, data in (("", b"one"), ("acme", b"two")):
            request = resources.WriteContentRequest(scope=scope, name="draft", upload_id="u", data=data)
            caller = (*TRUSTED, *((("x-flowstate-org", org),) if org else ()))
            assert (await desk.resources.WriteContent(request, metadata=caller)).received == 3
        last = resources.WriteContentRequest(
            scope=scope, name="draft", upload_id="u", position=3, finish=True
        )
        await desk.resources.WriteContent(last, metadata=TRUSTED)
        assert await desk.content(scope, "draft") == b"one"


def test_tokens_are_one_caller_only_if_they_are_the_same_in_everything(tmp_path: Path) -> None:
    same = 'tenant = "acme"\nuser = "ada"\norg = "o"\nplane = "client"\n'
    entries = [
        same + 'name = "app"',
        same + 'name = "other"',
        same.replace('"ada"', '"bob"') + 'name = "app"',
        same.replace('"o"', '"p"') + 'name = "app"',
        same.replace("client", "trusted") + 'name = "app"',
        same,
        same,
        same + 'name = "app"',
    ]
    file = tmp_path / "tokens.toml"
    tokens = [f'[[tokens]]\ntoken = "secret token {place}"\n{one}\n' for place, one in enumerate(entries)]
    file.write_text("\n".join(tokens))
    *keys, again = [principal.key for _, principal in read_tokens(file)]
    assert len(set(keys)) == len(keys)
    assert again == keys[0]
