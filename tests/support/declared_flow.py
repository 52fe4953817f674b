"""A flow whose session has fields of drawn types, and everything that can be done to them.

The same in every process: ``python -m tests.support.declared_flow URL SESSION`` writes what is stored once again, and
fails if that changes anything.
"""

from __future__ import annotations

import asyncio
import copy
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Container, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from hypothesis import given, strategies as st
from pydantic import create_model

from flowstate_client import FlowStateClient, InvalidJson, SchemaViolation
from flowstate_server.errors import JsonInvalidError, JsonNumberError, StateValidationError
from flowstate_server.flows import ClientView, Context, Flow, Session
from flowstate_server.testing.server import running_server
from tests.support.declarable import Declarable, declarables, examples, same
from tests.support.hosted import play

REFUSALS = (StateValidationError, JsonInvalidError, JsonNumberError, SchemaViolation, InvalidJson, ValueError)
Body = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True)
class Field:
    name: str
    declared: Declarable
    values: tuple[Any, ...]


@dataclass(frozen=True)
class DeclaredFlow:
    fields: tuple[Field, ...]

    @cached_property
    def model(self) -> Any:
        return self.model_of({field.name for field in self.fields})

    def model_of(self, stored: Container[str]) -> Any:
        """The model of a state that has these: a field of which every value was refused is one that may be absent."""
        kinds: dict[str, Any] = {
            field.name: (field.declared.annotation, ... if field.name in stored else None)
            for field in self.fields
        }
        return create_model("State", **kinds, n=(int, 0))

    def flow(self, body: Body) -> Flow:
        names = [*(field.name for field in self.fields), "n"]
        session = Session(state=self.model, client=ClientView(expose=names))
        return play(body, kind="declared", session=session, persist_state_changes=True)


def declared_flow(fields: int, values: int = 2, *, random: bool = False) -> DeclaredFlow:
    """``random`` draws other types and values each time."""
    kinds = _drawn(declarables(), fields, random)
    return DeclaredFlow(
        tuple(
            Field(f"f{at}", kind, tuple(_drawn(kind.values, values, random))) for at, kind in enumerate(kinds)
        )
    )


def _drawn(strategy: st.SearchStrategy[Any], count: int, random: bool) -> list[Any]:
    found: list[Any] = []

    @examples(count, derandomize=not random)
    @given(strategy)
    def find(value: Any) -> None:
        found.append(value)

    find()
    return found[-count:]


USUAL = lru_cache(maxsize=1)(lambda: declared_flow(16))
"""Types that are the same in each process."""


@dataclass
class Walker:
    """Writes to a session by ``scope``, a block's or a client's, and reads it as ``client`` sees it."""

    scope: Any
    client: FlowStateClient
    session: str
    in_block: bool
    typed: bool = True
    writes: int = 0

    async def walk(self, flow: DeclaredFlow) -> None:
        for field in flow.fields:
            for value in field.values:
                await self._each_way(field, value)
            await self._gone(field)

    async def _each_way(self, field: Field, value: Any) -> None:
        for write in self._ways(field, value):
            before = await self.stored()
            try:
                await write()
            except REFUSALS as refusal:
                self._require_named(refusal, field)
                assert await self.stored() == before
                continue
            self.writes += 1
            stored = await self.stored()
            assert {**stored, field.name: 0} == {**before, field.name: 0}
            if field.name not in stored:
                assert not value  # nothing was pushed
                await self.scope.set_state(before)  # without the field no model can be made of the state
                continue
            read = await self._read(field)
            assert same(read, value), (field.declared.title, read, value)
            for again in (value, read):
                assert not (await self.scope.patch_state({field.name: again})).changed
            await self.scope.inc_state(n=1)
            assert await self.stored() == {**stored, "n": stored.get("n", 0) + 1}

    def _ways(self, field: Field, value: Any) -> Iterator[Callable[[], Awaitable[Any]]]:
        name, scope = field.name, self.scope
        yield lambda: scope.patch_state({name: value})
        yield lambda: scope.atomic_state(lambda _: {name: value})
        if self.in_block:
            yield lambda: scope.atomic_state(lambda state: state.model_copy(update={name: value}))
        yield lambda: self._in_batch(lambda batch: batch.patch_state({name: value}))
        kind = self._kind(field)
        if kind in ("list", "set", "frozenset", "deque") and isinstance(
            value, list | set | frozenset | deque
        ):

            def pushes(batch: Any) -> None:
                batch.unset_state(name)
                batch.push_state(name, *value)

            yield lambda: self._in_batch(pushes)
        if kind == "dict" and type(value) is dict and all(key not in ("", b"") for key in value):

            def records(batch: Any) -> None:
                batch.patch_state({name: {}})
                for key, record in value.items():
                    batch.set_state_record(name, key, record)
                    batch.delete_state_record(name, key)
                    batch.set_state_record(name, key, record)

            yield lambda: self._in_batch(records)

    def _kind(self, field: Field) -> str:
        origin = getattr(field.declared.annotation, "__origin__", None)
        return getattr(origin, "__name__", "")

    async def _in_batch(self, write: Callable[[Any], Any]) -> None:
        async with self.scope.batch() as batch:
            write(batch)

    async def _gone(self, field: Field) -> None:
        """The field as it was before, by the whole state."""
        before = await self.stored()
        await self.scope.unset_state(field.name)
        stored = await self.stored()
        assert stored == {name: value for name, value in before.items() if name != field.name}
        if field.name in before:
            await self.scope.set_state(before)
            assert await self.stored() == before

    async def _read(self, field: Field) -> Any:
        if self.in_block:
            return copy.deepcopy(self.scope.get(field.name))
        kinds: dict[str, Any] = {field.name: (field.declared.annotation, ...)}
        record = await self.scope.get(model=create_model("Read", **kinds))
        return getattr(record.state, field.name)

    def _require_named(self, refusal: Exception, field: Field) -> None:
        stood_still = "validating took" in str(refusal)  # and no test is about the machine
        taken = field.declared.taken and (self.typed or field.declared.bare)
        if (taken and not stood_still) or field.name not in str(refusal):
            raise AssertionError(f"{field.declared.title} is refused, or not by its name") from refusal

    async def stored(self) -> dict[str, Any]:
        """What is stored, which is what clients see."""
        state: dict[str, Any] = (await self.client.state.session(self.session).get()).state
        shown = (await self.client.sessions.snapshot(self.session)).client_data["session"]
        assert repr(shown) == repr({name: state[name] for name in shown})
        assert shown.keys() == state.keys()
        return state


async def write_again(url: str, session: str, flow: DeclaredFlow) -> int:
    """Write the last value of each field once more, from a block and from a client; gives how many were written."""
    count = 0

    async def again(scope: Any) -> None:
        nonlocal count
        for field in flow.fields:
            if field.declared.taken:
                written = await scope.patch_state({field.name: field.values[-1]})
                assert not written.changed, field.declared.title
                count += 1

    async def body(ctx: Context[Any, Any, Any, Any]) -> None:
        await again(ctx.session)

    async with running_server(flow.flow(body), store=url) as server:
        async with server.connect(user="ada", plane="trusted") as client:
            await client.flows.call("declared", "play", session_id=session, timeout=30)
            await again(client.state.session(session, model=flow.model))
    return count


if __name__ == "__main__":
    store, session_id = sys.argv[1:]
    sys.stdout.write(str(asyncio.run(write_again(store, session_id, USUAL()))))
