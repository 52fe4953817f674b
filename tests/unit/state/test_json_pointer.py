from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from flowstate_server.errors import PathInvalidError
from flowstate_server.state.json_pointer import format_pointer, parse_pointer


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ("", ()),
        ("/", ("",)),
        ("/a/b", ("a", "b")),
        ("/a~1b/m~0n", ("a/b", "m~n")),
        ("/~01", ("~1",)),
        ("//", ("", "")),
        ("/byId/doc-1.é", ("byId", "doc-1.é")),
        ("/0", ("0",)),
    ],
)
def test_parses(text: str, pointer: tuple[str, ...]) -> None:
    assert parse_pointer(text) == pointer
    assert format_pointer(pointer) == text


@pytest.mark.parametrize(
    "text", ["a", "a/b", "/~", "/~2", "/a~", "#/a", "/a" * 65, "/" + "k" * 257, "/" + "é" * 129, "/\ud800"]
)
def test_refuses(text: str) -> None:
    with pytest.raises(PathInvalidError) as refused:
        parse_pointer(text)
    str(refused.value).encode()


@given(st.lists(st.text(st.sampled_from("ab/~01é"), max_size=4), max_size=4).map(tuple))
def test_round_trip(pointer: tuple[str, ...]) -> None:
    assert parse_pointer(format_pointer(pointer)) == pointer
