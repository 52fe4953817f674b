"""How long a flow says that its sessions are kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows import Context, Retention, Session, action, define_flow, handler
from flowstate_server.programs.keeping import EPHEMERAL_TTL, Keeping


@handler
async def nothing(value: None, ctx: Context) -> None:
    pass


def _keeping(**session: Any) -> Keeping:
    flow = define_flow(kind="f", actions={"a": action(block=nothing)}, session=Session(**session))
    return flow.described.keeping


def test_ephemeral_sessions_are_kept_for_a_week_and_others_for_ever() -> None:
    keeping = _keeping()
    assert keeping == Keeping(None, EPHEMERAL_TTL, None)
    assert keeping.lifetime(ephemeral=True) == timedelta(days=7).total_seconds()
    assert keeping.lifetime(ephemeral=False) is None


def test_seconds_and_timedeltas() -> None:
    keeping = _keeping(
        ttl=timedelta(days=30), ephemeral_ttl=3600, retention=Retention(10, timedelta(hours=1))
    )
    assert (keeping.ttl, keeping.ephemeral_ttl) == (30 * 86400.0, 3600.0)
    assert keeping.retention is not None
    assert (keeping.retention.max_turns, keeping.retention.seconds) == (10, 3600.0)
    assert _keeping(ephemeral_ttl=None).lifetime(ephemeral=True) is None


@pytest.mark.parametrize("bad", [0, -1, float("inf"), float("nan"), True, "1", timedelta(0)])
def test_durations_are_positive(bad: Any) -> None:
    for make in (
        lambda: Session(ttl=bad),
        lambda: Session(ephemeral_ttl=bad),
        lambda: Retention(max_age=bad),
    ):
        with pytest.raises(FlowDefinitionError, match="positive number of seconds or a timedelta"):
            make()


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "1"])
def test_turns_are_counted(bad: Any) -> None:
    with pytest.raises(FlowDefinitionError, match="max_turns"):
        Retention(max_turns=bad)


def test_retention_is_one() -> None:
    with pytest.raises(FlowDefinitionError, match="takes a Retention"):
        Session(retention={"max_turns": 3})  # type: ignore[arg-type]
