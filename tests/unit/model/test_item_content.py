from __future__ import annotations

from typing import Any

import pytest

from flowstate_server.errors import ValidationFailedError
from flowstate_server.model.item_content import check_content
from flowstate_server.model.items import ItemKind

RIGHT: list[tuple[ItemKind, Any]] = [
    (ItemKind.MESSAGE, {"parts": []}),
    (ItemKind.MESSAGE, {"parts": [{"type": "text", "text": ""}, {"type": "image", "url": "x"}]}),
    (ItemKind.REASONING, {"text": "because"}),
    (ItemKind.TOOL_CALL, {"call_id": "c", "arguments": {}}),
    (ItemKind.TOOL_CALL, {"call_id": "c", "arguments": None}),
    (ItemKind.TOOL_OUTPUT, {"call_id": "c", "output": "it rains"}),
    (ItemKind.ERROR, {"message": "no"}),
    (ItemKind.CUSTOM, None),
    (ItemKind.CUSTOM, {"nope": 1}),
]
WRONG: list[tuple[ItemKind, Any, list[str]]] = [
    (ItemKind.MESSAGE, {"text": "x"}, ["/content/parts", "/content/text"]),
    (ItemKind.MESSAGE, {"parts": "x"}, ["/content/parts"]),
    (ItemKind.MESSAGE, {"parts": [1, {"text": "x"}]}, ["/content/parts/0", "/content/parts/1/type"]),
    (ItemKind.MESSAGE, {"parts": [{"type": "text"}]}, ["/content/parts/0/text"]),
    (ItemKind.MESSAGE, {"parts": [{"type": "text", "text": 1}]}, ["/content/parts/0/text"]),
    (ItemKind.MESSAGE, None, ["/content"]),
    (ItemKind.REASONING, {"text": None}, ["/content/text"]),
    (ItemKind.REASONING, ["x"], ["/content"]),
    (ItemKind.TOOL_CALL, {"nope": "1"}, ["/content/arguments", "/content/call_id", "/content/nope"]),
    (ItemKind.TOOL_CALL, {"call_id": 1, "arguments": {}}, ["/content/call_id"]),
    (ItemKind.TOOL_CALL, {"call_id": "", "arguments": {}}, ["/content/call_id"]),
    (ItemKind.TOOL_CALL, {"call_id": "c", "arguments": {}, "a/b~": 1}, ["/content/a~1b~0"]),
    (ItemKind.TOOL_CALL, "search", ["/content"]),
    (ItemKind.TOOL_OUTPUT, {"call_id": "c"}, ["/content/output"]),
    (ItemKind.TOOL_OUTPUT, {"call_id": "c", "arguments": {}}, ["/content/arguments", "/content/output"]),
    (ItemKind.ERROR, {"message": {"canary": 1}}, ["/content/message"]),
    (ItemKind.ERROR, "no", ["/content"]),
]


@pytest.mark.parametrize(("kind", "content"), RIGHT)
def test_w10_content_as_its_kind_fixes_it_is_taken(kind: ItemKind, content: Any) -> None:
    check_content(kind, content)


@pytest.mark.parametrize(("kind", "content", "places"), WRONG)
def test_w10_other_content_is_refused_with_the_place(kind: ItemKind, content: Any, places: list[str]) -> None:
    with pytest.raises(ValidationFailedError) as refused:
        check_content(kind, content)
    assert sorted(violation.path for violation in refused.value.violations) == places
    assert "canary" not in str(refused.value)


def test_violations_have_an_order() -> None:
    with pytest.raises(ValidationFailedError) as refused:
        check_content(ItemKind.ERROR, dict.fromkeys("hbfgaced"))
    assert [violation.path[-1] for violation in refused.value.violations[1:]] == list("abcdefgh")
