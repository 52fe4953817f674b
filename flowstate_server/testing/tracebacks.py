"""Tracebacks of an author's exception, without the frames of FlowState around it."""

from __future__ import annotations

from types import TracebackType

_OURS = "flowstate_server"


def without_our_frames(error: BaseException, *, brief: bool = False) -> None:
    """Drop our frames from the tracebacks of ``error``, of its causes and of the members of a group.

    One that has no other frames keeps them, if it is to be ``brief`` the innermost: we say there what is wrong with
    what an author's code gave.
    """
    seen: set[int] = set()
    left = [error]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        trace = one.__traceback__
        one.__traceback__ = _of_others(trace) or (_innermost(trace) if brief else trace)
        left += [linked for linked in (one.__cause__, one.__context__) if linked is not None]
        if isinstance(one, BaseExceptionGroup):
            left += one.exceptions


def _innermost(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace


def _of_others(trace: TracebackType | None) -> TracebackType | None:
    kept: list[TracebackType] = []
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] != _OURS:
            kept.append(trace)
        trace = trace.tb_next
    rest: TracebackType | None = None
    for trace in reversed(kept):
        rest = TracebackType(rest, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)
    return rest
