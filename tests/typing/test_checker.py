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
    refused = _refused_by_pyright(tmp_path, include=[*map(str, FILES)], enableTypeIgnoreComments=False)
    assert refused == {
        (file.name, number)
        for file in FILES
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if "# type: ignore[" in line and not line.endswith(OF_THE_PLUGIN)
    }


@pytest.mark.timeout(180)
def test_pyright_finds_nothing_in_the_client(tmp_path: Path) -> None:
    assert _refused_by_pyright(tmp_path, include=[str(ROOT / "flowstate_client")]) == set()


def _refused_by_pyright(folder: Path, **settings: object) -> set[tuple[str, int]]:
    """The files and lines with errors."""
    config = {
        "extraPaths": [str(ROOT), str(ROOT / "protos")],
        "typeCheckingMode": "standard",
        **settings,
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    told = subprocess.run(
        [
            *(sys.executable, "-m", "basedpyright", "--outputjson"),
            *("--project", str(folder), "--pythonpath", sys.executable),
        ],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    report = json.loads(told)
    assert report["summary"]["filesAnalyzed"] > 0
    return {_place(error) for error in report["generalDiagnostics"] if error["severity"] == "error"}


def _place(error: dict[str, object]) -> tuple[str, int]:
    """The file and the line that a diagnostic is about."""
    file, range_ = str(error["file"]), error["range"]
    assert isinstance(range_, dict)
    return Path(file).name, range_["start"]["line"] + 1
