"""What holds for all documents: each page is in the navigation, each block of code is run."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any

import pytest
import typer.main

from documents import links
from documents.docstring_markdown import markdown, with_template
from documents.walk_pictures import DISPATCH, PICTURES, TAIL, Walk, drawing
from flowstate_server.cli.application import application
from tests.support.pages import CHECKOUT, DOCUMENTS, Page, commands

GENERATED = ("reference/contract", "reference/adapters")  # by `make docs`
PAGES = [
    path.relative_to(CHECKOUT)
    for path in (CHECKOUT / "README.md", *sorted(DOCUMENTS.rglob("*.md")))
    if not any(path.is_relative_to(DOCUMENTS / folder) for folder in GENERATED)
]
TESTS = {path: path.read_text("utf-8") for path in sorted((CHECKOUT / "tests").rglob("test_*.py"))}
MAKEFILE = (CHECKOUT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
# Commands of others, which are written here for people to run.
FOREIGN = {"pip", "python", "protoc", "grpcurl", "source", "npm", "node", "cd", "export", "jq", "xargs"}


def leaves(entry: Any) -> Iterator[str]:
    for value in entry.values() if isinstance(entry, dict) else entry:
        yield from [value] if isinstance(value, str) else leaves(value)


def test_each_page_is_in_the_navigation_once() -> None:
    config = tomllib.loads((CHECKOUT / "zensical.toml").read_text("utf-8"))
    protos = (CHECKOUT / "protos" / "flowstate" / "v1").glob("*.proto")
    stores = re.findall(r"^DESCRIBED_STORES := (.*)$", MAKEFILE, re.MULTILINE)[0].split()
    generated = [f"reference/adapters/{name}.md" for name in stores]
    generated += [f"reference/contract/{path.stem.removesuffix('_service')}.md" for path in protos]
    written = [str(path.relative_to("docs")) for path in PAGES if path.parts[0] == "docs"]
    assert sorted(leaves(config["project"]["nav"])) == sorted(written + generated)


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_its_code_is_run_by_a_test(path: Path) -> None:
    page = Page(path)
    languages = {block.language for block in page.all_blocks()} - {"text"}
    naming = [text for text in TESTS.values() if str(path) in text or f'"{path.name}"' in text]
    assert naming or not languages
    for text in naming:
        if f'Page("{path}")' in text:
            assert languages <= set(re.findall(r'\.blocks\("(\w+)"\)', text))


@pytest.mark.parametrize(
    "path", [path for path, text in TESTS.items() if ".blocks(" in text], ids=lambda path: path.name
)
def test_what_is_taken_from_a_page_is_used(path: Path) -> None:
    module = ast.parse(TESTS[path])
    taken = [
        name.id
        for statement in module.body
        if isinstance(statement, ast.Assign) and ".blocks(" in ast.unparse(statement.value)
        for target in statement.targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    ]
    used = {
        name.id for name in ast.walk(module) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Load)
    }
    assert set(taken) <= used


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_its_commands_are_commands(path: Path) -> None:
    for block in Page(path).blocks("console"):
        for command in commands(block):
            for name, *arguments in piped(command.words):
                if name == "flowstate":
                    parsed(arguments)
                elif name == "make":
                    assert arguments[0] in TARGETS
                else:
                    assert name in FOREIGN, command.line


def piped(words: list[str]) -> Iterator[list[str]]:
    """The commands of a pipe, without what is redirected."""
    for piped, part in groupby(words, lambda word: word == "|"):
        if not piped:
            yield list(takewhile(lambda word: word not in {">", "<", "&"}, part))


def parsed(arguments: list[str]) -> None:
    """As the command line reads them, without running anything."""
    group: Any = typer.main.get_command(application)
    context = group.make_context("flowstate", list(arguments))
    with suppress(typer.Exit):  # of --help, which shows and exits
        while hasattr(group, "resolve_command"):
            _, group, rest = group.resolve_command(context, [*context._protected_args, *context.args])
            context = group.make_context(group.name, rest, parent=context)


@pytest.mark.parametrize("path", [*PAGES, Path("CONTRIBUTING.md"), Path("CHANGELOG.md")], ids=str)
def test_its_links_lead_to_files_of_the_checkout(path: Path) -> None:
    page = CHECKOUT / path
    assert links.dead_links(page) == []
    for target in links.targets(page):
        place = (page.parent / target).resolve()
        assert not any(place.is_relative_to(DOCUMENTS / folder) for folder in GENERATED), "dead on git"


def test_a_dead_link_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("[a](page.md#there) [b](gone.md) [c](https://example.org/gone) `[d](code)`\n")
    assert links.main([str(page)]) == 1
    assert capsys.readouterr().err == f"{page}: gone.md is not there\n"
    page.write_text("[a](#there)\n")
    assert links.main([str(page)]) == 0


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_examples_that_are_named_are_there(path: Path) -> None:
    for named in re.findall(r"`((?:examples|flowstate_server|protos|tests)/[\w./*-]+?)`", Page(path).text):
        assert list(CHECKOUT.glob(named)), named


@pytest.mark.parametrize("walk", [DISPATCH, TAIL], ids=lambda walk: walk.name)
def test_the_drawings_are_those_of_their_walks(walk: Walk) -> None:
    assert (PICTURES / f"{walk.name}.svg").read_text("utf-8") == drawing(walk), "`make docs-pictures`"


def test_docstrings_become_markdown() -> None:
    docstring = """\
Say :class:`~a.B` like this::

    code

=====  =====
``x``  of x,
       too
``y``  of y
=====  =====
end
"""
    assert (
        markdown(docstring)
        == """\
Say `a.B` like this:

    code

|  |  |
| --- | --- |
| ``x`` | of x, too |
| ``y`` | of y |
end"""
    )


def test_templates_of_errors_become_readable() -> None:
    assert with_template("No {scope} resource {name}{hint}\n\n``hint`` ends it, {} too.") == (
        "Its text: No <em>«scope»</em> resource <em>«name»</em><em>«hint»</em>\n\n``hint`` ends it, {} too."
    )
    assert with_template("The call failed.\n\nSee {x}.") == "The call failed.\n\nSee {x}."
