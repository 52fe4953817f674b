"""Large states in parts: the whole text of one version, and a patch for each commit since.

So a commit that changes one record of a large map writes that record. Patches are folded into a new text once they are
many; what reads a state applies them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import Json, JsonObject, decode_json

LARGE_BYTES = 64 * 1024
"""Text from which on a state is kept in parts. Below, to write the text costs little more than to write a patch."""
MOST_PATCHES = 256
"""Then they are folded. A text of 1 MiB takes some 20 ms to write, which is under 0.1 ms for each patch."""
PATCHED_SHARE = 4
"""Patches of more bytes than this part of the text are folded, too."""


@frozen
class StatePatch:
    """What a change does to a large state: ``text`` is a JSON array of ``[path, value]`` for each place that is set and
    ``[path]`` for each that goes; ``size`` are the bytes of the whole text after it."""

    text: bytes
    size: int


@frozen
class StateParts:
    """How a large state is kept: ``base`` is the version whose whole text the store has (0: none yet), ``count`` and
    ``patch_bytes`` tell of the patches since. ``new`` are those of them that the store has not yet.

    ``line`` is one object for all records that were made of one loaded record, by patches alone. ``size`` are the bytes
    of the whole text. ``stored`` are the text and the patches, a line each, as they were loaded.
    """

    line: object
    size: int
    base: int = 0
    count: int = 0
    patch_bytes: int = 0
    new: tuple[bytes, ...] = ()
    stored: tuple[bytes, bytes] | None = None

    def patched(self, patch: StatePatch) -> StateParts:
        """How the state that ``patch`` makes is to be kept."""
        if self.folds:
            return StateParts(self.line, patch.size)
        new = (*self.new, patch.text)
        patch_bytes = self.patch_bytes + len(patch.text)
        return StateParts(self.line, patch.size, self.base, self.count + 1, patch_bytes, new)

    @property
    def state(self) -> JsonObject:
        """What was stored, parsed.

        Raises:
            ValueError: it was damaged.
        """
        if self.stored is None:
            raise LookupError("the state of these parts is known already")
        text, patches = self.stored
        return patched_state(text, patches.splitlines())

    @property
    def folds(self) -> bool:
        """Whether the whole text is to be written next."""
        return not self.base or self.count > MOST_PATCHES or self.patch_bytes * PATCHED_SHARE > self.size


@frozen
class Fitting:
    """The top-level ``fields`` of a state that ``schema`` has found to fit, as they are stored."""

    schema: object
    fields: frozenset[str]


def patched_state(text: bytes, patches: Iterable[bytes]) -> JsonObject:
    """The state that ``patches`` make of the one in ``text``.

    Raises:
        ValueError: they do not fit it.
    """
    state = cast(JsonObject, decode_json(text))
    for patch in patches:
        for path, *values in cast("list[tuple[list[str], Json]]", decode_json(patch)):
            _put(state, path, values)
    return state


def _put(state: JsonObject, path: list[str], values: list[Json]) -> None:
    *above, name = path
    try:
        for key in above:
            state = cast(JsonObject, state[key])
        if values:
            state[name] = values[0]
        else:
            del state[name]
    except (KeyError, TypeError):
        raise ValueError("a patch of a state does not fit it") from None
