"""The writes of one record, done again in the order of their versions: each answer must be what comes of it.

Where unanswered writes may have happened there are several *branches* of what the record was; those that an answer
refutes are dropped, and one must be left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from flowstate_server.errors import FlowStateError
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import JsonObject, canonical_json
from flowstate_server.schemas.scope_schema import ScopeSchema
from flowstate_server.stores.contract.writes import Exists, Precondition
from flowstate_server.testing.history.calls import Answer, Call, Delete, Write
from flowstate_server.testing.history.meaning import applied, same_state
from flowstate_server.testing.history.tracks import Given, Look, Track
from flowstate_server.testing.history.unanswered import deadlines, unanswered_of
from flowstate_server.testing.history.violations import Kind, Violation

# Each write that was never answered may or may not have happened, which doubles the histories; beyond this a check
# would take minutes.
MAX_BRANCHES = 5_000


@frozen
class Branch:
    """One way it may have been. ``used`` counts the unanswered writes that happened, by kind."""

    state: JsonObject
    exists: bool
    used: tuple[int, ...]


class TooManyUnanswered(ValueError):
    """So many unanswered writes that what they made can't be told. Read the record now and then, or check it apart."""


class Replay:
    """The replay of one record; :attr:`branches` are what it may be in the end."""

    def __init__(self, track: Track, schema: ScopeSchema | None) -> None:
        self.track = track
        self.kinds = unanswered_of(track)
        self.branches = [Branch({}, False, (0,) * len(self.kinds))]
        self._schema = schema
        self._deadlines = deadlines(track)
        self._looks: dict[int, list[Look]] = {}
        for look in track.looks:
            self._looks.setdefault(look.answer.version, []).append(look)

    def check(self) -> Iterator[Violation]:
        """Ends with the first violation: what comes after it has nothing to be compared with."""
        for version in range(self.track.last + 1):
            for violation in self._steps(version):
                if violation is not None:
                    yield violation
                    return

    def _steps(self, version: int) -> Iterator[Violation | None]:
        looks = self._looks.get(version, ())
        if version:
            yield self._write(version)
        yield from self._look([look for look in looks if look.answer.exists])
        yield from self._unchanged(version, looks)
        yield self._delete(version)
        yield from self._look([look for look in looks if look.answer.exists is False])

    def _write(self, version: int) -> Violation | None:
        given = self.track.writes.get(version)
        if given is not None:
            assert isinstance(given.part, Write)
            after = [self._written(branch, given.part, version, given.answer) for branch in self.branches]
        else:
            after = [
                self._taken(branch, number, self._written(branch, kind.part, version))
                for branch in self.branches
                for number, kind in enumerate(self.kinds)
                if isinstance(kind.part, Write) and self._free(branch, number, version)
            ]
        return self._go_on(after, f"version {version}", () if given is None else (given.call,))

    def _delete(self, version: int) -> Violation | None:
        given = self.track.deletes.get(version)
        if given is not None:
            after = [_deleted(branch, given) for branch in self.branches]
            return self._go_on(after, f"the delete at version {version}", (given.call,))
        numbers = [number for number, kind in enumerate(self.kinds) if isinstance(kind.part, Delete)]
        if not numbers:
            return None
        more = [
            self._taken(branch, number, _deleted(branch, None))
            for branch in self.branches
            for number in numbers
            if self._free(branch, number, version + 1)
        ]
        return self._go_on([*self.branches, *more], "", ())

    def _written(
        self, branch: Branch, part: Write | Delete, version: int, answer: Answer | None = None
    ) -> Branch | None:
        """``branch`` after a write that took ``version``; ``None`` if it can't have, or not with that answer."""
        assert isinstance(part, Write)
        if not _met(part.precondition, branch, version - 1):
            return None
        try:
            state = applied(branch.state, part.operations, self._schema)
        except FlowStateError:
            return None
        if state is None:
            return None
        told = None if answer is None else answer.state
        if told is not None and not same_state(told, state, self._schema):
            return None
        return Branch(state, True, branch.used)

    def _free(self, branch: Branch, number: int, version: int) -> bool:
        return branch.used[number] < self.kinds[number].begun_before(self._deadlines[version])

    def _taken(self, branch: Branch, number: int, after: Branch | None) -> Branch | None:
        if after is None:
            return None
        used = tuple(count + (position == number) for position, count in enumerate(branch.used))
        return replace(after, used=used)

    def _look(self, looks: Iterable[Look]) -> Iterator[Violation | None]:
        for look in looks:
            if isinstance(look.part, Write):
                continue
            left = [branch for branch in self.branches if self._fits(branch, look.answer)]
            yield self._go_on(left, f"what was seen at version {look.answer.version}", (look.call,))

    def _fits(self, branch: Branch, answer: Answer) -> bool:
        if branch.exists is not answer.exists:
            return False
        return answer.state is None or same_state(answer.state, branch.state, self._schema)

    def _unchanged(self, version: int, looks: Iterable[Look]) -> Iterator[Violation | None]:
        """Writes that changed nothing. A record that was deleted at that version may have been either way."""
        deleted = version in self.track.deletes or any(isinstance(kind.part, Delete) for kind in self.kinds)
        for look in looks:
            part = look.part
            if isinstance(part, Write) and not deleted:
                left = [branch for branch in self.branches if self._leaves(branch, part, version)]
                yield self._go_on(left, f"no change at version {version}", (look.call,))

    def _leaves(self, branch: Branch, part: Write, version: int) -> bool:
        if not _met(part.precondition, branch, version):
            return False
        try:
            return applied(branch.state, part.operations, self._schema) is None
        except FlowStateError:
            return False

    def _go_on(self, after: Sequence[Branch | None], what: str, calls: tuple[Call, ...]) -> Violation | None:
        left = [branch for branch in after if branch is not None]
        if not left:
            shown = f"{what}; before it the record was {_shown(self.branches)}"
            return Violation(Kind.WRONG_STATE, self.track.name, shown, calls)
        self.branches = left if len(left) == 1 else _different(left)
        if len(self.branches) > MAX_BRANCHES:
            raise TooManyUnanswered(self.track.name)
        return None


def _deleted(branch: Branch, given: Given | None) -> Branch | None:
    if not branch.exists:
        return None
    if (
        given is not None
        and isinstance(given.part.precondition, Exists)
        and not given.part.precondition.exists
    ):
        return None
    return Branch({}, False, branch.used)


def _met(precondition: Precondition | None, branch: Branch, version: int) -> bool:
    if precondition is None:
        return True
    if isinstance(precondition, Exists):
        return precondition.exists is branch.exists
    return precondition.version == version


def _different(branches: Iterable[Branch]) -> list[Branch]:
    return list(
        {(canonical_json(branch.state), branch.exists, branch.used): branch for branch in branches}.values()
    )


def _shown(branches: Sequence[Branch]) -> str:
    texts = [canonical_json(branch.state).decode() if branch.exists else "absent" for branch in branches[:3]]
    return " or ".join(text if len(text) < 400 else f"{text[:400]}..." for text in texts)
