"""Whoever names what belongs to others gets the answer for what never existed: by every method, in every field."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from flowstate_server.errors import Reason
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.sqlite.store import SqliteStore
from flowstate_server.stores.store import Store
from tests.security.walked_house import Walk, bearer_of, drawn_house, walking
from tests.support.attack_calls import Call, Path as Place, calls, put, text_places, texts, written
from tests.support.canaries import Canaries
from tests.support.contract import METHODS, UNSERVED_METHODS
from tests.support.furnished import Owner
from tests.support.house import House
from tests.support.raw_answers import Answer, Metadata, call_raw

_OF_STATE = {"set", "merge", "equals", "value", "items", "key", "path", "paths"}
_OF_CONTENT = {"input", "content", "data", "text", "title", "description", "role", "name", "media_type"}
_OF_KIND = {"flow_kind", "action", "kind", "types", "names", "resource", "name_prefix", "source", "reason"}
_OF_BYTES = {"content_sha256", "if_sha256"}
ORDINARY = _OF_STATE | _OF_CONTENT | _OF_KIND | _OF_BYTES
"""Texts that name nobody's things. Any other text of a request must be attacked, or the walk fails."""

ATTACKERS = {
    "another tenant, client plane": "eve of b",
    "another tenant, trusted plane": "trusted eve of b",
    "another tenant's gateway": "gateway of b",
    "another user, client plane": "eve of a",
    "another user, trusted plane": "trusted eve of a",
}

_NOT_DISPATCHED = {Reason.SESSION_NOT_FOUND, Reason.REQUEST_ALREADY_EXISTS}
PROBES: Mapping[str, Set[Reason]] = {
    "SessionService/CreateSession": {Reason.SESSION_ALREADY_EXISTS},
    "FlowService/DispatchAction": _NOT_DISPATCHED,
    "FlowService/CallAction": _NOT_DISPATCHED,
    "FlowService/StreamAction": _NOT_DISPATCHED,
}
"""The one documented exception: inside a tenant these tell that an id which the caller has chosen is taken."""

_ENDS = frozenset(
    (
        "SessionService/DeleteSession",
        "SessionService/RemoveItems",
        "StateService/DeleteState",
        "ResourceService/DeleteResource",
        "FlowService/CancelActionRequest",
    )
)
"""After these a house has less."""

_CREATIONS = PROBES.keys() | {"SessionService/ResolveSession"}
_ISSUED = re.compile(r'\b((?:\w+_)?(?:id|ids|incarnation|token|sha256)): "([^"]*)"')
_TIMES = re.compile(r"\w+_time \{[^}]*\}")
_NUMBERS = re.compile(r"\b(version|sequence|\w+_sequence): \d+")


@pytest.fixture(params=["memory", "sqlite"])
async def walk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Walk]:
    store: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "walk.db")
    async with walking(store, tmp_path) as begun:
        yield begun


def is_read(method: str) -> bool:
    options: Any = METHODS[method].GetOptions()
    return bool(options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS)


@dataclass
class Attack:
    """One call in two editions: with what the victim has, and with what nobody has."""

    name: str
    method: str
    with_victims: Message
    with_nobodys: Message
    field: str
    """Which text is not the caller's own; empty: none is."""


def attacks(victim: Call, nobodys: Call, own: Call, also_own: Call) -> Iterator[Attack]:
    """Everything of the victim at once, then each text alone among the caller's own."""
    name, method, request = victim
    if own is not victim and own[2] == request:
        return  # it is the same for everybody
    yield Attack(f"{name}, all", method, request, nobodys[2], "")
    for path in texts(request):
        mine, also_mine = own[2], also_own[2]
        if _noun(path) in ORDINARY or path not in set(texts(mine)):
            continue
        with_victims, with_nobodys = _edition(mine, path, request), _edition(also_mine, path, nobodys[2])
        if with_victims != mine:
            yield Attack(f"{name}, {written(path)}", method, with_victims, with_nobodys, written(path))


def _edition(base: Message, path: Place, source: Message) -> Message:
    made = type(base)()
    made.CopyFrom(base)
    put(made, path, source)
    return made


def _noun(path: Place) -> str:
    """What a text is: of a JSON value, the name of the value."""
    names = [step for step in path if isinstance(step, str) and step != "json"]
    return names[-1]


