"""The code of the guide to generators does what the guide says."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flowstate_server.language_models import LanguageModel
from tests.cli.flowstate_command import CHECKOUT

TEXT = (CHECKOUT / "docs/generators.md").read_text("utf-8")
FLOW, TEST, SERVED = re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def names_of(*code: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "my_support"}
    exec(compile("".join(code), "my_support.py", "exec"), names)
    return names


async def test_the_flow_passes_its_test() -> None:
    await names_of(FLOW, TEST)["test_say"]()


async def test_the_lifespan_yields_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODEL_NAME", "MODEL_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("MODEL_URL", "http://127.0.0.1:9/v1")
    names = names_of(FLOW, SERVED)
    async with names["lifespan"]() as model:
        assert isinstance(model, LanguageModel)


def test_the_failures_are_those_of_the_contract() -> None:
    from flowstate_server.rpc.codec.failures import FAILURE_CODES

    told = re.findall(r"^\| `([A-Z_]+)` \|", TEXT, re.MULTILINE)
    assert len(told) == 4
    assert set(told) <= set(FAILURE_CODES)
