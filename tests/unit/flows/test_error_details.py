"""A business error survives details that are no JSON."""

from __future__ import annotations

import logging

import pytest

from flowstate_server.errors import ActionError
from flowstate_server.flows import Context, action, define_flow, handler
from flowstate_server.flows.error_details import error_details
from flowstate_server.testing import run_flow


@handler
async def sell(_: None, ctx: Context) -> None:
    raise ActionError("OUT_OF_STOCK", "none left", {"left": 0, "why": object(), "tags": {"c4nary"}})


def test_u6_what_is_no_json_is_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert error_details(ActionError("X", "x", {"left": 0, "why": object()})) == {"left": 0}
    assert "/details/why" in caplog.text


async def test_u6_code_and_message_reach_the_caller() -> None:
    shop = define_flow("shop", actions={"sell": action(block=sell)})
    run = await run_flow(shop, "sell", None, check=False)
    assert run.failure is not None
    assert (run.failure.reason, run.failure.message, run.failure.details) == (
        "OUT_OF_STOCK",
        "none left",
        {"left": 0},
    )
