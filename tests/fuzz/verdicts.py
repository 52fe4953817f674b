"""What may come back of a bad call, and what it may leave behind."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, cast

import grpc
from google.rpc.status_pb2 import Status

from flowstate_server.errors import Reason
from flowstate_server.rpc.error_status import ERROR_STATUS
from tests.fuzz.cases import PATIENCE, Case
from tests.fuzz.fuzzed_server import SECRETS, Fuzzed
from tests.support.raw_answers import Answer
from tests.support.wire import read_refusal

_MIB = 1024 * 1024
NEVER = frozenset(
    (
        Reason.INTERNAL,
        Reason.STORE_UNAVAILABLE,
        Reason.LEASE_LOST,
        Reason.SERVER_DRAINING,
        Reason.RATE_LIMITED,
        Reason.TOO_MANY_STREAMS,
        Reason.SLOW_CONSUMER,
    )
)
"""The server is well all the time, has enough of everything, and nobody is so slow."""
_STORES_FIRST = {"ResourceService/WriteContent"}
"""A piece is kept, whatever becomes of the upload."""
_MARK = re.compile(r"zq(\d+)qz")


class Verdicts:
    """Judges answers one by one and, at the end, what is stored."""

    def __init__(self, fuzzed: Fuzzed) -> None:
        self._fuzzed = fuzzed
        self._refused: set[int] = set()
        self.outcomes: Counter[str] = Counter()
        self.methods: set[str] = set()
        self.wrong: list[str] = []
        """What has gone wrong, and how to have it again."""

    def judge(self, case: Case, answer: Answer | None) -> None:
        """Raises ``AssertionError`` if that must not come back."""
        if answer is None:
            self.outcomes["not sent"] += 1
            return
        self.methods.add(case.method)
        outcome = "OK" if answer.error is None else self._refusal(case, answer)
        self.outcomes[outcome] += 1
        told = self._fuzzed.walk.canaries.found(answer.text) & SECRETS
        assert not told, f"tells {told}"

    def _refusal(self, case: Case, answer: Answer) -> str:
        assert answer.error is not None
        code = answer.error.code()
        if _by_grpc(case, code) and not _is_the_servers(answer):
            return f"{code.name} by gRPC"
        refusal = read_refusal(answer.error)
        assert ERROR_STATUS[refusal.reason].code is refusal.code
        assert refusal.reason not in NEVER, answer.error
        in_time = refusal.reason is not Reason.DEADLINE_BUDGET_EXHAUSTED
        if in_time and not answer.messages and case.method not in _STORES_FIRST:
            self._refused.add(case.number)
        return f"{code.name} {refusal.reason}"

    async def judge_store(self) -> int:
        """The victim's things are as they were, and of what was refused there is nothing; of how many others is."""
        missing, marks = set(self._fuzzed.before), set[int]()
        async for row in self._fuzzed.walk.each_row():
            missing.discard(row)
            marks.update(map(int, _MARK.findall(row)))
        assert missing == set()
        assert marks & self._refused == set(), "stored of calls that were refused"
        return len(marks)


def _is_the_servers(answer: Answer) -> bool:
    """Whether the status is the one that the server sent: a call may be over on its caller's side when that comes."""
    assert answer.error is not None
    trailers = dict(cast(Any, answer.error.trailing_metadata() or ()))
    details = trailers.get("grpc-status-details-bin")
    return details is not None and Status.FromString(details).code == answer.error.code().value[0]


def _by_grpc(case: Case, code: grpc.StatusCode) -> bool:
    """Whether gRPC itself, of either side, may give this status to the call."""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return case.timeout < PATIENCE or case.kind == "a conversation"
    # From 8 KiB on gRPC draws lots; its own names, such as the path, count, too.
    large = sum(len(key) + len(value) + 32 for key, value in case.metadata) > 7 * 1024
    return code is grpc.StatusCode.RESOURCE_EXHAUSTED and (large or len(case.raw) > 8 * _MIB)
