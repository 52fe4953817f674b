"""Records that several flows share, and what of them an upgrade may touch."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, create_model

from flowstate_server.engine.state_change import ChangeRules, state_change
from flowstate_server.engine.upgrades import RecordUpgrades
from flowstate_server.errors import ScopeUnavailableError, StateValidationError
from flowstate_server.flows import Context, Flow, FlowRegistry, User, action, define_flow, handler
from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import Tenant
from flowstate_server.model.json_values import JsonObject, encode_json
from flowstate_server.model.parsed_states import state_record
from flowstate_server.model.payloads import StateChange
from flowstate_server.model.records import Generations, StateRecord
from flowstate_server.model.scopes import RequestKey, ScopeKind, request_scope, user_scope
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.stuck_calls import MOST_STUCK
from flowstate_server.state.code_time import MOST_SECONDS
from flowstate_server.state.operations import Operation, inc_state, patch_state, unset_state
from flowstate_server.stores.contract.writes import Changed, NoChange
from flowstate_server.testing.waiting import until
from tests.support.slow_collections import collections_take

Fields = dict[str, Any]
Upgrade = Callable[[Fields], Fields]
LIMIT = 2**20


def flow(
    kind: str, generation: int = 1, upgrade: Upgrade | None = None, *, isolated: bool = False, **fields: Any
) -> Flow:
    model: type[BaseModel] = create_model("Declared", **fields)

    @handler(user_state=model)
    async def block(_: None, ctx: Context) -> None: ...

    user = User(generation=generation, upgrade=upgrade)
    return define_flow(kind, actions={"go": action(block=block)}, user=user, isolate_user_state=isolated)


def stored(
    state: JsonObject, *generations: tuple[str, int], version: int = 3, alone: str = ""
) -> StateRecord:
    return state_record(
        user_scope("ada", isolated_flow=alone),
        version=version,
        incarnation="i",
        state=state,
        text=encode_json(state),
        create_time=Micros(1),
        update_time=Micros(1),
        generations=generations,
    )


def upgraded(record: StateRecord, by: Flow, *others: Flow) -> JsonObject:
    catalogue = FlowRegistry([by, *others])
    sharing = catalogue.sharing(ScopeKind.USER, by.described)
    return RecordUpgrades(ScopeKind.USER, sharing).upgraded(record).record.state


def written(
    record: StateRecord, operations: tuple[Operation, ...], by: Flow, *others: Flow
) -> Changed | NoChange:
    rules = ChangeRules.of(by.described, ScopeKind.USER, LIMIT, FlowRegistry([by, *others]))
    return state_change(operations, rules)(record)


def generations_of(change: Changed | NoChange) -> Generations | None:
    assert isinstance(change, Changed)
    return change.generations


def renamed(fields: Fields) -> Fields:
    """``theme`` became ``colour``."""
    if "theme" in fields:
        fields.setdefault("colour", fields.pop("theme"))
    return fields


COLOUR: Fields = {"colour": (str, "none")}


def drops_all(fields: Fields) -> Fields:
    return {}


def test_a_field_that_only_this_flow_can_have_written_is_dropped() -> None:
    chat = flow("chat", 2, renamed, **COLOUR)
    assert upgraded(stored({"theme": "red"}, ("chat", 1)), chat) == {"colour": "red"}


@pytest.mark.parametrize(
    "writers", [(("admin", 1), ("chat", 1)), (("admin", 4),), (("", 1), ("chat", 1)), ()]
)
def test_an_undeclared_field_is_never_dropped_where_another_flow_may_have_written(
    writers: Generations,
) -> None:
    for upgrade in (renamed, drops_all):
        chat = flow("chat", 2, upgrade, **COLOUR)
        assert upgraded(stored({"theme": "red"}, *writers), chat)["theme"] == "red"


def test_an_upgrade_is_not_given_what_only_other_flows_declare() -> None:
    seen: list[Fields] = []

    def look(fields: Fields) -> Fields:
        seen.append(dict(fields))
        return {}

    chat = flow("chat", 2, look, colour=(str, "none"))
    catalogue = Catalogue([chat])
    other = flow("other", size=(int, 0)).described
    record = stored({"colour": "red", "size": 3, "left": 1}, ("chat", 1))
    upgrades = RecordUpgrades(ScopeKind.USER, [*catalogue.sharing(ScopeKind.USER, chat.described), other])
    assert upgrades.upgraded(record).record.state == {"size": 3}
    assert seen == [{"colour": "red", "left": 1}]


def test_a_flow_reads_what_the_upgrade_of_another_one_makes_of_their_record() -> None:
    """Else one that only declares the same fields would find those that don't fit."""
    chat = flow("chat", 2, lambda fields: {**fields, "n": str(fields["n"])}, n=(str, ""))
    admin = flow("admin", 2, n=(str, ""))
    record = stored({"n": 1}, ("admin", 1), ("chat", 1))
    assert upgraded(record, admin, chat) == upgraded(record, chat, admin) == {"n": "1"}
    assert upgraded(record, admin) == {"n": 1}
    change = written(record, patch_state({"n": "2"}), admin, chat)
    assert generations_of(change) == (("admin", 2), ("chat", 2))


