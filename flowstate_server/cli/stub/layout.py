"""Source text as a formatter lays it out, so that it stays as it was written."""

from __future__ import annotations

import re

WIDTH = 88
_LAST_QUOTE = re.compile(r'(?<!\\)((?:\\\\)*)"$')
"""A quotation mark at the end that is not escaped."""


def statement(indent: str, target: str, annotation: str, value: str = "") -> list[str]:
    """The lines of ``target: annotation = value``, broken at the call that is the value, else at the annotation."""
    end = f" = {value}" if value else ""
    line = f"{indent}{target}: {annotation}{end}"
    called, _, arguments = value.partition("(")
    opening = f"{indent}{target}: {annotation} = {called}("
    if len(line) <= WIDTH:
        return [line]
    if arguments and len(opening) <= WIDTH:
        return [opening, *_inside(indent, arguments[:-1]), f"{indent})"]
    members = _split(annotation, "|")
    if len(members) > 1:
        inside = f"{indent}    "
        one_line = f"{inside}{annotation}"
        if len(one_line) <= WIDTH:
            lines = [one_line]
        else:
            lines = []
            for place, member in enumerate(members):
                lines += _broken(inside, f"{'| ' if place else ''}{member}", "")
        return [f"{indent}{target}: (", *lines, f"{indent}){end}"]
    return _broken(indent, f"{target}: {annotation}", end)


def _broken(indent: str, text: str, end: str) -> list[str]:
    """``text`` over several lines if it is too long for one: what stands between its outermost brackets."""
    found = re.match(r"([^\[]*\[)(.*)\]$", text)
    if len(indent + text + end) <= WIDTH or found is None:
        return [f"{indent}{text}{end}"]
    inside = f"{indent}    "
    opening, members = found.groups()
    parts = _split(members, ",")
    if len(parts) == 1 and len(inside + members) <= WIDTH:
        lines = [f"{inside}{members}"]
    elif len(parts) > 1 and len(inside + ", ".join(parts)) <= WIDTH:
        lines = [f"{inside}{', '.join(parts)}"]
    else:
        lines = [line for part in parts for line in _broken(inside, part, ",")]
    return [f"{indent}{opening}", *lines, f"{indent}]{end}"]


def _inside(indent: str, arguments: str) -> list[str]:
    one_line = f"{indent}    {arguments}"
    if len(one_line) <= WIDTH:
        return [one_line]
    return [f"{indent}    {argument}," for argument in _split(arguments, ",")]


def _split(text: str, at: str) -> list[str]:
    """The members of ``text`` between those ``at`` that stand in no bracket and no string."""
    parts, depth, begin = [], 0, 0
    for token in re.finditer(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|[\[\](){}]|[|,]", text):
        if token.group() in "[({":
            depth += 1
        elif token.group() in "])}":
            depth -= 1
        elif token.group() == at and depth == 0:
            parts.append(text[begin : token.start()].strip())
            begin = token.end()
    return [*parts, text[begin:].strip()]


def docstring(indent: str, text: str) -> list[str]:
    """``text`` as a docstring; nothing for nothing. Lines stay as they are."""
    lines = [_printable(line).rstrip() for line in text.expandtabs().strip().splitlines()]
    if not lines:
        return []
    lines = [line.replace("\\", "\\\\").replace('"""', '\\"\\"\\"') for line in lines]
    lines[-1] = _LAST_QUOTE.sub(r'\1\\"', lines[-1])
    body = [f'{indent}"""{lines[0]}', *(f"{indent}{line}".rstrip() for line in lines[1:])]
    if len(lines) == 1:
        return [f'{body[0]}"""']
    return [*body, f'{indent}"""']


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def literal(value: object) -> str:
    """``value``, which is text, a number, a boolean or ``None``, as source text."""
    if not isinstance(value, str):
        return repr(value)
    shown = repr(value)
    if shown[0] == "'" and '"' not in value:
        return f'"{shown[1:-1]}"'
    return shown
