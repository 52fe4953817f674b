"""What gRPC itself logs."""

from __future__ import annotations

import logging

LOGGER = "grpc._cython.cygrpc"
_NOT_SENT = "ExecuteBatchError raised in core"


def quieten() -> None:
    """Log at DEBUG, without its traceback, that an answer was not sent.

    grpc.aio logs it as an error wherever a connection breaks while the server answers, which any caller may bring about
    and nobody can mend. Harmless if done before.
    """
    logging.getLogger(LOGGER).addFilter(_quieten)


def _quieten(record: logging.LogRecord) -> bool:
    if str(record.msg).startswith(_NOT_SENT):
        record.levelno, record.levelname = logging.DEBUG, logging.getLevelName(logging.DEBUG)
        record.exc_info = None
        return logging.getLogger(record.name).isEnabledFor(record.levelno)
    return True
