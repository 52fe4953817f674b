"""Whether two flows agree on the records that they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flowstate_server.errors import CrossFlowSchemaConflictError
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import same_json
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.declarations import (
    DeclaredField,
    FlowDeclaration,
    ResourceDeclaration,
    ScopeDeclaration,
)
from flowstate_server.programs.name_overlap import common_name
from flowstate_server.schemas.comparison import (
    SHAPE,
    VALUES,
    Discrepancy,
    part_by_validators_alone,
    same_shape,
)

UPGRADES = "incompatible-upgrades"


@frozen
class Conflict:
    """What keeps two flows from sharing the records of a scope; ``reason`` is one of ``schemas.comparison``, or
    ``incompatible-upgrades``."""

    scope: ScopeKind
    field: str
    flow_a: str
    flow_b: str
    reason: str
    detail: str

    def error(self, elsewhere: str = "") -> CrossFlowSchemaConflictError:
        """``elsewhere`` is a sentence about where one of the flows is."""
        return CrossFlowSchemaConflictError(
            problem=self.detail,
            scope=self.scope,
            field=self.field,
            flow_a=self.flow_a,
            flow_b=self.flow_b,
            reason=self.reason,
            elsewhere=f" {elsewhere}" if elsewhere else "",
        )


@frozen
class Remark:
    """What their authors should know of flows that may share: a sentence. A ``loud`` one is likely to hurt."""

    scope: ScopeKind
    fields: tuple[str, ...]
    flow_a: str
    flow_b: str
    text: str
    loud: bool = False


@frozen
class Agreement:
    """What comparing two flows has found; they may share if there are no ``conflicts``.

    The fields and reasons are the same whichever flow comes first.
    """

    conflicts: tuple[Conflict, ...]
    remarks: tuple[Remark, ...]


def together(conflicts: Sequence[CrossFlowSchemaConflictError]) -> CrossFlowSchemaConflictError:
    """The first of them, which tells the others as well."""
    first, *others = conflicts
    first.others = tuple(others)
    return first


def agreement(one: FlowDeclaration, other: FlowDeclaration, *, strict: bool = False) -> Agreement:
    """Compare what two flows declare, scope by scope. ``strict``: a required field of one side only is a conflict."""
    conflicts: list[Conflict] = []
    remarks: list[Remark] = []
    for scope, left in one.scopes.items():
        right = other.scopes.get(scope)
        if right is not None:
            pair = _Pair(scope, one.kind, other.kind, left, right)
            conflicts += pair.conflicts(strict)
            remarks += pair.remarks(strict)
    for scope, declared in one.resources.items():
        for left_name, left_one in declared.items():
            for right_name, right_one in other.resources.get(scope, {}).items():
                if (met := common_name(left_name, right_name)) is not None:
                    names = (left_name, right_name)
                    both = _ResourcePair(scope, one.kind, other.kind, left_one, right_one, names, met)
                    conflicts += both.conflicts(strict)
                    remarks += both.remarks(strict)
    return Agreement(tuple(conflicts), tuple(remarks))


@frozen
class _Pair:
    scope: ScopeKind
    flow_a: str
    flow_b: str
    one: ScopeDeclaration
    other: ScopeDeclaration
    what: str = ""
    """Whose state it is, if it is not the scope's own."""

    def conflicts(self, strict: bool) -> Iterator[Conflict]:
        for found in same_shape(self.one, self.other):
            if not self._by_validators_alone(found):
                yield self._conflict(found)
        if self.one.upgrades and self.other.upgrades:
            # What an upgrade changes can't be seen from outside: it may change every field that its flow declares.
            detail = "both flows have an upgrade, which is for one of them to have"
            for name in self._of_both():
                yield self._conflict(Discrepancy(name, UPGRADES, detail))
        if strict:
            for owner, names in self._one_sided(required=True):
                for name in names:
                    yield self._conflict(
                        Discrepancy(name, SHAPE, f'required, and declared by flow "{owner}" only')
                    )

    def remarks(self, strict: bool) -> Iterator[Remark]:
        for found in same_shape(self.one, self.other):
            if self._by_validators_alone(found):
                text = f"validate it differently ({found.detail}): what one of them writes, the other one may"
                told = f'the {self._named} state field "{found.field}" and {text} fail to read'
                yield self._remark(told, (found.field,))
        for name in self._of_both():
            where = _other_default(self.one.members[name], self.other.members[name])
            if where is not None:
                what = f'"{where}" in it' if where else "it"
                text = f"give {what} different defaults: while nothing is stored, each shows its own"
                yield self._remark(f'the {self._named} state field "{name}" and {text}', (name,))
        for owner, names in self._one_sided(required=False):
            text = f'only "{owner}" declares {_listed(names)}: the other one keeps what is there, and can\'t write it'
            yield self._remark(f"the {self._named} state, and {text}", names)
        for owner, names in () if strict else self._one_sided(required=True):
            without = "which has no default" if len(names) == 1 else "which have no defaults"
            text = (
                f'only "{owner}" declares {_listed(names)}, {without}: until it writes that, reading it fails'
            )
            yield self._remark(f"the {self._named} state, and {text}", names, loud=True)

    @property
    def _named(self) -> str:
        return self.what or self.scope.value

    def _by_validators_alone(self, found: Discrepancy) -> bool:
        return part_by_validators_alone(self.one.shape(found.field), self.other.shape(found.field))

    def _of_both(self) -> list[str]:
        return [name for name in self.one.fields if self.other.declares(name)]

    def _one_sided(self, *, required: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Whose fields only one side declares, with their names."""
        for owner, schema, counterpart in (
            (self.flow_a, self.one, self.other),
            (self.flow_b, self.other, self.one),
        ):
            names = [
                name
                for name in schema.fields
                if not counterpart.declares(name) and schema.members[name].required is required
            ]
            if names:
                yield owner, tuple(names)

    def _conflict(self, found: Discrepancy) -> Conflict:
        return Conflict(self.scope, found.field, self.flow_a, self.flow_b, found.reason, found.detail)

    def _remark(self, text: str, names: tuple[str, ...], *, loud: bool = False) -> Remark:
        told = f'flows "{self.flow_a}" and "{self.flow_b}" share {text}'
        return Remark(self.scope, names, self.flow_a, self.flow_b, told, loud)


@frozen
class _ResourcePair:
    """Declarations of two flows that cover one resource, such as ``met``."""

    scope: ScopeKind
    flow_a: str
    flow_b: str
    one: ResourceDeclaration
    other: ResourceDeclaration
    names: tuple[str, str]
    met: str

    def conflicts(self, strict: bool) -> Iterator[Conflict]:
        first, second = sorted(self.names)
        if first != second:
            yield self._conflict(SHAPE, f'"{first}" and "{second}" can both be about "{self.met}"')
            return
        for found in self._states.conflicts(strict):
            yield self._conflict(found.reason, f"/{found.field}{_below(found.detail)}")
        one, other = _limits(self.one), _limits(self.other)
        if one != other:
            yield self._conflict(VALUES, f"{one} vs {other}")

    def remarks(self, strict: bool) -> Iterator[Remark]:
        if len(set(self.names)) == 1:
            yield from self._states.remarks(strict)

    @property
    def _states(self) -> _Pair:
        what = f'{self.scope} resource "{self.names[0]}"'
        return _Pair(self.scope, self.flow_a, self.flow_b, self.one.state, self.other.state, what)

    def _conflict(self, reason: str, detail: str) -> Conflict:
        field = f"resources.{min(self.names)}"
        return Conflict(self.scope, field, self.flow_a, self.flow_b, reason, detail)


def _below(detail: str) -> str:
    """``detail`` of a field, to be put behind its path."""
    return detail if detail.startswith("/") else f": {detail}"


def _limits(declared: ResourceDeclaration) -> str:
    if declared.max_instances is None:
        return "no max_instances"
    return f"max_instances={declared.max_instances}{', evict' if declared.evicts else ''}"


def _other_default(one: DeclaredField, other: DeclaredField) -> str | None:
    """The place at which defaults differ first, in order; ``""`` is the field itself."""
    if one.drawn is not other.drawn:
        return ""
    for place in sorted(one.defaults.keys() | other.defaults.keys()):
        if place not in one.defaults or place not in other.defaults:
            return place
        if not same_json(one.defaults[place], other.defaults[place]):
            return place
    return None


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)
