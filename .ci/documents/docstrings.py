"""Docstrings as Markdown has them: an extension of griffe, which reads them for the reference."""

from __future__ import annotations

from typing import Any

import griffe

from documents.docstring_markdown import markdown


class Docstrings(griffe.Extension):
    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)
