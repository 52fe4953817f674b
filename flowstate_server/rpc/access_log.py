"""One log record for each call, when it is over: at level DEBUG if it went well and fast, or waits by design, else at
INFO.

What is in the message is also in the record's attributes, for formatters that write JSON: ``method``, ``code``,
``reason``, ``elapsed_ms``, ``bytes_in``, ``bytes_out``, ``messages_out``, ``principal``, ``plane``, ``peer``,
``error_id``, and the ids of ``log_context``; no text among them is empty. ``principal`` is the caller, or the user that
a caller without a name acts for. Call metadata is never logged: it holds secrets.
"""

from __future__ import annotations

import logging

from flowstate_server.observation import Observer
from flowstate_server.programs.author_code import printable
from flowstate_server.rpc.call_context import Call
from flowstate_server.rpc.methods import waits

access = logging.getLogger("flowstate.access")
errors = logging.getLogger("flowstate.errors")


# A unary call that does not wait takes a few milliseconds; from a second on somebody may ask why.
SLOW_MS = 1_000.0


def log_call(call: Call) -> None:
    fast = call.elapsed_ms < SLOW_MS or waits(call.method)
    level = logging.DEBUG if call.code == "OK" and fast else logging.INFO
    if not access.isEnabledFor(level):
        return
    ids = call.log_ids()
    fields = {
        "method": call.method,
        "code": call.code,
        "reason": call.reason.value if call.reason else "",
        "elapsed_ms": round(call.elapsed_ms, 3),
        "bytes_in": call.bytes_in,
        "bytes_out": call.bytes_out,
        "messages_out": call.messages_out,
        "principal": call.principal.name or ids.get("user_id", ""),
        "plane": call.principal.plane,
        "peer": call.peer,
        "error_id": call.error_id,
        **ids,
    }
    known = {name: value for name, value in fields.items() if value != ""}
    outcome = f"{call.code} {call.reason.value}" if call.reason else call.code
    access.log(level, "%s %s %.1f ms", call.method, outcome, call.elapsed_ms, extra=known)


def observe_call(call: Call, observer: Observer) -> None:
    observer.call(
        method=call.method,
        plane=call.principal.plane.value,
        seconds=call.elapsed_ms / 1_000,
        bytes_in=call.bytes_in,
        bytes_out=call.bytes_out,
        outcome=call.reason.value if call.reason else call.code,
    )


def log_unexpected(call: Call, error: BaseException) -> None:
    """The traceback of what should not have happened, under the ``error_id`` that the caller is told."""
    errors.error(
        "%s failed unexpectedly, error_id %s",
        call.method,
        call.error_id,
        exc_info=printable(error),
        extra={"error_id": call.error_id},
    )
