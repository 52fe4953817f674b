"""Type checkers prove what flows read, take and give."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mypy import api

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FILES = sorted([*HERE.glob("accepted*.py"), *HERE.glob("refused*.py")])
OF_THE_PLUGIN = ("flowstate-field]", "# of the plugin alone")


@pytest.mark.timeout(180)
def test_mypy_accepts_and_refuses_what_it_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)

    report, problems, _ = api.run(["--no-error-summary", "--cache-dir", str(tmp_path), *map(str, FILES)])

    assert (report, problems) == ("", "")


@pytest.mark.timeout(180)
def test_pyright_does_so_too_but_for_what_the_plugin_of_mypy_finds(tmp_path: Path) -> None:
    config = {
        "include": [str(file) for file in FILES],
        "extraPaths": [str(ROOT), str(ROOT / "protos")],
        "typeCheckingMode": "standard",
        "enableTypeIgnoreComments": False,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))

    told = subprocess.run(
        [
            *(sys.executable, "-m", "basedpyright", "--outputjson"),
            *("--project", str(tmp_path), "--pythonpath", sys.executable),
        ],
        capture_output=True,
        text=True,
        check=False,
    ).stdout

    refused = {
        _place(error) for error in json.loads(told)["generalDiagnostics"] if error["severity"] == "error"
    }
    assert refused == {
        (file.name, number)
        for file in FILES
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if "# type: ignore[" in line and not line.endswith(OF_THE_PLUGIN)
    }


def _place(error: dict[str, object]) -> tuple[str, int]:
    """The file and the line that a diagnostic is about."""
    file, range_ = str(error["file"]), error["range"]
    assert isinstance(range_, dict)
    return Path(file).name, range_["start"]["line"] + 1
