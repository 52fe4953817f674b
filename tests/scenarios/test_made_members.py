"""Members of nested models whose ``default_factory`` gives another value each time, and that a later deploy adds."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, create_model

from flowstate_server.flows import Context, Flow, User, action, define_flow, handler
from flowstate_server.stores.memory.store import MemoryStore
from flowstate_server.testing.fixtures import StartServer
from flowstate_server.testing.flow_tester import FlowTester
from flowstate_server.testing.server import running_server


class Part(BaseModel):
    kind: Literal["part"] = "part"
    size: int = 0


class Numbered(Part):
    number: str = Field(default_factory=lambda: uuid.uuid4().hex)


class Label(BaseModel):
    kind: Literal["label"] = "label"
    text: str = ""


def parts(part: Any) -> Flow:
    """A flow whose fields have parts in them; ``part`` is what they are in this deploy."""
    choice: Any = Annotated[part | Label, Field(discriminator="kind")]
    state: Any = create_model(
        "Parts",
        n=(int, 0),
        one=(part | None, None),
        many=(list[part], []),
        by_key=(dict[str, list[choice]], {}),
        small=(list[Annotated[int, Field(le=5)]], []),
    )

    @handler(session_state=state)
    async def write(_: None, ctx: Context) -> None:
        by_key = {"a": [{"kind": "part", "size": 1}, {"kind": "label", "text": "x"}]}
        await ctx.session.patch_state(one={"size": 1}, many=[{"size": 2}, {"size": 3}], by_key=by_key)

    @handler(session_state=state)
    async def read(_: None, ctx: Context) -> list[Any]:
        seen = []
        for _once_again in range(2):
            now = ctx.session.state
            seen.append([now.one.model_dump(), [part.model_dump() for part in now.many]])
            seen[-1].append([choice.model_dump() for choice in now.by_key["a"]])
            await ctx.session.inc_state(n=1)
            await ctx.session.refresh()
        assert seen[0] == seen[1]
        return seen[0]

    return define_flow("parts", actions={"write": action(block=write), "read": action(block=read)})


async def test_f6_members_that_a_later_deploy_makes_are_stored_when_a_request_begins(
    start_server: StartServer, durable_url: str
) -> None:
    async with running_server(parts(Part), store=durable_url) as old, old.connect(user="ada") as client:
        await client.flows.call("parts", "write", None, session_id="s")
    server = await start_server(parts(Numbered), store=durable_url)
    async with server.connect(user="ada", plane="trusted") as client:
        before = await client.state.session("s").get()
        seen = [await client.flows.call("parts", "read", None, session_id="s") for _ in range(2)]
        assert seen[0] == seen[1]
        one, many, choices = seen[0]
        assert len({part["number"] for part in (one, *many, choices[0])}) == 4
        stored = await client.state.session("s").get()
        assert stored.state["one"] == one
        assert stored.state["many"] == many
        assert stored.state["by_key"] == {"a": choices}
        assert stored.version == before.version + 1 + 4, "once, and what the runs wrote"


async def test_f6_nobody_sees_a_member_before_it_is_stored_also_where_code_validates_the_map(
    start_server: StartServer, durable_url: str
) -> None:
    class Named(BaseModel):
        name: Annotated[str, AfterValidator(str.strip)] = ""

    class NamedAndNumbered(Named):
        number: str = Field(default_factory=lambda: uuid.uuid4().hex)

    def flow_of(part: Any, generation: int) -> Flow:
        state: Any = create_model("Named", parts=(dict[str, part], {}), n=(int, 0))

        @handler(user_state=state)
        async def number(_: None, ctx: Context) -> None:
            await ctx.user.set_state_record("parts", "a", {"name": "a"})

        user = User(state=state, generation=generation, upgrade=None if generation == 1 else lambda old: old)
        return define_flow("named", user=user, actions={"number": action(block=number)})

    async with (
        running_server(flow_of(Named, 1), store=durable_url) as old,
        old.connect(plane="trusted") as client,
    ):
        await client.state.user("ada", flow_kind="named").patch_state(parts={"a": {"name": "a"}, "b": {}})
    server = await start_server(flow_of(NamedAndNumbered, 2), store=durable_url)
    async with server.connect(user="ada", plane="trusted") as client:
        state = client.state.user("ada", flow_kind="named")
        for n in (0, 1, 2):
            shown = await state.get()
            assert shown.state == {"parts": {"a": {"name": "a"}, "b": {"name": ""}}, "n": n}
            await state.inc_state(n=1)
        await client.flows.call("named", "number", None, session_id="s")
        parts = [(await state.get()).state["parts"] for _ in range(2)]
        assert parts[0] == parts[1]
        assert len({part["number"] for part in parts[0].values()}) == 2


async def test_f6_what_does_not_fit_any_more_keeps_no_run_from_its_beginning() -> None:
    class Old(BaseModel):
        many: list[dict[str, Any]] = []
        n: int = 0

    class New(BaseModel):
        many: list[Numbered] = []
        n: int = 0

    def flow_of(state: type[BaseModel]) -> Flow:
        @handler(session_state=state)
        async def count(_: None, ctx: Context) -> None:
            await ctx.session.inc_state(n=1)

        return define_flow("stale", actions={"count": action(block=count)})

    store, stale = MemoryStore(), {"many": [{"size": "c4nary"}]}
    async with FlowTester(flow_of(Old), store) as tester:
        await tester.run("count", None, session_id="s", session_state=stale)
    async with FlowTester(flow_of(New), store) as tester:
        run = await tester.run("count", None, session_id="s")
        assert run.session.stored == {**stale, "n": 2}