def test_a_record_carries_the_generation_of_each_of_its_writers() -> None:
    chat, admin = flow("chat", 3, **COLOUR), flow("admin", **COLOUR)
    new = StateRecord(user_scope("ada"))
    blue = patch_state({"colour": "blue"})
    assert generations_of(written(new, blue, chat, admin)) == (("chat", 3),)
    assert generations_of(written(new, blue, admin)) == (("admin", 1),)
    assert generations_of(written(stored({}, ("chat", 3)), blue, admin, chat)) == (("admin", 1), ("chat", 3))
    assert generations_of(written(stored({}, ("chat", 3)), blue, chat, admin)) is None
    assert generations_of(written(stored({}), blue, chat)) == (("", 1), ("chat", 3))


def test_a_write_notes_the_later_generations_of_those_that_share_the_record() -> None:
    """Or an older server that has only the other flow would go on writing what it declares otherwise."""
    chat, admin = flow("chat", 2, **COLOUR), flow("admin", 2, **COLOUR)
    blue = patch_state({"colour": "blue"})
    change = written(stored({}, ("admin", 1), ("chat", 1)), blue, chat, admin)
    assert generations_of(change) == (("admin", 2), ("chat", 2))
    with pytest.raises(ScopeUnavailableError):
        written(stored({}, ("admin", 2), ("chat", 2)), blue, flow("admin", 1, **COLOUR))


def test_what_was_expected_of_a_record_that_is_deleted_meanwhile_is_not_brought_back() -> None:
    chat = flow("chat", 2, renamed, colour=(str, ""), n=(int, 0))
    rules = ChangeRules.of(chat.described, ScopeKind.USER, LIMIT, FlowRegistry([chat]))
    seen = stored({"theme": "red", "n": 1}, ("chat", 1))
    change = state_change(patch_state({"n": 2}), rules, expected=rules.upgrades.upgraded(seen))
    made = change(StateRecord(seen.key, version=seen.version, incarnation=seen.incarnation))
    assert isinstance(made, Changed)
    assert made.state == {"n": 2}


def test_the_request_scope_has_no_generations() -> None:
    chat = flow("chat", 2, drops_all, **COLOUR)
    key = request_scope(RequestKey(Tenant(""), "r"))
    upgrades = RecordUpgrades(ScopeKind.REQUEST, [chat.described])
    record = replace(stored({"n": 1}), key=key)
    assert upgrades.written(record, "chat") is None
    assert upgrades.upgraded(record).record is record


def test_a_record_made_anew_has_no_writers_of_before() -> None:
    tombstone = StateRecord(user_scope("ada"), version=7, generations=(("admin", 9), ("chat", 9)))
    change = written(tombstone, patch_state({"colour": "blue"}), flow("chat", 2, drops_all, **COLOUR))
    assert generations_of(change) == (("chat", 2),)


def test_the_generation_of_any_flow_that_shares_the_record_keeps_older_deploys_from_writing() -> None:
    chat, admin = flow("chat", 2, **COLOUR), flow("admin", 2, **COLOUR)
    record = stored({"colour": "red"}, ("admin", 2), ("chat", 3))
    for writer, other in ((chat, admin), (admin, chat)):
        with pytest.raises(
            ScopeUnavailableError, match='newer deploy of flow "chat", of generation 3'
        ) as told:
            written(record, patch_state({"colour": "blue"}), writer, other)
        assert "is 2" in str(told.value)
    written(record, patch_state({"colour": "blue"}), admin)  # of a server that has no "chat"
    alone = flow("chat", 2, isolated=True, **COLOUR)
    with pytest.raises(ScopeUnavailableError):
        written(stored({}, ("chat", 3), alone="chat"), patch_state({"colour": "blue"}), alone)


def test_a_newer_record_is_refused_before_anything_else_is_said() -> None:
    chat = flow("chat", 2, n=(int, 0))
    record = stored({"n": "text"}, ("chat", 3))
    for operations in (inc_state({"n": 1}), patch_state({"nowhere": 1}), unset_state(["n"])):
        with pytest.raises(ScopeUnavailableError):
            written(record, operations, chat)


