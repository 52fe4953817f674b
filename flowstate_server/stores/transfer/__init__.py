"""Moving and judging what stores keep, while nobody serves them."""

from flowstate_server.stores.transfer.check import check_store
from flowstate_server.stores.transfer.comparison import differences
from flowstate_server.stores.transfer.copy import (
    Copied,
    CopyRefused,
    copy_store,
    refuse_unfinished_copy,
    serving,
)

__all__ = [
    "Copied",
    "CopyRefused",
    "check_store",
    "copy_store",
    "differences",
    "refuse_unfinished_copy",
    "serving",
]
