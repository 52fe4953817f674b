"""Log records that many callers cause at once."""

from __future__ import annotations

import logging

import pytest

from flowstate_server.stores.log_throttle import LogThrottle


def test_the_same_message_is_let_through_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    log = logging.getLogger("tests.throttled")
    log.addFilter(LogThrottle(lambda: now[0]))
    for now[0] in (0.0, 0.1, 59.9, 60.0, 60.1):
        log.error("away: %s", "refused")
        log.error("away: %s", "timeout")
    assert caplog.messages == ["away: refused", "away: timeout"] * 2
