"""Writes the synchronous client, ``flowstate_client/sync``, from the source of the asynchronous one.

``python -m codegen.sync_client`` writes it, ``--check`` fails where it would write something else. Each public method
is written with the same name, parameters and types, overloads included; it hands the call to the asynchronous object
on the client's thread. Classes that only call the client are taken as they are, without ``async`` and ``await``. What
has no counterpart of either kind is written by hand, in the files that are not listed here.
"""

from __future__ import annotations

import ast
import builtins
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "flowstate_client"
SYNC = CLIENT / "sync"

CLASSES: Mapping[str, Sequence[str]] = {
    "content_stream": ["ContentStream"],
    "event_view": ["EventsWithView"],
    "flows": ["Flows"],
    "journal": ["Journals"],
    "resource_handle": ["ResourceHandle"],
    "resources": ["OwnedResources", "Resources"],
    "runs": ["RunHandle", "ActionStream"],
    "server": ["Server"],
    "session_changes": ["SessionChanges"],
    "session_items": ["SessionItems"],
    "sessions": ["Sessions"],
    "state": ["ScopeHandle", "States"],
    "stream": ["EventStream"],
    "watch": ["SnapshotWatch"],
}
"""The classes to write, by module."""

CALLERS: Mapping[str, Sequence[str]] = {"typed_flow": ["TypedRun", "TypedAction", "TypedFlow"]}
"""Those that only call the client."""

BY_HAND = {
    "Pager": "paging",
    "Stream": "streams",
    "ScopeBatch": "state_batch",
    "StateBatch": "state_batch",
    "ContentSource": "contents",
    "FlowStateClient": "client",
}
"""What those are written with, by its module in ``sync``."""

RENAMED = {"AsyncPager": "Pager", "ResumingStream": "Stream"}

ATTRIBUTES: Mapping[str, Mapping[str, str]] = {
    "ActionStream": {"run": "RunHandle"},
    "ContentStream": {"resource": "ResourceRecord[Any] | None", "position": "int"},
    "EventStream": {"request_id": "str", "cursor": "Cursor"},
    "ResourceHandle": {"name": "str"},
    "RunHandle": {"request_id": "str", "session_id": "str", "attached": "bool"},
    "SnapshotWatch": {"session_id": "str"},
}
"""Public attributes that are set when an object is made, which the source does not tell from others."""

BASES = {"EventsWithView": "Stream[Moment[T]]"}
HOLDERS = {"Stream", "EventStream", "SessionChanges", "SessionItems"}
"""The bases that hold the thread."""

INTERNAL = {"States": {"commit", "turn"}}
SPECIAL = {"__getitem__", "__repr__", "_submit"}

MODULES = {name: module for module, names in CLASSES.items() for name in names} | BY_HAND
WRAPPED = set(MODULES) - {"ContentSource", "Stream", "FlowStateClient"}

_DOCUMENTATION = (
    (r"\basync (with|for|def)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\baclose\(\)", "close()"),
    (r"\ban asynchronous iterator\b", "an iterator"),
    (r"\bby another task\b", "by another thread"),
)


