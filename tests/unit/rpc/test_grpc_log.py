"""What gRPC logs of callers that are gone."""

from __future__ import annotations

import logging

import pytest

from flowstate_server.rpc.grpc_log import LOGGER, quieten

NOT_SENT = "ExecuteBatchError raised in core by servicer method [%s]"


def _log(message: str) -> None:
    try:
        raise RuntimeError('Failed "execute_batch"')
    except RuntimeError:
        logging.getLogger(LOGGER).exception(message, "/flowstate.v1.FlowService/GetFlow")


def test_an_answer_that_was_not_sent_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    quieten()
    _log(NOT_SENT)
    assert caplog.records == []
    caplog.set_level(logging.DEBUG, LOGGER)
    _log(NOT_SENT)
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("DEBUG", None)
    assert record.getMessage().endswith("[/flowstate.v1.FlowService/GetFlow]")


def test_whatever_else_it_logs_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    quieten()
    _log("Unexpected [%s]")
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.exc_info is not None
