"""The program that a flow is compiled to, and the description that goes with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from pydantic import BaseModel

from flowstate_server.errors import ActionError, ActionNotFoundError, ValidationFailedError
from flowstate_server.flows import ClientView, Context, Session, User, action, define_flow, handler
from flowstate_server.model.clock import Seconds
from flowstate_server.model.events import Event
from flowstate_server.model.records import Failure
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.description import ActionDescription, ShownNames
from flowstate_server.programs.program import Program

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class Say(BaseModel):
    text: str
    details: dict[str, Any] | None = None


class Counted(BaseModel):
    count: int = 2
    name: str


@handler(session_state=Counted)
async def say(said: Say, ctx: Context[Counted]) -> datetime:
    if said.text == "fail":
        raise ActionError("NO", "no", {"at": NOON}, retryable=True)
    if said.text == "fail badly":
        raise ActionError("NO", "no", {"at": {1, 2}})
    return NOON


chat = define_flow(
    "chat",
    actions={"say": action(input=Say, block=say, timeout=5, description="Says.")},
    session=Session(
        client=ClientView(
            expose=["count"],
            derived={"twice": lambda view: view.state.count * 2, "initial": lambda view: view.state.name[0]},
        )
    ),
    user=User(state=Counted),
    isolate_user_state=True,
    history_window=7,
    persist_state_changes=True,
    cas_attempts=3,
)
program: Program = chat.program


class Run:
    """A run that only takes events, and lets blocks be observed."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def hold(self, event: Event) -> None:
        self.events.append(event)

    def observe_block(self, path: tuple[str, ...], **told: Any) -> None: ...


def execute(text: str, run: Run) -> Any:
    return program.execute("say", Say(text=text), cast(Any, run))


def test_a_flow_is_described_by_plain_data() -> None:
    described = chat.described
    assert described.actions == {
        "say": ActionDescription(
            "say",
            chat.actions["say"].input_schema(),
            chat.actions["say"].output_schema(),
            "Says.",
            Seconds(5.0),
        )
    }
    assert described.schemas == chat.schemas
    assert described.shown == {ScopeKind.SESSION: ShownNames(("count",), ("twice", "initial"))}
    assert described.isolated == {ScopeKind.USER}
    assert (described.kind, described.history_window, described.cas_attempts) == ("chat", 7, 3)
    assert described.persist_state_changes
    assert described.revision == chat.revision
    with pytest.raises(ActionNotFoundError):
        described.action("other")


async def test_values_go_in_and_out_as_json() -> None:
    value = await program.check_input("say", b'{"text": "hi"}')
    assert value == Say(text="hi")
    run = Run()
    output = await program.execute("say", value, cast(Any, run))
    assert program.dump_output("say", output) == "2026-01-02T12:00:00Z"
    assert [(event.type.value, event.block_path) for event in run.events] == [
        ("block.started", ("say",)),
        ("block.completed", ("say",)),
    ]
    with pytest.raises(ValidationFailedError) as refused:
        await program.check_input("say", b'{"text": 1}')
    assert [one.path for one in refused.value.violations] == ["/input/text"]
    with pytest.raises(ValidationFailedError):
        program.dump_output("say", "no date")


async def test_what_an_action_fails_with_leaves_the_program_as_json() -> None:
    with pytest.raises(ActionError) as failed:
        await execute("fail", Run())
    error = failed.value
    assert (error.code, error.message, error.retryable) == ("NO", "no", True)
    assert error.details == {"at": "2026-01-02T12:00:00Z"}
    with pytest.raises(ActionError) as failed:
        await execute("fail badly", Run())
    assert (failed.value.code, failed.value.details) == ("NO", {})


async def test_derived_values_see_the_state_with_its_defaults_and_fail_apart() -> None:
    derived = await program.derive(ScopeKind.SESSION, ["twice", "initial"], {}, {})
    assert derived == {
        "twice": 4,
        "initial": Failure("INTERNAL", "the derived value failed: StateFieldAbsentError"),
    }
    assert await program.derive(ScopeKind.SESSION, ["initial"], {"name": "Ada"}, {}) == {"initial": "A"}