def test_unknown_fields_are_kept_and_not_written() -> None:
    chat = flow("chat", 2, renamed, **COLOUR)
    record = stored({"size": 3, "colour": "red"}, ("admin", 1), ("chat", 1))
    change = written(record, patch_state({"colour": "blue"}), chat)
    assert isinstance(change, Changed)
    assert change.state == {"size": 3, "colour": "blue"}
    with pytest.raises(StateValidationError, match="/size: is not declared"):
        written(record, patch_state({"size": 4}), chat)
    writes = flow("chat", 2, lambda fields: {**fields, "size": 4}, **COLOUR)
    with pytest.raises(ScopeUnavailableError, match="/size: is not declared"):
        upgraded(record, writes)


def test_an_upgrade_in_the_transaction_runs_for_a_record_that_changed_meanwhile() -> None:
    calls: list[Fields] = []

    def counted(fields: Fields) -> Fields:
        calls.append(dict(fields))
        return renamed(fields)

    chat = flow("chat", 2, counted, **COLOUR)
    rules = ChangeRules.of(chat.described, ScopeKind.USER, LIMIT, FlowRegistry([chat]))
    seen = stored({"theme": "red"}, ("chat", 1))
    change = state_change(patch_state({}), rules, expected=rules.upgrades.upgraded(seen))
    made = change(stored({"theme": "red"}, ("chat", 1)))
    assert isinstance(made, Changed)
    assert (len(calls), made.state) == (1, {"colour": "red"})
    for newest in (
        stored({"theme": "blue"}, ("chat", 1), version=4),
        stored({"colour": "blue"}, ("chat", 2), version=4),
    ):
        made = change(newest)
        assert isinstance(made, NoChange) or made.state == {"colour": "blue"}
    assert calls == [{"theme": "red"}, {"theme": "blue"}]


def test_the_event_tells_the_difference_to_what_is_stored() -> None:
    chat = flow("chat", 2, renamed, colour=(str, ""), n=(int, 0))
    made = written(stored({"theme": "red", "n": 1}, ("chat", 1)), patch_state({"n": 1}), chat)
    assert isinstance(made, Changed)
    told = StateChange.decode(made.events[0].payload)
    assert (told.changed, list(told.removed)) == ({"/colour": "red"}, ["/theme"])
    same = written(stored({"colour": "red", "n": 1}, ("chat", 1)), patch_state({"n": 1}), chat)
    assert isinstance(same, NoChange)


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels else 1


def test_what_an_upgrade_gives_keeps_to_the_limits_of_what_is_written() -> None:
    record = stored({"n": 1}, ("chat", 1))

    def deepened(levels: int) -> Flow:
        return flow("chat", 2, lambda fields: {"n": nested(levels)}, n=(Any, None))

    assert upgraded(record, deepened(63)) == {"n": nested(63)}
    written(record, patch_state({"n": nested(63)}), deepened(63))
    with pytest.raises(ScopeUnavailableError, match=r"/n.*deep"):
        upgraded(record, deepened(64))


def test_generations_follow_one_another() -> None:
    def from_any(fields: Fields) -> Fields:
        fields = renamed(fields)
        if isinstance(fields.get("colour"), str):
            fields["colour"] = [fields["colour"]]
        return fields

    chat = flow("chat", 3, from_any, colour=(list[str], []))
    for record in (
        stored({"theme": "red"}, ("chat", 1)),
        stored({"colour": "red"}, ("chat", 2)),
        stored({"colour": ["red"]}, ("chat", 3)),
    ):
        assert upgraded(record, chat) == {"colour": ["red"]}


def test_who_names_no_flow_leaves_nobody_alone_with_a_record() -> None:
    """What a flow has written alone its upgrade may remove; what was written for all is not its own."""
    chat, admin = flow("chat", 1, None, **COLOUR), flow("admin", 2, None, **COLOUR)
    upgrades = RecordUpgrades.of(FlowRegistry([admin, chat]), ScopeKind.USER, None)
    new = StateRecord(user_scope("ada"))
    assert upgrades.written(new, "") == (("", 1), ("admin", 2))
    assert upgrades.written(stored({}, ("chat", 1)), "") == (("", 1), ("admin", 2), ("chat", 1))
    assert upgrades.written(stored({}, ("", 1), ("admin", 2)), "") is None
    with pytest.raises(ScopeUnavailableError):
        upgrades.require_writable(stored({}, ("chat", 3)))


