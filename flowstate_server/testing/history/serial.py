"""Calls over several records: there is one order of all calls that explains every answer and respects real time.

Each version is one write's, so what must come before what is known: along every record its positions, in real time an
answer and what began after it. There is such an order exactly if that has no cycle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter

from flowstate_server.testing.history.calls import Call, Key
from flowstate_server.testing.history.tracks import Track
from flowstate_server.testing.history.violations import Kind, Violation


class _Graph:
    """Nodes are numbers; the first ones are those of the calls, the others moments of time."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        self.number = {id(call): number for number, call in enumerate(calls)}
        self.after: list[list[int]] = [[] for _ in range(2 * len(calls))]
        self.before = [0] * (2 * len(calls))

    def add(self, one: int, other: int) -> None:
        if one != other:
            self.after[one].append(other)
            self.before[other] += 1


def check_serial(calls: Sequence[Call], tracks: Mapping[Key, Track]) -> Iterator[Violation]:
    graph = _Graph(calls)
    for track in tracks.values():
        _add_record(graph, track)
    _add_time(graph)
    cycle = _cycle(graph)
    if cycle:
        yield Violation(Kind.NOT_SERIAL, "all records", f"{len(cycle)} calls in a circle", tuple(cycle))


def _add_record(graph: _Graph, track: Track) -> None:
    """Along the positions of a record: who made one, who saw it, who made the next."""
    makers = {2 * version: given.call for version, given in track.writes.items()}
    makers |= {2 * version + 1: given.call for version, given in track.deletes.items()}
    lookers: dict[int, list[int]] = {}
    for look in track.looks:
        if look.lowest == look.highest and not look.call.replayed:
            lookers.setdefault(look.lowest, []).append(graph.number[id(look.call)])
    maker: int | None = None
    lookers_before: list[int] = []
    for position in sorted(makers.keys() | lookers.keys()):
        if position in makers:
            made = graph.number[id(makers[position])]
            for one in lookers_before:
                graph.add(one, made)
            if maker is not None:
                graph.add(maker, made)
            maker, lookers_before = made, []
        for one in lookers.get(position, ()):
            if maker is not None:
                graph.add(maker, one)
            lookers_before.append(one)


def _add_time(graph: _Graph) -> None:
    """A chain of moments, one for each end: a call leads to the moment of its end, a moment to the calls that began
    after it."""
    count = len(graph.calls)
    by_end = sorted(graph.calls, key=attrgetter("ended"))
    for moment, call in enumerate(by_end, count):
        graph.add(graph.number[id(call)], moment)
        if moment > count:
            graph.add(moment - 1, moment)
    moment = -1
    for call in sorted(graph.calls, key=attrgetter("began")):
        while moment + 1 < count and by_end[moment + 1].ended < call.began:
            moment += 1
        if moment >= 0:
            graph.add(count + moment, graph.number[id(call)])


def _cycle(graph: _Graph) -> list[Call]:
    before = list(graph.before)
    ready = [node for node, count in enumerate(before) if not count]
    left = set(range(len(before)))
    while ready:
        node = ready.pop()
        left.discard(node)
        for other in graph.after[node]:
            before[other] -= 1
            if not before[other]:
                ready.append(other)
    if not left:
        return []
    return [graph.calls[node] for node in _circle(graph, left) if node < len(graph.calls)]


def _circle(graph: _Graph, left: set[int]) -> list[int]:
    """Every node that is left has one before it that is left too, so going back comes round."""
    earlier = {other: node for node in left for other in graph.after[node] if other in left}
    node, path, seen = next(iter(left)), list[int](), dict[int, int]()
    while node not in seen:
        seen[node] = len(path)
        path.append(node)
        node = earlier[node]
    return path[seen[node] :][::-1]
