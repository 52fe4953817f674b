"""Calls under one idempotency key are one call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from flowstate_server.testing.history.calls import Call, Outcome
from flowstate_server.testing.history.violations import Kind, Violation


def without_repeats(calls: Iterable[Call], violations: list[Violation]) -> list[Call]:
    """One call for all repeats: begun with the first of them, ended with the first answer."""
    single: list[Call] = []
    repeats: dict[str, list[Call]] = {}
    for call in calls:
        if call.idempotency_key:
            repeats.setdefault(call.idempotency_key, []).append(call)
        else:
            single.append(call)
    for key, group in repeats.items():
        single.append(group[0] if len(group) == 1 else _as_one(key, group, violations))
    return single


def _as_one(key: str, group: list[Call], violations: list[Violation]) -> Call:
    answered = sorted(
        (call for call in group if call.outcome is Outcome.ANSWERED), key=lambda call: call.ended
    )
    if not answered:
        doubtful = next((call for call in group if call.outcome is Outcome.UNKNOWN), group[0])
        return replace(doubtful, began=min(call.began for call in group))
    told = {tuple((answer.version, answer.changed) for answer in call.answers) for call in answered}
    if len(told) > 1:
        detail = f"{len(told)} different answers"
        violations.append(Violation(Kind.REPEAT, f"idempotency key {key}", detail, tuple(answered)))
    firsts = [call for call in answered if call.replayed is False]
    if len(firsts) > 1:
        detail = "written more than once"
        violations.append(Violation(Kind.REPEAT, f"idempotency key {key}", detail, tuple(firsts)))
    # The first time tells states, a repeat only versions.
    whole = next(iter(firsts), answered[0])
    return replace(whole, began=min(call.began for call in group), ended=answered[0].ended)
