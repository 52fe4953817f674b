"""What an observer raises hurts nobody."""

from __future__ import annotations

import pytest

from flowstate_server.observation import Observer, shielded


@pytest.mark.parametrize("error", [LookupError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_f1_whatever_an_observer_raises_is_logged_once(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Observer):
        def run(self, **told: object) -> None:
            raise error

    observer = shielded(Broken())
    for _ in range(2):
        observer.run(flow_kind="f", action="a", request_id="r", seconds=0.0, outcome="completed")
    assert caplog.text.count("the observer broke") == 1
