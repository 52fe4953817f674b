"""The one meaning of every write, and the committer that works batches through a store in groups."""

from flowstate_server.stores.commit.decide import Decision, decide
from flowstate_server.stores.commit.group_committer import GroupCommitter
from flowstate_server.stores.commit.meanings import needs_of

__all__ = ["Decision", "GroupCommitter", "decide", "needs_of"]
