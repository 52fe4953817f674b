"""Docstrings as Markdown has them: an extension of griffe, which reads them for the reference."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|attr|data|mod|exc|obj):`[~!]?([^`]+)`")


class Roles(griffe.Extension):
    """``:class:`Name``` becomes the name as code."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = ROLE.sub(r"`\1`", obj.docstring.value)
