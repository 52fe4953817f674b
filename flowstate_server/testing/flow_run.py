"""What a run in a test left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter

from flowstate_server.errors import ExplainedActionError
from flowstate_server.model import payloads
from flowstate_server.model.events import EventRecord, EventType
from flowstate_server.model.items import Audience
from flowstate_server.model.json_values import Json, JsonObject, decode_json
from flowstate_server.model.payloads import Payload, done_item
from flowstate_server.model.records import Failure, RequestRecord, RequestStatus
from flowstate_server.programs.author_code import told_by
from flowstate_server.programs.history import HistoryItem
from flowstate_server.programs.journal import JournalEntry
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.testing.flow_resources import ResourceAfter

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

_PAYLOADS: Mapping[EventType, type[Payload]] = {
    made.type: made
    for made in vars(payloads).values()
    if isinstance(made, type) and issubclass(made, Payload) and hasattr(made, "type")
}
_MOST_SHOWN = 120  # characters of a value, in the one line that a run or a scope is shown as


@dataclass(frozen=True, slots=True, repr=False)
class ScopeAfter:
    """A scope when the run had ended. ``stored`` is its JSON, without the defaults that ``state`` shows.

    ``upgraded`` is what the flow's upgrade makes of it; the same where there is nothing to upgrade.
    """

    stored: JsonObject
    version: int
    schema: ModelSchema
    upgraded: JsonObject

    @property
    def state(self) -> Any:
        """The state with all fields that the flow declares, untyped."""
        return self.schema.view(BaseModel, self.upgraded)

    def state_as(self, model: type[M]) -> M:
        """The state as one of the models that declare it, for the type checker.

        Raises:
            ValueError: the flow declares no such model, nor its fields.
        """
        if unknown := [name for name in model.model_fields if not self.schema.declares(name)]:
            known = ", ".join(self.schema.fields) or "none"
            raise ValueError(
                f"the flow's {self.schema.scope} state has no field {', '.join(unknown)} of {model.__name__}"
                f" (there are {known})"
            )
        return self.schema.view(model, self.upgraded)

    def __repr__(self) -> str:
        return f"<{self.schema.scope} state {_short(self.stored)}, version {self.version}>"


@dataclass(frozen=True, slots=True, repr=False)
class RunEvent:
    """An event of a run. ``payload`` is what its type says in ``flowstate_server.model.payloads``, a ``Custom`` for
    what ``ctx.emit`` wrote; ``None`` for ``item.done``, which has its ``item`` instead."""

    record: EventRecord

    @property
    def type(self) -> EventType:
        return self.record.event.type

    @property
    def payload(self) -> Any:
        made = None if self.type is EventType.ITEM_DONE else _PAYLOADS.get(self.type)
        return None if made is None else made.decode(self.record.event.payload)

    @property
    def item(self) -> HistoryItem | None:
        if self.type is not EventType.ITEM_DONE:
            return None
        return HistoryItem.of(done_item(self.record.event), self.record.request_id, self.record.time)

    @property
    def block_path(self) -> tuple[str, ...]:
        return self.record.event.block_path

    @property
    def audiences(self) -> frozenset[Audience]:
        return self.record.event.audiences

    @property
    def sequence(self) -> int:
        return self.record.sequence

    def __repr__(self) -> str:
        said = self.payload if self.item is None else self.item.text or self.item.content
        path = "".join(f" {name}" for name in ["in", "/".join(self.block_path)] if self.block_path)
        return f"<{self.sequence} {self.type}{path}: {_short(said)}>"


@dataclass(frozen=True, slots=True, repr=False)
class FlowRun:
    """What a run left behind.

    Attributes:
        record: The whole request, as it is stored.
        session_id: That of the session, which is a new one where the call named none.
        session, user, org, request: The state of each scope; ``org`` is ``None`` when the session has none.
        exception: What the block raised: an ``ActionError``, or whatever ended as ``INTERNAL`` for the client; after a
            time-out the ``CancelledError``, which shows where the block was. ``None`` unless the run failed.
        client_data: What clients see of the state, as ``client.sessions.snapshot`` gives it:
            ``{"session": {name: value}, …}``.
        client_failures: The derived values that could not be computed, as ``{"session": {name: failure}, …}``.
        events: All events of the run, also those that clients never see.
        journal: That of the session, with the notes of earlier runs.
        resources: What there is of those that the flow declares, by name; of one name in several scopes that of the
            session, else of the user.
    """

    record: RequestRecord
    session_id: str
    session: ScopeAfter
    user: ScopeAfter
    org: ScopeAfter | None
    request: ScopeAfter
    exception: BaseException | None
    client_data: Mapping[str, Mapping[str, Json]]
    client_failures: Mapping[str, Mapping[str, Failure]]
    events: Sequence[RunEvent]
    journal: Sequence[JournalEntry]
    resources: Mapping[str, ResourceAfter]

    @property
    def request_id(self) -> str:
        return self.record.key.request_id

    @property
    def status(self) -> RequestStatus:
        return self.record.head.status

    @property
    def output(self) -> Json:
        """The action's output as JSON: a model is a dict, see :meth:`output_as`."""
        return None if self.record.output is None else decode_json(self.record.output)

    def output_as(self, kind: type[T], /) -> T:
        """The action's output as what it was before it became JSON, for the type checker: a model, ``list[Task]``.

        Raises:
            pydantic.ValidationError: it is not of that type.
        """
        return TypeAdapter(kind).validate_json(b"null" if self.record.output is None else self.record.output)

    @property
    def failure(self) -> Failure | None:
        """Why the run failed, in the words that clients get."""
        return self.record.failure

    @property
    def items(self) -> list[HistoryItem]:
        """The items the run appended, without transient ones."""
        done = (event for event in self.events if not event.record.event.transient)
        return [item for event in done if (item := event.item) is not None]

    def event_types(self) -> list[EventType]:
        return [event.type for event in self.events]

    def check(self) -> None:
        """
        Raises:
            FlowRunFailed: the run failed, or its server interrupted it.
        """
        __tracebackhide__ = True
        if self.status in (RequestStatus.FAILED, RequestStatus.INTERRUPTED):
            raise FlowRunFailed(self) from self.exception

    def described(self) -> str:
        """How the run ended, in a sentence."""
        what = f'action "{self.record.action}" of flow "{self.record.flow_kind}"'
        where = self._where()
        if self.failure is None:
            return f"{what}: {self.status}{f', {self.record.reason}' if self.record.reason else ''}"
        if self.exception is None or not self.failure.error_id:
            explained = isinstance(self.exception, ExplainedActionError)
            said = self.exception if explained else self.failure.message
            return f"{what} failed{where}: {self.failure.reason}: {said}"
        told = told_by(self.exception)
        return f"{what} failed{where}: {type(told).__name__}: {_text(told)}"

    def _where(self) -> str:
        failures = [event for event in self.events if event.type is EventType.BLOCK_FAILED]
        # The last may have been rescued, and the run have failed for another reason.
        raised = None if self.exception is None else told_by(self.exception)
        if failures and failures[-1].payload.failure.reason == type(raised).__name__:
            return f' in block "{"/".join(failures[-1].block_path)}"'
        return ""

    def __repr__(self) -> str:
        came = f", output {_short(self.output)}" if self.status is RequestStatus.COMPLETED else ""
        return f"<run of {self.described()}{came}>"


class FlowRunFailed(Exception):
    """A run in a test failed. Its cause is what the block raised, ``run`` has the rest."""

    __module__ = "flowstate_server.testing"  # where tests have it from; pytest shows it

    def __init__(self, run: FlowRun) -> None:
        super().__init__(run.described())
        self.run = run


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as bad:
        return f"(its text could not be had: {type(bad).__name__})"
