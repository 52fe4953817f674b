"""What is said of a name that does not exist."""

from __future__ import annotations

import pytest

from flowstate_server.model.nearest import did_you_mean, nearest_or_known


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (["say", "stop"], '; did you mean "say"?'),
        (["stop", "hum"], '; there are "hum", "stop".'),
        (["stop"], '; there is "stop".'),
        ([], "; there is none."),
        ([f"n{n}" for n in range(9)], '; there are "n0", "n1", "n2", "n3", "n4" and 4 more.'),
        (["x" * 128, "y" * 128], f'; there are "{"x" * 128}" and 1 more.'),
        (["x" * 161], "."),
    ],
)
def test_the_nearest_is_named_or_those_that_there_are(known: list[str], said: str) -> None:
    assert nearest_or_known("saay", known) == said


def test_of_many_names_a_bounded_number_is_compared() -> None:
    known = [f"{n:04}" for n in range(10_000)]
    assert did_you_mean("0000x", known) == '; did you mean "0000"?'
    assert did_you_mean("saay", [*known, "say"]) == ""
