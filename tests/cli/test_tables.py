"""Tables on a terminal that is too narrow for them."""

from __future__ import annotations

import pytest

from flowstate_server.cli.tables import Column, show_record, show_table


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")


def test_cut_columns_give_way_first(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(
        (Column("ID"), Column("TITLE", "cut")), [("sess_0123456789", "A title that is far too long for it")]
    )
    assert capsys.readouterr().out == "ID               TITLE\nsess_0123456789  A title that is far to…\n"


def test_what_is_whole_is_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    show_table((Column("ID"), Column("TITLE", "cut")), [("x" * 90, "y" * 90)])
    lines = capsys.readouterr().out.splitlines()
    assert "".join(lines).count("x") == 90
    assert max(map(len, lines)) <= 40


def test_text_goes_on_beneath_itself(capsys: pytest.CaptureFixture[str]) -> None:
    show_table((Column("WHO"), Column("WHAT", "wrap")), [("ada", "one two three four five six seven eight")])
    assert capsys.readouterr().out.splitlines() == [
        "WHO  WHAT",
        "ada  one two three four five six seven",
        "     eight",
    ]


def test_nothing_in_it_is_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    show_table((Column("NAME"),), [("[bold]x[/bold]",)])
    show_record([("name", "[red]"), ("empty", "")])
    assert capsys.readouterr().out == "NAME\n[bold]x[/bold]\nname  [red]\n"