def _told(answer: Answer, names: Mapping[str, str], known: Set[str]) -> tuple[Any, ...]:
    """What a caller learns, with the names of the second edition as in the first, and without times."""

    def renamed(data: bytes) -> bytes:
        for old, new in names.items():
            if old and old != new:
                data = data.replace(old.encode(), new.encode())
        return data

    messages = answer.messages
    if answer.method in ("FlowService/StreamAction", "EventService/TailEvents"):
        messages = messages[:1]  # how many events a frame has is chance
    kind = GetMessageClass(METHODS[answer.method].output_type)
    shown = []
    for message in messages:
        text = text_format.MessageToString(kind.FromString(renamed(message)))
        text = _ISSUED.sub(
            lambda found: found[0] if found[2] in known else f"{found[1]}: issued", _TIMES.sub("", text)
        )
        shown.append(text if is_read(answer.method) else _NUMBERS.sub(r"\1", text))
    metadata = [
        (key, renamed(value if isinstance(value, bytes) else value.encode()))
        for key, value in answer.metadata
    ]
    details = "" if answer.error is None else answer.error.details() or ""
    return answer.code, renamed(details.encode()), shown, metadata


def _shared_on_purpose(attacker: str, request: Message) -> bool:
    """Users and orgs are shared between tenants: whoever may act for any user may act for that one."""
    return attacker.startswith("gateway") and bool(
        re.search(r"scopes? \{\s+(user|org)_id", text_format.MessageToString(request))
    )


class Attacker:
    """Makes the attacks from houses of its own and collects what is wrong."""

    def __init__(self, walk: Walk, name: str) -> None:
        self.walk, self.name = walk, name
        self.nobody = walk.victim.never_existed()
        self.names = dict(zip(self.nobody.words, walk.victim.words, strict=True))
        """What stands for what, of what is nobody's or the other house's."""
        self.wrong: list[str] = []
        self.probes: set[str] = set()
        self.done = 0

    async def attack_all(self) -> None:
        own = await self.walk.house(self.name)
        pair: tuple[House, House] | None = None
        victims = calls(self.walk.victim)
        for name, method, _ in sorted(victims, key=lambda one: (not is_read(one[1]), one[1] in _CREATIONS)):
            done = 0
            while True:
                # Writes are made from two houses alike, one for each edition: both change in the same way.
                pair = pair or (await self.walk.house(self.name), await self.walk.house(self.name))
                houses = (own, own) if is_read(method) else pair
                left = self._attacks(name, *houses)[done:]
                for attack in left:
                    done += 1
                    if await self._attack(attack, *houses) and method in _ENDS and attack.field:
                        pair = None
                        break
                else:
                    break

    def _attacks(self, name: str, own: House, other: House) -> list[Attack]:
        houses = (self.walk.victim, self.nobody, own, other)
        victim, nobody, mine, also_mine = (
            next((one for one in calls(house) if one[0] == name), None) for house in houses
        )
        assert victim is not None
        assert nobody is not None
        # What cannot be a call of one's own (a gateway has no user) is only made with all names of the victim.
        return list(attacks(victim, nobody, mine or victim, also_mine or nobody))

    async def _attack(self, attack: Attack, own: House, other: House) -> bool:
        """Whether it was not refused."""
        if _shared_on_purpose(self.name, attack.with_victims):
            return False
        metadata = bearer_of(self.name)
        answer = await call_raw(self.walk.channel, attack.method, attack.with_victims, metadata)
        never = await call_raw(self.walk.channel, attack.method, attack.with_nobodys, metadata)
        # Also the names of earlier houses: what was made with them may be found.
        self.names.update(zip(other.words, own.words, strict=True))
        self._learns_nothing(attack, answer)
        known = set(self.names.values())
        if _told(answer, {}, known) != _told(never, self.names, known):
            self._differs(attack, answer, never)
        if answer.error is None and getattr(answer.replies[0], "replayed", False):
            self.wrong.append(f"{attack.name}: a repeat")
        self.done += 1
        return answer.error is None or never.error is None

    def _learns_nothing(self, attack: Attack, answer: Answer) -> None:
        sent = attack.with_victims.SerializeToString()
        learned = self.walk.canaries.found(answer.text) - self.walk.canaries.found(sent)
        issued = [word for word in self.walk.victim.words if word and word.encode() in answer.text]
        learned |= {word for word in issued if word.encode() not in sent}
        if learned:
            self.wrong.append(f"{attack.name}: tells {learned}")

    def _differs(self, attack: Attack, answer: Answer, never: Answer) -> None:
        inside = self.name.endswith("of a")
        taken = PROBES.get(attack.method, ()) if inside else ()
        if answer.error is not None and answer.refusal.reason in taken:
            self.probes.add(attack.method)
            return
        told = [one.refusal.reason if one.error is not None else one.replies for one in (answer, never)]
        self.wrong.append(f"{attack.method}: {attack.name}: {told[0]} but {told[1]}")


