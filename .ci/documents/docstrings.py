"""Docstrings as Markdown has them: an extension of griffe, which reads them for the reference."""

from __future__ import annotations

from typing import Any

import griffe

from documents.docstring_markdown import markdown, with_template

ERRORS = "flowstate_server.errors."


class Docstrings(griffe.Extension):
    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            if obj.is_class and obj.path.startswith(ERRORS):
                obj.docstring.value = with_template(obj.docstring.value)
            obj.docstring.value = markdown(obj.docstring.value)
