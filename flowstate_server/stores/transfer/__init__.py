"""Moving and judging what stores keep."""

from flowstate_server.stores.transfer.check import check_store
from flowstate_server.stores.transfer.comparison import differences
from flowstate_server.stores.transfer.copy import (
    Copied,
    CopyRefused,
    copy_store,
    refuse_unfinished_copy,
    serving,
)
from flowstate_server.stores.transfer.state_copy import (
    CopiedState,
    Misfit,
    Outcome,
    Scope,
    StateCopy,
    copy_states,
)

__all__ = [
    "Copied",
    "CopiedState",
    "CopyRefused",
    "Misfit",
    "Outcome",
    "Scope",
    "StateCopy",
    "check_store",
    "copy_states",
    "copy_store",
    "differences",
    "refuse_unfinished_copy",
    "serving",
]
