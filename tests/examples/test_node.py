"""The lock file of the client in TypeScript: what is in it holds for whoever installs it, wherever that is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

NODE = Path(__file__).parents[2] / "examples" / "node"


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((NODE / name).read_text())
    return content


def test_the_lock_file_names_no_registry() -> None:
    named = [name for name, package in read("package-lock.json")["packages"].items() if "resolved" in package]
    assert named == []


def test_versions_are_exact_and_the_locked_ones() -> None:
    manifest, locked = read("package.json"), read("package-lock.json")["packages"]
    wanted = manifest["dependencies"] | manifest["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted
