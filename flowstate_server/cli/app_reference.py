"""The app that ``module:attribute`` names."""

from __future__ import annotations

import importlib
import logging
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

from flowstate_server.app import FlowState, create_flowstate
from flowstate_server.cli.problem import MISUSED, give_up, place_of

_logger = logging.getLogger(__name__)

_LINE = re.compile(r"\.py:\d+: ")
"""What an error has that names a line by itself."""


class NoApp(Exception):
    """``module:attribute`` leads to no app; the text says why."""


class BrokenApp(NoApp):
    """Its author's code is at fault: it raises, or makes what can't be served."""


def load_app(reference: str, folder: Path | None = None) -> FlowState:
    """:func:`find_app`. Whatever is wrong ends the command."""
    try:
        return find_app(reference, folder)
    except NoApp as problem:
        give_up(str(problem), MISUSED)


def find_app(reference: str, folder: Path | None = None) -> FlowState:
    """The FlowState that ``reference`` names, or one made of the flow that it names.

    What ``folder`` holds, by default the working directory, can be imported.

    Raises:
        NoApp: there is none.
        BrokenApp: it can't be loaded.
    """
    module_name, _, attribute = reference.partition(":")
    if not module_name or not attribute:
        raise NoApp(f"{reference!r} is not module:attribute, for example my_chat:flowstate")
    if "/" in module_name or "\\" in module_name or module_name.endswith(".py"):
        path = Path(module_name)
        place = "" if folder is None or path.parent == Path() else f" --app-dir {path.parent}"
        named = f"{path.name.removesuffix('.py')}:{attribute}{place}"
        raise NoApp(f"{reference}: name the module, not its file: {named}")
    here = Path.cwd()
    folder = folder or here
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    place = "here" if folder == here else f"in {folder}"
    return _as_app(reference, _attribute(_module(module_name, place), attribute, reference))


def _module(name: str, place: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise NoApp(f"there is no module {error.name} {place} or among the installed ones") from None
        _refuse(f"module {name} can't be loaded", error)
    except Exception as error:
        _refuse(f"module {name} can't be loaded", error)


def _attribute(module: Any, name: str, reference: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        found = [key for key, value in vars(module).items() if isinstance(value, FlowState)]
        has = f"; it has {' and '.join(found)}" if found else ""
        raise NoApp(f"{reference}: the module has no {name}{has}") from None


def _as_app(reference: str, value: Any) -> FlowState:
    if isinstance(value, FlowState):
        return value
    try:
        return create_flowstate(flows=[value])
    except Exception as error:
        _refuse(f"{reference} is neither a FlowState nor a Flow", error)


def _refuse(problem: str, error: Exception) -> NoReturn:
    _logger.debug("%s", problem, exc_info=error)
    place = "" if _LINE.search(str(error)) else place_of(error)  # its own is the better one
    raise BrokenApp(f"{problem}: {type(error).__name__}: {error}{place}") from error
