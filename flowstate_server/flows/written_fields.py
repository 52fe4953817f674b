"""The fields that a handler names in operations on state, read from its source.

So a misspelled name is found when the block is built, and not when a user meets it. Only what is certain is told: names
that are written out, in calls on ``ctx.session`` and its like, on a resource that is declared outside the handler, on
what ``at`` and ``batch`` give for it, and on variables that stand for one of these and nothing else.
"""

from __future__ import annotations

import ast
import inspect
import linecache
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType
from typing import Any, NamedTuple

from flowstate_server.flows.resources import AnyResource, Resource, ResourceCollection
from flowstate_server.model.scopes import RECORD_SCOPES, ScopeKind

_OF_FIELDS = ("set_state", "patch_state", "inc_state")
_OF_ONE_FIELD = ("get", "push_state", "set_state_record", "delete_state_record")
_OPERATIONS = frozenset((*_OF_FIELDS, *_OF_ONE_FIELD, "unset_state", "atomic_state"))
_OF_A_COLLECTION = ("get", "get_or_none", "create", "get_or_create")
_SCOPES = {kind.value: kind for kind in RECORD_SCOPES}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_NAMED = (*_FUNCTIONS, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
_OWN_NAMES = (
    *_FUNCTIONS,
    ast.Lambda,
    ast.ClassDef,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)


Target = ScopeKind | AnyResource
"""What is written: a scope, a single resource, or one of a collection."""


class WrittenField(NamedTuple):
    """A field that an operation names; ``line`` is that of the file."""

    target: Target
    operation: str
    field: str
    file: str
    line: int


def written_fields(function: Callable[..., Any]) -> Sequence[WrittenField]:
    """The fields that ``function(input, context)`` writes by name; none where there is no source."""
    try:
        inner = inspect.unwrap(function)
        code = getattr(inner, "__code__", None)
    except ValueError:  # it wraps itself
        return ()
    if not isinstance(code, CodeType) or not _names_operations(code):
        return ()
    found = _definition(code, getattr(function, "__globals__", None))
    if found is None:
        return ()
    definition, before = found
    context = code.co_varnames[code.co_argcount - 1]
    return tuple(
        WrittenField(target, operation, field, code.co_filename, place.lineno + before)
        for target, operation, field, place in _Names(definition, context, _outside(inner, code)).written()
    )


def _outside(function: Any, code: CodeType) -> Mapping[str, object]:
    """What names stand for that the function does not bind itself."""
    found: dict[str, object] = dict(getattr(function, "__globals__", {}))
    for name, cell in zip(code.co_freevars, getattr(function, "__closure__", None) or (), strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # it has none yet
            found.pop(name, None)
    return found


def _names_operations(code: CodeType) -> bool:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return not _OPERATIONS.isdisjoint(code.co_names) or any(map(_names_operations, inner))


def _definition(code: CodeType, names: dict[str, Any] | None) -> tuple[ast.AST, int] | None:
    """The function as it is written, and how many lines are before it; much faster than ``inspect.getsource``."""
    linecache.checkcache(code.co_filename)
    lines = linecache.getlines(code.co_filename, names)[code.co_firstlineno - 1 : _last_line(code)]
    # An indented one is put into something, not moved: there may be lines of text in it that must not move.
    indented = bool(lines) and lines[0][:1].isspace()
    try:
        written = ast.parse("".join(["if 1:\n", *lines] if indented else lines)).body[0]
    except (SyntaxError, ValueError, IndexError, RecursionError, MemoryError):
        return None
    if isinstance(written, ast.If):
        written = written.body[0]
    if not isinstance(written, _FUNCTIONS) or written.name != code.co_name:
        return None
    parameters = [one.arg for one in (*written.args.posonlyargs, *written.args.args)]
    if len(parameters) < 2 or tuple(parameters) != code.co_varnames[: code.co_argcount]:
        return None
    return written, code.co_firstlineno - (2 if indented else 1)


def _last_line(code: CodeType) -> int:
    inner = [_last_line(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return max([0, *inner, *(end for _, end, _, _ in code.co_positions() if end is not None)])


class _Names:
    """What the names in a function stand for."""

    def __init__(self, function: ast.AST, context: str, outside: Mapping[str, object]) -> None:
        self._outside = outside
        self._nodes = list(ast.walk(function))
        self._context = context
        self._bound = Counter(name for node in self._nodes for name in _bound_by(node))
        self._meaning: dict[str, list[ast.expr]] = {}
        for node in _of_its_own(function):
            for target, value in _given_names(node):
                self._meaning.setdefault(target.id, []).append(value)

    def written(self) -> Iterator[tuple[Target, str, str, ast.expr]]:
        if self._bound[self._context] != 1:
            return
        for node in self._nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                operation = node.func.attr
                if operation in _OPERATIONS and (target := self._target(node.func.value)) is not None:
                    for field, place in _fields(operation, node):
                        yield target, operation, field, place

    def _target(self, handle: ast.expr, made_by: str = "at", steps: int = 4) -> Target | None:
        """What a handle is of: ``ctx.session``, ``ctx.resource(plan)``, ``ctx.session.at(...)``, or a name for one."""
        if steps == 0:
            return None
        if isinstance(handle, ast.Name):
            meanings = self._meaning.get(handle.id, ())
            targets = {self._target(meaning, "batch", steps - 1) for meaning in meanings}
            whole = len(meanings) == self._bound[handle.id] and len(targets) == 1
            return targets.pop() if whole else None
        if isinstance(handle, ast.Await):
            return self._of_collection(handle.value)
        if isinstance(handle, ast.Call):
            declared = self._declared(handle)
            if declared is not None:
                return declared if isinstance(declared, Resource) else None
            made = handle.func
            if not isinstance(made, ast.Attribute) or made.attr not in ("at", made_by):
                return None
            return self._target(made.value, "at", steps - 1)
        if isinstance(handle, ast.Attribute) and isinstance(handle.value, ast.Name):
            return _SCOPES.get(handle.attr) if handle.value.id == self._context else None
        return None

    def _of_collection(self, call: ast.expr) -> AnyResource | None:
        """The collection of ``files.get(...)``, awaited, where ``files`` is a handle of one or a name for that."""
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            return None
        handle = call.func.value
        if isinstance(handle, ast.Name):
            meanings = self._meaning.get(handle.id, ())
            if len(meanings) != 1 or self._bound[handle.id] != 1:
                return None
            handle = meanings[0]
        declared = self._declared(handle)
        collection = isinstance(declared, ResourceCollection)
        return declared if collection and call.func.attr in _OF_A_COLLECTION else None

    def _declared(self, call: ast.expr) -> AnyResource | None:
        """What ``plan`` is in ``ctx.resource(plan)``, if that is a name from outside."""
        match call:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=context), attr="resource"), args=[ast.Name(id=name)]
            ) if context == self._context and not self._bound[name]:
                found = self._outside.get(name)
                return found if isinstance(found, Resource | ResourceCollection) else None
        return None


def _fields(operation: str, call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    """The fields that a call names, and where."""
    first = call.args[0] if call.args else None
    if operation == "unset_state":
        named: Sequence[ast.expr | None] = call.args
    elif operation in _OF_ONE_FIELD:
        named = [first]
    else:
        if operation == "atomic_state":
            first = first.body if isinstance(first, ast.Lambda) else None
        elif operation != "set_state":
            yield from ((one.arg, one.value) for one in call.keywords if one.arg is not None)
        if isinstance(first, ast.Call) and isinstance(first.func, ast.Name) and first.func.id == "dict":
            yield from ((one.arg, one.value) for one in first.keywords if one.arg is not None)
        named = first.keys if isinstance(first, ast.Dict) else ()
    for one in named:
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.value, one


def _of_its_own(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions, classes and comprehensions in it."""
    waiting = [function]
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            yield child
            if not isinstance(child, _OWN_NAMES):
                waiting.append(child)


def _given_names(node: ast.AST) -> Iterator[tuple[ast.Name, ast.expr]]:
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        yield node.targets[0], node.value
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        yield node.target, node.value
    elif isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
        yield node.optional_vars, node.context_expr


def _bound_by(node: ast.AST) -> Iterator[str]:
    """The names that a node binds, in whatever scope; twice those that are bound elsewhere."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Global | ast.Nonlocal):
        yield from (*node.names, *node.names)
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).partition(".")[0]
    elif isinstance(node, ast.MatchMapping):
        yield from [node.rest] if node.rest else []
    elif isinstance(node, _NAMED):
        yield from [node.name] if node.name else []