def test_the_walk_knows_every_method_and_every_text() -> None:
    """Who adds a method, or a field that may name somebody's things, adds it to the calls; or to what is ordinary."""
    victim, own = (drawn_house(Canaries(), name).issued(name) for name in ("ada", "eve"))
    attacked: dict[str, set[str]] = {method: set() for method in METHODS}
    for victims, mine in zip(calls(victim), calls(own), strict=True):
        for one in attacks(victims, victims, mine, mine):
            attacked[victims[1]].add(one.field)
    assert {method for _, method, _ in calls(victim)} == set(METHODS)
    unknown = {
        f"{name} {place}"
        for name, method in METHODS.items()
        for place in text_places(method.input_type)
        if place not in attacked[name] and _noun(tuple(place.split("."))) not in ORDINARY
    }
    # A request has no resources: whoever names one is refused for that.
    unknown -= {
        one for one in unknown if one.startswith("ResourceService/") and one.endswith("scope.request_id")
    }
    assert unknown == set()


@pytest.mark.parametrize("attacker", ATTACKERS)
async def test_what_is_not_ones_own_has_never_existed(walk: Walk, attacker: str) -> None:
    before, shown = await walk.rows(), await _owners_view(walk)
    attack = Attacker(walk, ATTACKERS[attacker])
    await attack.attack_all()
    assert attack.wrong == []
    assert attack.done > 200
    assert before - await walk.rows() == set()
    assert await _owners_view(walk) == shown
    if attack.name.endswith("of a"):
        assert attack.probes == PROBES.keys()


async def test_the_owner_may_make_every_call_of_the_walk(walk: Walk) -> None:
    """Else nothing would be proved by the refusals; and what she reads has all that the walk looks for."""
    owner, seen = walk.owner("ada of a"), b""
    # First what needs the session, last what ends it.
    for name, method, request in sorted(
        calls(walk.victim), key=lambda one: (not is_read(one[1]), one[1] not in _CREATIONS)
    ):
        answer = await call_raw(walk.channel, method, request, _metadata(owner, method, request))
        if method in UNSERVED_METHODS:
            assert answer.refusal.reason is Reason.FEATURE_DISABLED
        elif name == "created by id":
            assert answer.refusal.reason is Reason.SESSION_ALREADY_EXISTS
        elif name == "resolved by id":
            assert answer.refusal.fields == ["session.session_id"]
        elif name in ("state of a session", "state of a request"):
            assert answer.refusal.fields == ["scope.owner"]
        elif name == "deleted for sure":
            assert answer.refusal.reason is Reason.SESSION_NOT_FOUND, "it was deleted by the call before"
        else:
            assert answer.error is None, (name, answer.error)
            seen += answer.text
            if name.endswith("with a key"):
                assert answer.replies[0].replayed, name
    assert walk.canaries.found(seen) == walk.canaries.places - {"ada: key"}


def _metadata(owner: Owner, method: str, request: Message) -> Metadata:
    """Pages are continued by whom they were begun."""
    continued = getattr(request, "page_token", "") and not method.startswith("JournalService")
    return owner.reader if continued else owner.writer


async def _owners_view(walk: Walk) -> dict[str, Any]:
    """All that the victim reads."""
    owner = walk.owner("ada of a")
    view = {}
    for name, method, request in calls(walk.victim):
        if is_read(method) and method not in UNSERVED_METHODS and method != "ServerService/GetServerInfo":
            answer = await call_raw(walk.channel, method, request, _metadata(owner, method, request))
            assert answer.error is None, (name, answer.error)
            view[name] = [re.sub(r"read_time \{[^}]*\}", "", str(reply)) for reply in answer.replies]
            if method == "EventService/TailEvents":
                view[name] = re.findall(r"session_sequence: \d+", "".join(view[name]))
    return view
