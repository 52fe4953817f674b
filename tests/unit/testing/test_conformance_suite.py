"""The suite as a product: every check says what it proves, every README says what its adapter keeps."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from examples.custom_store import SnapshotStore
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.testing.store_contract import Check, all_checks
from flowstate_server.testing.store_contract.capabilities import Capability, needs_of_checks, provided_by
from flowstate_server.testing.store_contract.tables import (
    capability_table,
    new_section,
    section_of,
    with_section,
)
from tests.stores.adapters import ADAPTERS

SERVER = Path(__file__).parents[3] / "flowstate_server"
STORES = SERVER / "stores"
COMMAND = (
    "python -m flowstate_server.testing.store_contract tests.stores.adapters:ADAPTERS flowstate_server/stores"
)
DESCRIBED = [adapter for adapter in ADAPTERS if (STORES / adapter / "README.md").exists()]
Needs = Mapping[Check, frozenset[Capability]]

EVERYTHING = dict.fromkeys(Capability, "")


@pytest.fixture(scope="module")
def known_needs() -> dict[str, Needs]:
    return {}


@pytest.fixture
async def needs(known_needs: dict[str, Needs]) -> Needs:
    if not known_needs:
        known_needs["all"] = await needs_of_checks()
    return known_needs["all"]


@pytest.mark.parametrize("check", all_checks(), ids=lambda check: check.__name__)
def test_every_check_says_in_one_line_what_must_hold(check: Check) -> None:
    text = check.__doc__ or ""
    assert text.endswith(".")
    assert "\n" not in text


def test_names_of_checks_are_unique() -> None:
    names = [check.__name__ for check in all_checks()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("adapter", DESCRIBED)
async def test_readme_says_what_the_adapter_keeps(adapter: str, needs: Needs, tmp_path: Path) -> None:
    provided = await provided_by(ADAPTERS[adapter](tmp_path))
    written = section_of((STORES / adapter / "README.md").read_text("utf-8"))
    assert written == new_section(needs, adapter, provided, COMMAND), f"run: {COMMAND}"


async def test_needs_are_found(needs: Needs) -> None:
    by_name = {check.__name__.removeprefix("check_"): wanted for check, wanted in needs.items()}
    assert by_name["state_never_written"] == set()
    assert by_name["increments_of_two_handles_all_count"] == {Capability.HANDLES}
    assert by_name["reopen_keeps_everything"] == {Capability.REOPENING}
    assert by_name["dying_at_any_statement_leaves_a_batch_whole_or_absent"] == {
        Capability.CRASHES,
        Capability.REOPENING,
    }
    assert by_name["damaged_session_costs_itself"] == {Capability.DAMAGE, Capability.REOPENING}
    assert by_name["exported_states_are_all_there_are"] == {Capability.EXPORTS}


async def test_table_has_a_row_a_subject_and_the_reasons(needs: Needs) -> None:
    table = capability_table(
        needs, {"one": EVERYTHING, "other": EVERYTHING | {Capability.EXPORTS: "it exports nothing"}}
    ).splitlines()
    assert table[0] == "| what is proved | one | other |"
    assert len(table) == 2 + len({check.__module__ for check in needs})
    [copies] = [row for row in table if row.startswith("| Copies:")]
    assert copies.endswith("| all 7 | 0 of 7: it exports nothing |")
    [races] = [row for row in table if row.startswith("| Concurrent writers:")]
    assert races.endswith("| all 12 | all 12 |")


def test_section_is_replaced_or_added() -> None:
    section = "## Conformance\n\nnew\n"
    assert with_section("# Store\n\ntext\n", section) == "# Store\n\ntext\n\n## Conformance\n\nnew\n"
    old = "# Store\n\n## Conformance\n\nold\n| a |\n\n## After\n\ntext\n"
    assert with_section(old, section) == "# Store\n\n## Conformance\n\nnew\n\n## After\n\ntext\n"
    assert section_of(with_section(old, section)) == section


def _python_in(readme: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", readme.read_text("utf-8"), re.DOTALL | re.MULTILINE)


async def test_the_suites_readme_runs_the_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package: Any = ModuleType("my_package")
    package.MyStore = SnapshotStore
    monkeypatch.setitem(sys.modules, "my_package", package)
    (code,) = _python_in(SERVER / "testing/store_contract/README.md")
    names: dict[str, Any] = {"__name__": "test_my_store"}
    exec(compile(code, "test_my_store.py", "exec"), names)
    check = next(check for check in all_checks() if check.__name__ == "check_reopen_keeps_everything")
    await names["test_my_store_keeps_the_contract"](check, tmp_path)


async def test_the_contracts_readme_checks_a_history() -> None:
    store = MemoryStore()
    await store.open()
    known: dict[str, Any] = {"my_store": store, "key": user_scope("ada")}
    code = _python_in(STORES / "contract/README.md")[-1]
    await eval(compile(code, "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), known)
    assert len(known["recorder"].history.answered) == 101
    await store.close()


SPOILT = """
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.testing.store_contract import StoreHarness
from flowstate_server.testing.store_contract.states import check_state_never_written


class Spoilt(MemoryStore):
    async def load_states(self, keys):
        return {}


class Harness(StoreHarness):
    def make(self):
        return Spoilt()


async def test_it():
    async with Harness() as harness:
        await check_state_never_written(harness)
"""


def test_a_failed_check_tells_what_it_compared(tmp_path: Path) -> None:
    """In a run of pytest of somebody else's, which knows nothing of the suite beforehand."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    (tmp_path / "test_theirs.py").write_text(SPOILT)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_theirs.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1
    assert "assert set() == {" in done.stdout


@pytest.mark.parametrize(
    "name", ["nowhere:ADAPTERS", "tests.stores.adapters:NOTHING", "tests.stores.adapters"]
)
def test_a_name_that_is_none_is_said(name: str) -> None:
    command = [sys.executable, "-m", "flowstate_server.testing.store_contract", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"'{name}' is no module:name that can be imported")
    assert "Traceback" not in done.stderr
