"""A plugin for mypy that checks the names and types of fields in operations on state.

::

    [tool.mypy]
    plugins = ["pydantic.mypy", "flowstate_server.mypy"]

In ``ctx.session.patch_state(opened=5)`` the model that types ``ctx.session`` has to have a field ``opened``, and ``5``
has to be of its type, or in its JSON form; likewise with the other operations, in batches and with ``at``. Only names
that are written out are looked at, in the function of ``atomic_state`` where it returns them: that is a lambda, or a
function of the same file; the values of what it returns are checked in the dict of a lambda alone. A handle without a
model, or of ``BaseModel``, is not checked. A wrong name is an error ``[flowstate-field]``, and so is an operation that
can't work on the field; a wrong value has mypy's own codes.
"""

from __future__ import annotations

from collections.abc import Callable

# mypy.types is imported ahead of the rest of mypy: https://github.com/python/mypy/issues/17726
import mypy.types  # noqa: F401
from mypy.nodes import CallExpr, TypeInfo
from mypy.plugin import MethodSigContext, Plugin
from mypy.types import FunctionLike

from flowstate_server.mypy.calls import Call
from flowstate_server.mypy.models import fields_of, model_of
from flowstate_server.mypy.operations import OPERATIONS

# Which of their type parameters is the model.
_HANDLES = {
    "flowstate_server.flows.scope.StateWriter": 0,
    "flowstate_server.flows.scope.StateBatch": 0,
    "flowstate_client.state_verbs.StateVerbs": 1,
}


def plugin(version: str) -> type[Plugin]:
    """For mypy, which asks for it by this name."""
    return FlowStatePlugin


class FlowStatePlugin(Plugin):
    def get_method_signature_hook(self, fullname: str) -> Callable[[MethodSigContext], FunctionLike] | None:
        holder, _, method = fullname.rpartition(".")
        narrow = OPERATIONS.get(method)
        if narrow is None or not self._is_handle(holder):
            return None

        def hook(context: MethodSigContext) -> FunctionLike:
            model, call = model_of(context.type, _HANDLES), context.context
            if model is None or not isinstance(call, CallExpr):
                return context.default_signature
            return narrow(Call(method, call, context, model, fields_of(model)))

        return hook

    def _is_handle(self, class_name: str) -> bool:
        symbol = self.lookup_fully_qualified(class_name)
        info = symbol and symbol.node
        return isinstance(info, TypeInfo) and any(info.has_base(handle) for handle in _HANDLES)
