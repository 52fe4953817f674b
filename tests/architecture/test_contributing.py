"""CONTRIBUTING names what there is: modules in its table, folders of tests, targets of make."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
TEXT = (CHECKOUT / "CONTRIBUTING.md").read_text("utf-8")
ADAPTERS = {"memory", "filesystem", "sqlite", "postgres"}


def modules(folder: Path) -> set[str]:
    return {
        path.stem
        for path in folder.iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").exists()
    }


def test_the_table_has_every_module_and_no_other() -> None:
    rows = re.findall(r"^\| `flowstate_server\.(\S+)` \|", TEXT, re.MULTILINE)
    server = CHECKOUT / "flowstate_server"
    stores = {f"stores.{name}" for name in modules(server / "stores") - ADAPTERS} | {"stores.<adapter>"}
    assert sorted(rows) == sorted((modules(server) - {"stores"}) | stores)


def test_every_folder_of_tests_has_its_row() -> None:
    rows = re.findall(r"^\| (`tests/.*?) \|", TEXT, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`tests/(\w+)/`", row)}
    folders = {path.name for path in (CHECKOUT / "tests").iterdir() if any(path.glob("**/*.py"))}
    assert named == folders


def test_every_target_of_make_is_told() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*?## ", (CHECKOUT / "Makefile").read_text("utf-8"), re.MULTILINE))
    told = set(re.findall(r"`make ([a-z-]+)", TEXT))
    assert targets - {"help", "protos-check", "protos-breaking", "sync-client-check"} <= told <= targets


def test_w4_the_contract_promises_nothing_that_is_read_nowhere() -> None:
    contract = "".join(
        path.read_text() for path in sorted((CHECKOUT / "protos/flowstate/v1").glob("*.proto"))
    )
    assert "service FlowService" in contract
    assert "traceparent" not in contract