def test_the_private_record_of_a_flow_is_its_own_whether_or_not_it_isolates() -> None:
    chat, admin = flow("chat", 2, drops_all, **COLOUR), flow("admin", 1, None, **COLOUR)
    registry = FlowRegistry([admin, chat])
    shared = RecordUpgrades.of(registry, ScopeKind.USER, chat.described)
    private = RecordUpgrades.of(registry, ScopeKind.USER, chat.described, isolated=True)
    newer = stored({}, ("admin", 5))
    assert not shared.writable(newer)
    assert private.writable(newer)


class Changing:
    """Upgrades that give another state each time, by how they do it."""

    def __init__(self) -> None:
        self.calls = 0
        self.shared: Fields = {"log": []}

    def count(self, fields: Fields) -> Fields:
        self.calls += 1
        return {**fields, "count": self.calls}

    def drop_once(self, fields: Fields) -> Fields:
        self.calls += 1
        return {} if self.calls % 2 else fields

    def share(self, fields: Fields) -> Fields:
        """What it has returned once it changes later on."""
        self.shared["log"].append("x")
        return self.shared

    def validated(self, fields: Fields) -> Fields:
        """The same each time, of which validation makes something else."""
        return {"seen": "a"}

    def see(self, text: str) -> str:
        self.calls += 1
        return "b" if self.calls == 2 else text


@pytest.mark.parametrize("how", ["count", "drop_once", "share", "validated"])
async def test_an_upgrade_that_gives_another_state_each_time_is_refused_by_flow_and_scope(how: str) -> None:
    changing = Changing()
    seen = Annotated[str, AfterValidator(changing.see)]
    fields: Fields = {"count": (int, 0), "log": (list[str], []), "seen": (seen, "")}
    chat = flow("chat", 2, getattr(changing, how), **fields)
    changing.calls = 0
    upgrades = RecordUpgrades(ScopeKind.USER, [chat.described])
    with pytest.raises(ScopeUnavailableError) as refused:
        await upgrades.ahead(stored({"count": 0}, ("chat", 1)))
    assert 'upgrade of flow "chat" from generation 1 to 2 failed' in str(refused.value)
    assert "user" in str(refused.value)
    assert "called twice" in str(refused.value)


async def test_an_upgrade_may_change_the_fields_that_it_is_given() -> None:
    """They are its own copy."""
    chat = flow("chat", 2, renamed, **COLOUR)
    record = stored({"theme": "red"}, ("chat", 1))
    for _ in range(2):
        found = await RecordUpgrades(ScopeKind.USER, [chat.described]).ahead(record)
        assert (found.record.state, found.stored.state) == ({"colour": "red"}, {"theme": "red"})


async def test_an_upgrade_that_was_held_up_once_is_called_again() -> None:
    """The process may have been stopped, or kept off the machine."""
    held_up: list[Fields] = []

    def held_up_once(fields: Fields) -> Fields:
        if not held_up:
            held_up.append(fields)
            time.sleep(1.2 * MOST_SECONDS)
        return renamed(fields)

    chat = flow("chat", 2, held_up_once, **COLOUR)
    record = stored({"theme": "red"}, ("chat", 1))
    assert upgraded(record, chat) == {"colour": "red"}
    held_up.clear()
    found = await RecordUpgrades(ScopeKind.USER, [chat.described]).ahead(record)
    assert found.record.state == {"colour": "red"}


def test_an_upgrade_that_collections_of_garbage_hold_up_each_time_is_not_taken_for_slow() -> None:
    def collects(fields: Fields) -> Fields:
        gc.collect()
        return renamed(fields)

    record = stored({"theme": "red"}, ("chat", 1))
    with collections_take(1.2 * MOST_SECONDS) as taken:
        assert upgraded(record, flow("chat", 2, collects, **COLOUR)) == {"colour": "red"}
    assert taken


async def test_an_upgrade_that_never_ends_costs_two_threads_and_fails_at_once_until_it_does() -> None:
    let_go, calls = threading.Event(), []

    def stuck(fields: Fields) -> Fields:
        calls.append(fields)
        let_go.wait(20)
        return fields

    chat = flow("chat", 2, stuck, **COLOUR)
    upgrades = RecordUpgrades(ScopeKind.USER, [chat.described])
    record = stored({"colour": "red"}, ("chat", 1))
    for _ in range(MOST_STUCK):
        with pytest.raises(ScopeUnavailableError, match="took more than"):
            await upgrades.ahead(record)
    for _ in range(5):
        with pytest.raises(ScopeUnavailableError, match=r'flow "chat".*earlier calls of it have not ended'):
            await upgrades.ahead(record)
    assert len(calls) == MOST_STUCK
    let_go.set()

    async def goes_again() -> bool:
        try:
            return (await upgrades.ahead(record)).record.state == {"colour": "red"}
        except ScopeUnavailableError:
            return False

    await until(goes_again)
