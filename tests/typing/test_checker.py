"""The type checker proves what flows read, take and give."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@pytest.mark.timeout(180)
def test_checker_accepts_and_refuses_what_it_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names = ("accepted", "accepted_fields", "accepted_resources", "refused", "refused_resources")
    files = [str(HERE / f"{name}.py") for name in names]

    report, problems, _ = api.run(["--no-error-summary", "--cache-dir", str(tmp_path), *files])

    assert (report, problems) == ("", "")