def main() -> int:
    stale = []
    modules = [*map(Module, CLASSES), *map(CallingModule, CALLERS)]
    for module in modules:
        path, text = SYNC / f"{module.name}.py", _formatted(module.written())
        if "--check" not in sys.argv:
            path.write_text(text, "utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            stale.append(path.relative_to(ROOT))
    for path in stale:
        problem = (
            "is not what the asynchronous client says: run 'make sync-client' and commit what it writes."
        )
        sys.stderr.write(f"{path} {problem}\n")
    return 1 if stale else 0


class Module:
    """One module of the asynchronous client, and its counterpart."""

    preamble = ""

    def __init__(self, name: str) -> None:
        self.name = name
        self.names = {**CLASSES, **CALLERS}[name]
        self.source = (CLIENT / f"{name}.py").read_text("utf-8")
        self.lines = self.source.splitlines()
        self.tree = ast.parse(self.source)

    def written(self) -> str:
        """The source of the counterpart, not formatted."""
        classes = {node.name: node for node in self.tree.body if isinstance(node, ast.ClassDef)}
        body = "\n\n".join(self._class(classes[name]) for name in self.names)
        code = ast.parse(body)
        variables = [
            ast.unparse(node)
            for node in self.tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and getattr(node.value.func, "id", "") == "TypeVar"
            and getattr(node.targets[0], "id", "") in _names(code)
        ]
        head = "\n".join(variables)
        imports = self._imports(_names(code) | _names(ast.parse(head)))
        about = _plain(ast.get_docstring(self.tree) or "")
        origin = f"# Written by .ci/codegen/sync_client.py from flowstate_client/{self.name}.py: `make sync-client`."
        parts = [
            f'"""{about}"""',
            origin,
            "from __future__ import annotations",
            imports,
            self.preamble,
            head,
            body,
        ]
        return "\n\n".join(parts)

    def _imports(self, used: set[str]) -> str:
        """Where the names that the counterpart uses come from: as here, unless they are of the synchronous client."""
        found = {"asynchronous": f"from flowstate_client import {self.name} as asynchronous"}
        if "LoopThread" in used:
            found["LoopThread"] = "from flowstate_client.sync.loop_thread import LoopThread"
        for name in used & {"as_asynchronous"}:
            found[name] = "from flowstate_client.sync.contents import asynchronous as as_asynchronous"
        for name in used & set(MODULES):
            if MODULES[name] != self.name:
                found[name] = f"from flowstate_client.sync.{MODULES[name]} import {name}"
        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    found.setdefault(alias.name, f"from {node.module} import {alias.name}")
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    found.setdefault(alias.name, f"import {alias.name}")
            elif isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                found.setdefault(node.name, f"from flowstate_client.{self.name} import {node.name}")
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name) and not _is_type_variable(node):
                    found.setdefault(target.id, f"from flowstate_client.{self.name} import {target.id}")
        own = {*self.names, *dir(builtins)}
        return "\n".join(sorted(found[name] for name in used - own if name in found))

    def _class(self, node: ast.ClassDef) -> str:
        held = _snake(node.name)
        parameters = _type_parameters(node)
        kept = [*_bases(node), *([f"Generic[{parameters}]"] if _is_generic(node) else [])]
        wrapped = f"asynchronous.{node.name}" + (f"[{parameters}]" if parameters else "")
        inherits = {"Stream", "EventStream", "SessionChanges", "SessionItems"} & {
            base.partition("[")[0] for base in kept
        }
        lines = [
            f"class {node.name}" + (f"({', '.join(kept)})" if kept else "") + ":",
            _indented(f'"""{_plain(ast.get_docstring(node) or "")}"""', 1),
            f"    def __init__(self, thread: LoopThread, {held}: {wrapped}) -> None:",
            f"        super().__init__(thread, {held})" if inherits else "        self._thread = thread",
            f"        self._{held} = {held}",
        ]
        if node.name in ("ScopeHandle", "ResourceHandle"):  # for the operations of StateVerbs
            lines += [f"        self._codec = {held}._codec", f"        self._types = {held}._types"]
        for name, kind in ATTRIBUTES.get(node.name, {}).items():
            lines.append(self._attribute(node, held, name, kind))
        for method in node.body:
            if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)) and _is_told(node.name, method):
                lines.append(self._method(held, method))
        return "\n".join(lines)

    def _attribute(self, node: ast.ClassDef, held: str, name: str, kind: str) -> str:
        value = f"self._{held}.{name}"
        if kind in WRAPPED:
            value = f"{kind}(self._thread, {value})"
        return f"    @property\n    def {name}(self) -> {kind}:\n        return {value}\n"

    def _method(self, held: str, method: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        decorators = [ast.unparse(decorator) for decorator in method.decorator_list]
        asynchronous = isinstance(method, ast.AsyncFunctionDef)
        returned = _annotation(method.returns)
        parameters = ", ".join(_parameters(method.args))
        first = self.lines[method.lineno - 1]
        ignored = re.search(r"# (type|pyright): ignore\[.*?\]", first)
        lines = [f"    @{name}" for name in decorators]
        if ignored and ignored[1] == "type":
            comment = self.lines[method.decorator_list[0].lineno - 2].strip()
            lines.insert(0, f"    {comment}" if comment.startswith("#") else "")
        lines.append(f"    def {method.name}({ignored.group() if ignored else ''}")
        lines.append(f"        {parameters}\n    ) -> {returned}:")
        if "overload" in decorators:
            return "\n".join([*lines, "        ..."])
        if documentation := ast.get_docstring(method):
            lines.append(_indented(f'"""{_plain(documentation)}"""', 2))
        call = f"self._{held}.{method.name}"
        if "property" not in decorators:
            call += f"({', '.join(_arguments(method.args))})"
        if method.name == "__repr__":
            call = f"repr(self._{held})"
        elif method.name == "__getitem__":
            call = f"self._{held}[{method.args.args[1].arg}]"
        if asynchronous:
            call = f"self._thread.run({call})"
        kind = returned.partition("[")[0]
        if kind in WRAPPED:
            call = f"{kind}(self._thread, {call})"
        return "\n".join([*lines, f"        return {call}" if returned != "None" else f"        {call}"])


class CallingModule(Module):
    """A module of classes that only call the client."""

    preamble = "__tracebackhide__ = hides_our_frames"

    def _imports(self, used: set[str]) -> str:
        return super()._imports(used | {"hides_our_frames"})

    def _class(self, node: ast.ClassDef) -> str:
        return _plain("\n".join(self.lines[node.lineno - 1 : node.end_lineno]))


def _is_told(owner: str, method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    if method.name in INTERNAL.get(owner, ()) or method.name == "aclose":
        return False
    return method.name in SPECIAL or not method.name.startswith("_")


def _parameters(arguments: ast.arguments) -> Iterator[str]:
    placed = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(placed) - len(arguments.defaults)) + list(arguments.defaults)
    for place, (argument, default) in enumerate(zip(placed, defaults, strict=True), 1):
        yield _parameter(argument, default)
        if place == len(arguments.posonlyargs):
            yield "/"
    if arguments.vararg is not None:
        yield f"*{_parameter(arguments.vararg, None)}"
    elif arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(argument, default)


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    told = argument.arg + (f": {_annotation(argument.annotation)}" if argument.annotation else "")
    return told if default is None else f"{told} = {ast.unparse(default)}"


def _arguments(arguments: ast.arguments) -> Iterator[str]:
    for argument in [*arguments.posonlyargs, *arguments.args]:
        if argument.arg != "self":
            yield _passed(argument)
    for argument in arguments.kwonlyargs:
        yield f"{argument.arg}={_passed(argument)}"


def _passed(argument: ast.arg) -> str:
    is_content = argument.annotation is not None and ast.unparse(argument.annotation) == "ContentSource"
    return f"as_asynchronous({argument.arg})" if is_content else argument.arg


def _annotation(node: ast.expr | None) -> str:
    text = "None" if node is None else ast.unparse(node)
    text = re.sub(r"\bCoroutine\[Any, Any, (\w+)\]", r"\1", text)
    return re.sub(r"\b\w+\b", lambda word: RENAMED.get(word.group(), word.group()), text)


def _bases(node: ast.ClassDef) -> Sequence[str]:
    if node.name in BASES:
        return [BASES[node.name]]
    return [base for base in map(_annotation, node.bases) if not base.startswith(("Generic", "ABC"))]


def _is_generic(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).startswith("Generic[") for base in node.bases) and node.name not in BASES


def _type_parameters(node: ast.ClassDef) -> str:
    """The type variables of a class, by name."""
    bases = " ".join(ast.unparse(base) for base in node.bases)
    return ", ".join(dict.fromkeys(re.findall(r"\bT\b|\bStateT_co\b", bases)))


def _is_type_variable(node: ast.Assign | ast.AnnAssign) -> bool:
    return isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "TypeVar"


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _plain(documentation: str) -> str:
    for pattern, replacement in _DOCUMENTATION:
        documentation = re.sub(pattern, replacement, documentation)
    return documentation


def _indented(text: str, depth: int) -> str:
    lines = text.splitlines()
    if len(lines) > 1:
        lines[-1:] = [lines[-1].removesuffix('"""'), '"""'] if lines[-1] != '"""' else [lines[-1]]
    return "\n".join("    " * depth + line if line else "" for line in lines)


def _formatted(text: str) -> str:
    for arguments in (["check", "--select", "I,UP,RUF100", "--fix-only", "--quiet"], ["format", "--quiet"]):
        ruff = [
            sys.executable,
            "-m",
            "ruff",
            *arguments,
            "--stdin-filename",
            "flowstate_client/sync/_.py",
            "-",
        ]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return text


if __name__ == "__main__":
    sys.exit(main())
