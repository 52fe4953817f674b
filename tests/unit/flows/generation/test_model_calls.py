"""When a model is called again, and when not."""

from __future__ import annotations

import math

import pytest

from flowstate_server.errors import (
    ModelAnswerError,
    ModelCallError,
    ModelRefusedError,
    ModelUnavailableError,
)
from flowstate_server.flows.generation.model_calls import LONGEST_PAUSE, RETRIES, pause_after, told_to_clients

AWAY = ModelUnavailableError("away")


@pytest.mark.parametrize("error", [AWAY, ModelAnswerError("gibberish")])
def test_pauses_grow_and_differ(error: ModelCallError) -> None:
    for attempt in range(RETRIES):
        pauses = {pause_after(error, attempt) for _ in range(50)}
        assert len(pauses) > 10
        assert all(0.25 * 2**attempt <= pause <= 0.5 * 2**attempt for pause in pauses if pause is not None)
    assert pause_after(error, RETRIES) is None


def test_a_provider_s_own_wait_is_kept_to_a_minute() -> None:
    assert pause_after(ModelUnavailableError("busy", 30.0), 0) == 30.0
    assert pause_after(ModelUnavailableError("busy", LONGEST_PAUSE), 2) == 60.0
    assert pause_after(ModelUnavailableError("busy", 60.5), 0) is None
    assert pause_after(ModelUnavailableError("busy", 30.0), RETRIES) is None
    soon = pause_after(ModelUnavailableError("busy", 0.0), 0)
    assert soon is not None
    assert soon > 0


def test_what_is_refused_is_not_asked_again() -> None:
    assert pause_after(ModelRefusedError("no"), 0) is None


@pytest.mark.parametrize("error", [AWAY, ModelAnswerError("x"), ModelRefusedError("x")])
def test_clients_are_told_nothing_of_the_provider_s_words(error: ModelCallError) -> None:
    error.problem = "canary"
    told = told_to_clients(error)
    assert "canary" not in repr((told.code, told.message, told.details))
    assert told.retryable is not isinstance(error, ModelRefusedError)


def test_a_wait_that_is_no_number_is_none() -> None:
    pause = pause_after(ModelUnavailableError("busy", math.nan), 0)
    assert pause is not None
    assert 0.25 <= pause <= 0.5
    assert pause_after(ModelUnavailableError("busy", math.inf), 0) is None
