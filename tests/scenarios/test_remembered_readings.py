"""What a server remembers of how records read to its flows, which come and go."""

from __future__ import annotations

import gc
from typing import Annotated
from weakref import ref

from pydantic import AfterValidator, BaseModel

from flowstate_server.app import create_flowstate
from flowstate_server.flows import ClientView, Context, Flow, Session, action, define_flow, handler
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.testing.server import running_server
from flowstate_server.testing.waiting import until

calls: list[str] = []


def lower(text: str) -> str:
    calls.append(text)
    return text.lower()


def flow(kind: str) -> Flow:
    class Kept(BaseModel):
        text: Annotated[str, AfterValidator(lower)] = ""

    @handler(session_state=Kept)
    async def write(value: str, ctx: Context[Kept]) -> None:
        await ctx.session.patch_state(text=value)

    view = ClientView(expose=["text"])
    return define_flow(kind, session=Session(state=Kept, client=view), actions={"write": action(block=write)})


async def test_it_is_forgotten_with_the_flow() -> None:
    chat, other = flow("chat"), flow("other")
    schema = ref(other.described.schemas[ScopeKind.SESSION])
    async with (
        running_server(create_flowstate(flows=[chat, other])) as server,
        server.connect(user="u", plane="trusted") as client,
    ):
        for kind in ("chat", "other"):
            await client.flows.call(kind, "write", "a", session_id=kind)
        looks = (
            lambda: client.state.session("chat").get(),
            lambda: client.sessions.snapshot("chat"),
        )
        for look in looks:
            await look()
            calls.clear()
            await look()
            assert not calls, "it was judged before"
        await client.sessions.snapshot("other")
        assert server.engine.catalogue.unregister("other") is other
        for look in looks:
            calls.clear()
            await look()
            assert calls == ["a"]
        del other

        def forgotten() -> bool:
            gc.collect()
            return schema() is None

        # A time limit of the run, which was over in time, may stand in the loop for a moment more.
        await until(forgotten)
