"""The fields that a function returns by name, as far as its text is at hand.

That is a lambda in the call, or a function by its name, defined in the same file: of those in other files mypy keeps no
text, or not always. Not followed are methods, decorated functions and dicts that are made ahead of the ``return``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mypy.nodes import (
    ARG_NAMED,
    LDEF,
    Block,
    CallExpr,
    ConditionalExpr,
    DictExpr,
    Expression,
    ForStmt,
    FuncDef,
    IfStmt,
    LambdaExpr,
    MatchStmt,
    MemberExpr,
    MypyFile,
    NameExpr,
    RefExpr,
    ReturnStmt,
    Statement,
    StrExpr,
    TryStmt,
    WhileStmt,
    WithStmt,
)

Text = Callable[[Expression], str | None]


def returned_fields(change: Expression | None, file: object, text: Text) -> Iterator[tuple[str, Expression]]:
    """The names, and where they stand, in what ``change``, which is called in ``file``, returns.

    ``text`` tells the text that an expression at the call is known to be.
    """
    if isinstance(change, LambdaExpr):
        function: LambdaExpr | FuncDef | None = change
    else:
        function, text = _defined(change, file), _literal
    if function is None or not function.arg_names:
        return
    for given in _returns(function.body):
        yield from _fields(given, function.arg_names[0], text)


def dicts_returned(change: Expression | None) -> Sequence[DictExpr]:
    """The dicts of which a lambda returns one; none if it may return something else."""
    if not isinstance(change, LambdaExpr):
        return ()
    found: list[DictExpr] = []
    left = list(_returns(change.body))
    while left:
        given = left.pop()
        if isinstance(given, ConditionalExpr):
            left += [given.if_expr, given.else_expr]
        elif isinstance(given, DictExpr):
            found.append(given)
        else:
            return ()
    return found


def _literal(expression: Expression) -> str | None:
    # The types of another function's names may not be known yet.
    return expression.value if isinstance(expression, StrExpr) else None


def _defined(change: Expression | None, file: object) -> FuncDef | None:
    if not isinstance(change, NameExpr) or not isinstance(change.node, FuncDef):
        return None
    own = isinstance(file, MypyFile) and change.node.fullname == f"{file.fullname}.{change.name}"
    return change.node if own or change.kind == LDEF else None


def _fields(given: Expression, state: str | None, text: Text) -> Iterator[tuple[str, Expression]]:
    if isinstance(given, ConditionalExpr):
        yield from _fields(given.if_expr, state, text)
        yield from _fields(given.else_expr, state, text)
    elif isinstance(given, DictExpr):
        for key, _ in given.items:
            if key is not None and (name := text(key)) is not None:
                yield name, key
    elif isinstance(given, CallExpr):
        named = {
            name: value
            for name, value, kind in zip(given.arg_names, given.args, given.arg_kinds, strict=True)
            if kind is ARG_NAMED and name is not None
        }
        if isinstance(given.callee, RefExpr) and given.callee.fullname == "builtins.dict":
            yield from named.items()
        elif _copies(given.callee, state) and isinstance(update := named.get("update"), DictExpr):
            yield from _fields(update, state, text)


def _copies(callee: Expression, state: str | None) -> bool:
    """Whether this is ``state.model_copy``."""
    of_state = (
        isinstance(callee, MemberExpr) and isinstance(callee.expr, NameExpr) and callee.expr.name == state
    )
    return of_state and isinstance(callee, MemberExpr) and callee.name == "model_copy"


def _returns(statement: Statement) -> Iterator[Expression]:
    """What a statement returns, or those in it do."""
    if isinstance(statement, ReturnStmt):
        yield from [statement.expr] if statement.expr is not None else []
    elif isinstance(statement, Block):
        for inside in statement.body:
            yield from _returns(inside)
    else:
        for block in _blocks(statement):
            yield from _returns(block) if block is not None else ()


def _blocks(statement: Statement) -> Sequence[Block | None]:
    # mypy has visitors for this, which only compiled classes may inherit.
    if isinstance(statement, IfStmt):
        return [*statement.body, statement.else_body]
    if isinstance(statement, ForStmt | WhileStmt):
        return [statement.body, statement.else_body]
    if isinstance(statement, TryStmt):
        return [statement.body, *statement.handlers, statement.else_body, statement.finally_body]
    if isinstance(statement, MatchStmt):
        return statement.bodies
    return [statement.body] if isinstance(statement, WithStmt) else []
