"""Patterns of names: which are none, and whether two of them can be about one name."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings, strategies as st

from flowstate_server.programs.name_overlap import common_name, name_of_parts, parts_of, pattern_problems
from flowstate_server.programs.resource_names import covers

LEVELS = ("a", "b", "*", "**", "{topic}")
patterns = st.lists(st.sampled_from(LEVELS), min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    "pattern",
    [
        "artifact",
        "files/*",
        "**",
        "{topic}/notes",
        "a/{one}/{two}/**",
        "Ünïcode/*",
        " ",
        "x" * 512,
        "a.b-c/*",
    ],
)
def test_what_is_a_name_or_a_pattern(pattern: str) -> None:
    assert list(pattern_problems(pattern)) == []


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("", "must not be empty"),
        ("a\x00", "must hold no control character"),
        ("é" * 257, "must be at most 512 bytes of UTF-8"),
        ("files//a", "must have no empty level"),
        ("/files", "must have no empty level"),
        ("files/", "must have no empty level"),
        ("a*", "may have *, ** and {part} in place of whole levels only, as in files/*"),
        ("***", "may have *, ** and {part} in place of whole levels only, as in files/*"),
        ("{a b}", "may have *, ** and {part} in place of whole levels only, as in files/*"),
        ("{}/x", "may have *, ** and {part} in place of whole levels only, as in files/*"),
        ("{a}{b}", "may have *, ** and {part} in place of whole levels only, as in files/*"),
        ("a}", "may have *, ** and {part} in place of whole levels only, as in files/*"),
        ("{a}/{a}", "must not have two parts of one name"),
    ],
)
def test_what_is_none(pattern: str, problem: str) -> None:
    assert list(pattern_problems(pattern)) == [problem]


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        ("artifact", "artifact", "artifact"),
        ("artifact", "artifacts", None),
        ("artifact", "*", "artifact"),
        ("files/*", "files/readme", "files/readme"),
        ("files/*", "files/a/b", None),
        ("files/**", "files/a/b", "files/a/b"),
        ("files/**", "files", None),
        ("files/*", "*/readme", "files/readme"),
        ("files/*", "{topic}/notes", "files/notes"),
        ("files/*", "images/*", None),
        ("files/*", "*/*/x", None),
        ("files/**", "*/*/x", "files/x/x"),
        ("**/notes", "files/**", "files/notes"),
        ("**/notes", "notes", None),
        ("a/**/z", "a/z", None),
        ("a/**/z", "**", "a/x/z"),
        ("**", "**", "x"),
        ("*/" * 255 + "*", "**", "x/" * 255 + "x"),
        ("*/" * 256 + "x", "**", None),  # a name of 513 bytes
        ("a" * 300 + "/*", "*/" + "b" * 300, None),
    ],
)
def test_whether_two_can_meet(one: str, other: str, name: str | None) -> None:
    assert common_name(one, other) == name
    swapped = common_name(other, one)
    assert (swapped is None) == (name is None)
    for met in (name, swapped):
        assert met is None or (covers(one, met) and covers(other, met))


@settings(max_examples=300, deadline=None)
@given(patterns, patterns)
def test_they_meet_just_where_there_is_a_name_of_both(one: str, other: str) -> None:
    met = common_name(one, other)
    if met is not None:
        assert covers(one, met)
        assert covers(other, met)
        return
    for length in range(1, 6):
        for levels in itertools.product("abx", repeat=length):
            name = "/".join(levels)
            assert not (covers(one, name) and covers(other, name))


def test_a_name_is_made_of_its_parts() -> None:
    assert parts_of("a/{one}/{two}/*") == ["one", "two"]
    assert name_of_parts("{topic}/notes", {"topic": "rust"}) == "rust/notes"
    with pytest.raises(ValueError, match="takes topic"):
        name_of_parts("{topic}/notes", {"other": "rust"})
    with pytest.raises(ValueError, match="topic must be one level"):
        name_of_parts("{topic}/notes", {"topic": "a/b"})
    with pytest.raises(ValueError, match="has levels without a name"):
        name_of_parts("{topic}/*", {"topic": "a"})
