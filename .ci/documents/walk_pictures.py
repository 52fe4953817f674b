"""The drawings of "How it works inside": ``python -m documents.walk_pictures``.

A walk is drawn as who says what to whom, from top to bottom. A note of one of them has no receiver.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import NamedTuple

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
COLUMN, ROW, TOP, HALF = 190, 38, 64, 95


class Say(NamedTuple):
    who: str
    text: str
    to: str = ""


class Walk(NamedTuple):
    name: str
    title: str
    who: tuple[str, ...]
    says: tuple[Say, ...]


DISPATCH = Walk(
    "dispatch",
    "A dispatch: from a call to a stored request, to its run, to its end",
    ("client", "rpc", "engine", "flow", "store"),
    (
        Say("client", "DispatchAction", "rpc"),
        Say("rpc", "caller, plane, deadline"),
        Say("rpc", "dispatch", "engine"),
        Say("engine", "check the input"),
        Say("engine", "commit: session, request, events", "store"),
        Say("store", "load, decide, write"),
        Say("store", "stored", "engine"),
        Say("engine", "request id", "client"),
        Say("engine", "run the action", "flow"),
        Say("flow", "inc_state, message.write", "engine"),
        Say("engine", "commit: events so far, operations", "store"),
        Say("flow", "output", "engine"),
        Say("engine", "commit: items, last event, status", "store"),
    ),
)

TAIL = Walk(
    "tail",
    "A tail: replay, then live, without a seam",
    ("client", "rpc", "engine", "store"),
    (
        Say("client", "TailEvents after 7", "rpc"),
        Say("rpc", "follow", "engine"),
        Say("engine", "open a watch", "store"),
        Say("engine", "read after 7", "store"),
        Say("store", "events 8 to 12", "engine"),
        Say("engine", "what the plane may see"),
        Say("rpc", "batch, cursor 12", "client"),
        Say("engine", "read after 12: nothing, wait"),
        Say("store", "wake-up, a hint only", "engine"),
        Say("engine", "read after 12", "store"),
        Say("store", "event 13, the last one", "engine"),
        Say("rpc", "batch, ended", "client"),
    ),
)


def drawing(walk: Walk) -> str:
    """A walk as an SVG that needs nothing else, no font either."""
    places = {who: HALF + COLUMN * number for number, who in enumerate(walk.who)}
    width, height = COLUMN * len(walk.who), TOP + ROW * (len(walk.says) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13" text-anchor="middle">',
        f"<title>{escape(walk.title)}</title>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0 0 8 4 0 8z" fill="#3f51b5"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for who, x in places.items():
        parts += [
            f'<path d="M{x} 42V{height - 8}" stroke="#b0b7c3" stroke-dasharray="4 4"/>',
            f'<rect x="{x - 60}" y="12" width="120" height="30" rx="5" fill="#e8eaf6" stroke="#3f51b5"/>',
            f'<text x="{x}" y="32" font-weight="600">{who}</text>',
        ]
    for number, say in enumerate(walk.says):
        parts += _said(say, places, TOP + ROW * (number + 1))
    return "\n".join((*parts, "</svg>", ""))


def _said(say: Say, places: dict[str, int], y: int) -> list[str]:
    here = places[say.who]
    if not say.to:
        width = 7 * len(say.text) + 16
        return [
            f'<rect x="{here - width / 2:g}" y="{y - 18}" width="{width}" height="24" rx="3" fill="#fff8e1" '
            'stroke="#c9a227"/>',
            f'<text x="{here}" y="{y - 2}">{escape(say.text)}</text>',
        ]
    there = places[say.to]
    return [
        f'<path d="M{here} {y}H{there}" stroke="#3f51b5" marker-end="url(#head)"/>',
        f'<text x="{(here + there) / 2:g}" y="{y - 6}" stroke="#fff" stroke-width="4" paint-order="stroke">'
        f"{escape(say.text)}</text>",
    ]


if __name__ == "__main__":
    for walk in (DISPATCH, TAIL):
        (PICTURES / f"{walk.name}.svg").write_text(drawing(walk), "utf-8")
