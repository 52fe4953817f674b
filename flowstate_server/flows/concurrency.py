"""Concurrency policies: what becomes of a call while another request of the action runs."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Generic, Literal, TypeVar

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows.names import check_name
from flowstate_server.model.clock import Seconds
from flowstate_server.model.gates import Policy
from flowstate_server.programs.concurrency import MAX_WAITING, Concurrency, GateBy

I_contra = TypeVar("I_contra", contravariant=True)
I = TypeVar("I")  # noqa: E741


@dataclass(frozen=True, slots=True)
class ConcurrencyPolicy(Generic[I_contra]):
    """Made by :func:`queue`, :func:`reject`, :func:`interrupt` or :func:`allow`. ``described`` is ``None`` where any
    number of requests may run; ``key`` makes the key of a gate of an input, where that is what tells gates apart."""

    described: Concurrency | None
    key: Callable[[I_contra], str] | None = None


By = Literal["session", "user"] | Callable[[I], str]
"""What is to run one at a time: the requests of a session, those of a user, or those for whose inputs a function gives
the same text. The function should be pure and quick."""


def allow() -> ConcurrencyPolicy[Any]:
    """Any number of requests run at a time. What an action without a policy does."""
    return ConcurrencyPolicy(None)


def reject(*, by: By[I] = "session", group: str = "") -> ConcurrencyPolicy[I]:
    """A call is refused (``CONCURRENCY_REJECTED``) while another request runs or waits.

    Args:
        by: what is to run one at a time.
        group: a name that actions of the flow share whose requests keep each other out; else it is the action alone.

    Raises:
        FlowDefinitionError: an argument is not what it should be.
    """
    return _policy(Policy.REJECT, by, group)


def queue(
    *,
    by: By[I] = "session",
    group: str = "",
    limit: int = 100,
    timeout: float | timedelta = 600.0,
) -> ConcurrencyPolicy[I]:
    """Requests run one after another, in the order in which they came.

    Args:
        by, group: as for :func:`reject`.
        limit: requests that wait at most, up to 1,000; one more is refused (``QUEUE_FULL``).
        timeout: seconds (or a ``timedelta``) that one waits at most; then it fails with ``QUEUE_TIMEOUT``.

    Raises:
        FlowDefinitionError: an argument is not what it should be.
    """
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MAX_WAITING:
        raise FlowDefinitionError(f"a queue's limit must be a whole number from 1 to {MAX_WAITING}")
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise FlowDefinitionError("a queue's timeout must be a positive number of seconds or a timedelta")
    made = _policy(Policy.QUEUE, by, group)
    assert made.described is not None
    described = replace(made.described, limit=limit, timeout=Seconds(float(seconds)))
    return ConcurrencyPolicy(described, made.key)


def interrupt(*, by: By[I] = "session", group: str = "") -> ConcurrencyPolicy[I]:
    """The newest request takes the turn: the one that runs is asked to cancel, and the new one begins when that has
    ended. Others that wait end aborted, without having begun.

    Args:
        by, group: as for :func:`reject`.

    Raises:
        FlowDefinitionError: an argument is not what it should be.
    """
    return _policy(Policy.INTERRUPT, by, group)


def _policy(policy: Policy, by: By[I], group: str) -> ConcurrencyPolicy[I]:
    if group:
        check_name("a concurrency group's name", group)
    if callable(by):
        if inspect.iscoroutinefunction(by):
            raise FlowDefinitionError(f"the function that a {policy.value} policy goes by must not be async")
        return ConcurrencyPolicy(Concurrency(policy, GateBy.INPUT, group), by)
    if by not in ("session", "user"):
        raise FlowDefinitionError(
            f'a {policy.value} policy\'s by must be "session", "user" or a function of the input'
        )
    return ConcurrencyPolicy(Concurrency(policy, GateBy(by), group))


def check_groups(kind: str, policies: Mapping[str, Concurrency | None]) -> None:
    """
    Raises:
        FlowDefinitionError: actions of a group are told apart by different things, and would never meet.
    """
    groups: dict[str, tuple[str, GateBy]] = {}
    for name, policy in policies.items():
        if policy is None:
            continue
        group = policy.group or name
        other, by = groups.setdefault(group, (name, policy.by))
        if by is not policy.by:
            raise FlowDefinitionError(
                f'flow "{kind}": actions "{other}" and "{name}" share the concurrency group "{group}", but one goes'
                f" by the {by.value}, the other by the {policy.by.value}"
            )
