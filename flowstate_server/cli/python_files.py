"""The Python files of an application, and which of them have changed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

# Of what is installed or built, not written; hidden folders are left out, too.
_OF_OTHERS = frozenset(("__pycache__", "node_modules", "site-packages", "build", "dist", "venv"))


class PythonFiles:
    """Those under ``folder``, as they were when they were last looked at."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known = self._read()

    def changed(self) -> list[Path]:
        """Those that were written, made or removed since the last look, in order."""
        now, before = self._read(), self._known
        self._known = now
        names = now.keys() | before.keys()
        return [Path(name) for name in sorted(names) if now.get(name) != before.get(name)]

    def _read(self) -> Mapping[str, tuple[int, int]]:
        return dict(_files(str(self._folder)))


def imported_files(folder: Path) -> set[str]:
    """The files under ``folder`` of modules that this process has imported."""
    files = {
        getattr(getattr(module, "__spec__", None), "origin", None) for module in list(sys.modules.values())
    }
    return {file for file in files if isinstance(file, str) and file.startswith(f"{folder}{os.sep}")}


def _files(folder: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Each file with the time of its last change and its size."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if _is_written_here(entry):
                        yield from _files(entry.path)
                elif entry.name.endswith(".py"):
                    found = entry.stat()
                    yield entry.path, (found.st_mtime_ns, found.st_size)
    except OSError:  # it is gone by now, or not ours to read
        return


def _is_written_here(folder: os.DirEntry[str]) -> bool:
    hidden = folder.name.startswith(".") or folder.name in _OF_OTHERS
    return not hidden and not os.path.exists(os.path.join(folder.path, "pyvenv.cfg"))
