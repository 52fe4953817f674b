"""Changes of a large map as flows make them, and what is to come of them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from pydantic import BaseModel

from flowstate_server.engine.state_change import ChangeRules, state_change
from flowstate_server.engine.upgrades import RecordUpgrades
from flowstate_server.model.clock import Micros
from flowstate_server.model.json_values import Json, JsonObject, encode_json
from flowstate_server.model.parsed_states import state_record
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import ScopeKey, ScopeKind, user_scope
from flowstate_server.model.state_parts import LARGE_BYTES, StateParts
from flowstate_server.schemas.pydantic.merge import Declaration, merge_declarations
from flowstate_server.state.operations import DeleteRecord, Increment, Merge, Operation, PutRecord, SetValue
from flowstate_server.stores.contract.writes import Change, Changed, ChangeState

USER = user_scope("ada")


class Entry(BaseModel):
    text: str = ""
    count: int = 0


class Large(BaseModel):
    entries: dict[str, Entry] = {}
    numbers: dict[str, int] = {}
    title: str = ""


SCHEMA = merge_declarations("user", [Declaration(Large, "here")])
RULES = ChangeRules(
    "chat", SCHEMA, {}, RecordUpgrades(ScopeKind.USER, ()), max_bytes=1024 * 1024, transient=False
)


def change(*operations: Operation) -> Change:
    return state_change(operations, RULES)


def write(*operations: Operation, key: ScopeKey = USER) -> ChangeState:
    return ChangeState(key, change(*operations))


def entry(number: int) -> Json:
    return {"text": f"entry {number} ä \n\0", "count": number}


def large_state(records: int = 1_200) -> JsonObject:
    state: JsonObject = {
        "entries": {f"key {number}": entry(number) for number in range(records)},
        "numbers": {str(number): number for number in range(records)},
        "title": "before",
    }
    assert len(encode_json(state)) > LARGE_BYTES
    return state


def record(state: object = None) -> StateRecord:
    """The record of a large state as it is loaded, of which nothing is known yet."""
    whole = large_state() if state is None else state
    return StateRecord(USER, 1, "first", True, encode_json(whole))  # type: ignore[arg-type]


def after(before: StateRecord, *operations: Operation) -> tuple[StateRecord, Changed]:
    """The record that a store makes of ``before``, and the change that makes it."""
    changed = change(*operations)(before)
    assert isinstance(changed, Changed)
    parts = before.parts or StateParts(object(), before.size)
    text = changed.text if isinstance(changed.text, bytes) else parts.patched(changed.text)
    made = state_record(
        USER,
        version=before.version + 1,
        incarnation="first",
        state=changed.state,
        text=text,
        create_time=Micros(0),
        update_time=Micros(0),
        fitting=changed.fitting,
    )
    return made, changed


@dataclass
class Reference:
    """The state that is expected: each ``step`` gives operations and does to it what they are to do."""

    seed: int
    state: JsonObject = field(default_factory=large_state)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @property
    def whole(self) -> tuple[Operation, ...]:
        return tuple([SetValue((name,), value) for name, value in self.state.items()])

    def step(self) -> tuple[Operation, ...]:
        draw = self._random
        entries, numbers = self.state["entries"], self.state["numbers"]
        assert isinstance(entries, dict)
        assert isinstance(numbers, dict)
        operations: list[Operation] = []
        for key in draw.sample(range(1_500), draw.randint(1, 3)):
            name, count = f"key {key}", draw.randint(0, 10**6)
            match draw.randint(0, 11):
                case 0:
                    operations.append(DeleteRecord(("entries",), name))
                    entries.pop(name, None)
                case 1 if name in entries:
                    operations.append(SetValue(("entries", name, "text"), f"new {count}"))
                    entries[name]["text"] = f"new {count}"  # type: ignore[index,call-overload]
                case 2 if str(key) in numbers:
                    operations.append(Increment(("numbers", str(key)), 1))
                    numbers[str(key)] += 1  # type: ignore[operator]
                case 3:
                    operations.append(Merge(("numbers",), {str(key): count, f"n{key}": count}))
                    numbers |= {str(key): count, f"n{key}": count}
                case 4 if draw.random() < 0.2:
                    operations.append(SetValue(("title",), f"title {count}"))
                    self.state["title"] = f"title {count}"
                case _:
                    operations.append(PutRecord(("entries",), name, entry(count)))
                    entries[name] = entry(count)
        return tuple(operations) or (SetValue(("title",), self.state["title"]),)
