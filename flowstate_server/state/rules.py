"""What operations ask of the schema of the state that they are applied to."""

from __future__ import annotations

from collections.abc import Set
from typing import Protocol

from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.state.json_pointer import Pointer
from flowstate_server.state.missing import MISSING, Missing


class StateRules(Protocol):
    """What may be in a state. All of it is pure and quick: it is asked inside the store's transaction.

    :meth:`check` may have been asked ahead of that, in a thread, with what was the newest state then.
    """

    def declares(self, name: str, /) -> bool:
        """Whether ``name`` is a field of this state; others belong to other flows, and stay as they are."""
        ...

    def default_at(self, pointer: Pointer, /) -> Json | Missing:
        """The default of any place as JSON, ``MISSING`` if it has none. Don't modify it."""
        ...

    def declared_otherwise(self, pointer: Pointer, kind: str, /) -> str:
        """How a place is declared that can't hold a ``kind`` ("number", "list" or "object") in JSON; empty if it can,
        or if that is not known. Asked where an operation has failed."""
        ...

    def record_key(self, name: str, key: str, /) -> str:
        """The key under which the top-level map ``name`` holds what is put under ``key``: that of the normal form."""
        ...

    def check(self, state: JsonObject, touched: frozenset[str], before: JsonObject, /) -> JsonObject:
        """Validate the touched top-level fields of a state that is about to be stored.

        Each must be declared and, if present, fit. Untouched fields are as they were and are not judged, but for rules
        over several fields of which one is touched. ``before`` is the stored state that was changed: rules about the
        present, such as a moment that lies in the future, do not hold for what was in it.

        Returns:
            ``state`` in normal form: itself if it is in that already, else a new object.

        Raises:
            StateValidationError: with JSON Pointers and rules, never values. Also if code took too long, see
                ``state.code_time``, or raised what is no error, which is the cause then, see ``state.code_raised``.
            Exception: whatever an author's code raises that is not its way to refuse.
        """
        ...

    def by_record(self, name: str, /) -> bool:
        """Whether the field ``name`` is a map of which :meth:`check` judges each record by itself: what it makes of
        some of them does not hang on the others."""
        ...

    def seen_by_code(self, touched: Set[str], /) -> Set[str]:
        """The fields that :meth:`check` of these shows to code of an author, touched or not; none: it calls none."""
        ...


class _NoRules:
    """Anything may be stored, nothing has a default."""

    def declares(self, name: str, /) -> bool:
        return False

    def default_at(self, pointer: Pointer, /) -> Missing:
        return MISSING

    def declared_otherwise(self, pointer: Pointer, kind: str, /) -> str:
        return ""

    def record_key(self, name: str, key: str, /) -> str:
        return key

    def check(self, state: JsonObject, touched: frozenset[str], before: JsonObject, /) -> JsonObject:
        return state

    def by_record(self, name: str, /) -> bool:
        return False

    def seen_by_code(self, touched: Set[str], /) -> Set[str]:
        return frozenset()


NO_RULES: StateRules = _NoRules()
