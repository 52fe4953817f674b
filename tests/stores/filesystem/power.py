"""Files that a power cut spoils, as far as nobody forced them to the disk."""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.stores.filesystem.faults import FaultyFiles

Content = bytes | None
"""``None``: there is no such file."""


class VolatileFiles(FaultyFiles):
    """Knows what is on the disk for certain: contents by ``sync``, names by ``sync_folder``."""

    def __init__(self) -> None:
        super().__init__()
        self._contents: dict[Path, Content] = {}
        self._names: dict[Path, Content] = {}

    def cut_power(self, seed: int) -> None:
        """Each file that was not forced to the disk becomes what it was, or torn, or zeros, or stays."""
        chance = Random(seed)
        for path, before in sorted(self._contents.items()):
            now = _content(path)
            if now is not None:
                kept = _common(before or b"", now)
                torn = now[: chance.randrange(kept, len(now) + 1)]
                _restore(path, chance.choice([before or b"", torn, torn.ljust(len(now), b"\0"), now]))
        for path, before in sorted(self._names.items()):
            _restore(path, chance.choice([before, _content(path)]))

    def write(self, path: Path, text: bytes) -> None:
        self._touch(path)
        super().write(path, text)

    def write_at(self, path: Path, at: int, text: bytes) -> None:
        self._touch(path)
        super().write_at(path, at, text)

    def rename(self, old: Path, new: Path) -> None:
        before = _content(new)
        super().rename(old, new)
        self._names.setdefault(new, before)
        self._names.pop(old, None)
        self._contents.pop(new, None)
        if old in self._contents:
            self._contents[new] = self._contents.pop(old)

    def remove(self, path: Path) -> None:
        before = _content(path)
        super().remove(path)
        if before is not None:
            self._names.setdefault(path, before)

    def sync(self, path: Path) -> None:
        super().sync(path)
        self._contents.pop(path, None)

    def sync_folder(self, path: Path) -> None:
        super().sync_folder(path)
        for name in [name for name in self._names if name.parent == path]:
            del self._names[name]

    def _touch(self, path: Path) -> None:
        before = _content(path)
        self._contents.setdefault(path, before)
        if before is None:
            self._names.setdefault(path, None)


def _content(path: Path) -> Content:
    return path.read_bytes() if path.exists() else None


def _common(one: bytes, other: bytes) -> int:
    """How many bytes they begin with in common: those were on the disk and are not touched."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))


def _restore(path: Path, content: Content) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(content)
