"""Tracebacks of an author's exception, without the frames of FlowState around it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import FrameType, TracebackType

from flowstate_server.errors import FlowStateError, InternalError

_OURS = "flowstate_server"
_LIBRARIES = ("pydantic", "aiosqlite", "asyncpg")
_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def without_our_frames(error: BaseException, *, brief: bool = False) -> None:
    """Drop our frames from the tracebacks of ``error``, of its causes and of the members of a group.

    Frames of the standard library and of libraries that we have called go with ours. What an author has called stays.
    Of an error that we raise on purpose no frame of ours is kept. Of any other those stay from which it came, since
    they show our own faults; if it is to be ``brief``, as for authors who test, only the innermost of them, and only if
    the author has none.
    """
    seen: set[int] = set()
    left = [error]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        BaseException.with_traceback(one, _of_author(one, brief))  # its class may refuse to set attributes
        left += [linked for linked in (one.__cause__, one.__context__) if linked is not None]
        if isinstance(one, BaseExceptionGroup):
            left += one.exceptions


def frames_to_show(frames: list[FrameType]) -> list[FrameType]:
    """Of a stack, outermost first, the frames of an author, and ours below the innermost of them."""
    ours = _which_are_ours(frames)
    last = max((place for place, is_ours in enumerate(ours) if not is_ours), default=-1)
    return [frame for place, frame in enumerate(frames) if place > last or not ours[place]]


def line_of_author(error: BaseException) -> str:
    """The innermost line of the author's own code that ``error`` came through, as ``file, line n``; empty if none."""
    entries = list(_entries(error.__traceback__))
    ours = _which_are_ours([entry.tb_frame for entry in entries])
    theirs = [entry for entry, is_ours in zip(entries, ours, strict=True) if not is_ours]
    own = [entry for entry in theirs if not _is_of_others(entry.tb_frame)]
    if not theirs:
        return ""
    entry = (own or theirs)[-1]
    path = os.path.relpath(entry.tb_frame.f_code.co_filename)
    return f"{path}, line {entry.tb_lineno}"


def _of_author(error: BaseException, brief: bool) -> TracebackType | None:
    entries = list(_entries(error.__traceback__))
    ours = _which_are_ours([entry.tb_frame for entry in entries])
    on_purpose = isinstance(error, FlowStateError) and not isinstance(error, InternalError)
    if all(ours):
        if on_purpose or (entries and _is_hidden(entries[-1].tb_frame)):
            return None
        return entries[-1] if entries and brief else error.__traceback__
    last = max(place for place, is_ours in enumerate(ours) if not is_ours)
    rest: TracebackType | None = None
    for place in range(len(entries) - 1, -1, -1):
        entry = entries[place]
        tells = place > last and not (brief or on_purpose or _is_hidden(entry.tb_frame))
        if tells or not ours[place]:
            rest = TracebackType(rest, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return rest


def _entries(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _which_are_ours(frames: list[FrameType]) -> list[bool]:
    found: list[bool] = []
    for frame in frames:
        module = _package(frame)
        called_by_us = bool(found) and found[-1]
        found.append(module == _OURS or (called_by_us and (module in _LIBRARIES or _is_standard(frame))))
    for place in range(
        len(frames) - 1, 0, -1
    ):  # what an author opens by `async with` may be a generator of ours
        if found[place] and _package(frames[place - 1]) == "contextlib":
            found[place - 1] = True
    return found


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _is_standard(frame: FrameType) -> bool:
    path = frame.f_code.co_filename
    installed = any(folder in path for folder in _INSTALLED)
    return path.startswith("<frozen ") or (path.startswith(_STANDARD_LIBRARY) and not installed)


def _is_of_others(frame: FrameType) -> bool:
    return _is_standard(frame) or any(folder in frame.f_code.co_filename for folder in _INSTALLED)


def _is_hidden(frame: FrameType) -> bool:
    """Whether the function refuses on purpose, said so as pytest understands it."""
    return "__tracebackhide__" in frame.f_code.co_varnames
