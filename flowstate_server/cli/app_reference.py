"""The app that ``module:attribute`` names."""

from __future__ import annotations

import importlib
import logging
import sys
from pathlib import Path
from typing import Any, NoReturn

from flowstate_server.app import FlowState, create_flowstate
from flowstate_server.cli.problem import MISUSED, give_up, place_of

_logger = logging.getLogger(__name__)


def load_app(reference: str) -> FlowState:
    """The FlowState that ``reference`` names, or one made of the flow that it names.

    What the working directory holds can be imported. Whatever is wrong ends the command.
    """
    module_name, _, attribute = reference.partition(":")
    if not module_name or not attribute:
        give_up(f"{reference!r} is not module:attribute, for example my_chat:flowstate", MISUSED)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return _as_app(reference, _attribute(_module(module_name), attribute, reference))


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            give_up(f"there is no module {error.name} here or among the installed ones", MISUSED)
        _refuse(f"module {name} can't be loaded", error)
    except Exception as error:
        _refuse(f"module {name} can't be loaded", error)


def _attribute(module: Any, name: str, reference: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        give_up(f"{reference}: the module has no {name}", MISUSED)


def _as_app(reference: str, value: Any) -> FlowState:
    if isinstance(value, FlowState):
        return value
    try:
        return create_flowstate(flows=[value])
    except Exception as error:
        _refuse(f"{reference} is neither a FlowState nor a Flow", error)


def _refuse(problem: str, error: Exception) -> NoReturn:
    _logger.debug("%s", problem, exc_info=error)
    give_up(f"{problem}: {type(error).__name__}: {error}{place_of(error)}", MISUSED)
