"""What importing a part of FlowState loads, seen from outside."""

from __future__ import annotations

import subprocess
import sys

import pytest

TRANSPORT = ("grpc", "google.protobuf", "flowstate.v1")
DRIVERS = ("sqlite3", "aiosqlite", "asyncpg")
COMMAND_LINE = ("typer", "rich", "uvloop")
MODELS = ("pydantic_ai", "openai", "httpx2")
AUTHORING = ("pydantic", "pydantic_core", "flowstate_server.schemas.pydantic", "flowstate_server.flows")


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("flowstate_server", TRANSPORT + DRIVERS + COMMAND_LINE + AUTHORING),
        ("flowstate_server.settings", TRANSPORT + DRIVERS + COMMAND_LINE + AUTHORING),
        ("flowstate_server.flows", TRANSPORT + DRIVERS + COMMAND_LINE + MODELS),
        ("flowstate_server.language_models", TRANSPORT + DRIVERS + COMMAND_LINE + MODELS + AUTHORING),
        ("flowstate_server.state", TRANSPORT + DRIVERS + COMMAND_LINE),
        ("flowstate_server.app", TRANSPORT + DRIVERS + COMMAND_LINE),
        ("flowstate_server.testing", TRANSPORT + DRIVERS + COMMAND_LINE + MODELS),
        ("flowstate_server.stores.commit", (*TRANSPORT, *DRIVERS, *COMMAND_LINE, "pydantic")),
        ("flowstate_server.state.apply", AUTHORING),
        ("flowstate_server.schemas.scope_schema", AUTHORING),
        ("flowstate_server.programs.catalogue", AUTHORING),
        ("flowstate_client", (*DRIVERS, *COMMAND_LINE, "flowstate_server")),
    ],
)
def test_importing_a_part_loads_nothing_of_the_others(module: str, unwanted: tuple[str, ...]) -> None:
    program = f"import sys, {module}; print(*[name for name in {unwanted!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


@pytest.mark.parametrize("package", ["engine", "rpc", "testing.history"])
def test_what_serves_flows_and_checks_histories_does_without_pydantic(package: str) -> None:
    name = f"flowstate_server.{package}"
    program = f"""
import importlib, pkgutil, sys
package = importlib.import_module({name!r})
for module in pkgutil.walk_packages(package.__path__, {name!r} + "."):
    importlib.import_module(module.name)
print(*[name for name in {AUTHORING!r} if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_without_its_extra_the_adapter_of_models_names_it() -> None:
    program = (
        "import sys; sys.modules['pydantic_ai'] = None; import flowstate_server.language_models.pydantic_ai"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "needs the extra `models`; from a checkout: pip install '.[models]'" in run.stderr
