"""Which node of a cluster answers. After a failover the old primary may come back, and would take writes."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import asyncpg

from flowstate_server.stores.postgres.address import Address
from flowstate_server.stores.postgres.driver_errors import DRIVER_ERRORS

_log = logging.getLogger(__name__)

# A standby has no place to write to, and says 0. The timeline rises with each promotion.
NODE = (
    "SELECT (SELECT system_identifier FROM pg_control_system()), CASE WHEN pg_is_in_recovery() THEN 0"
    " ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END"
)
STANDBY = 0


class Node(NamedTuple):
    system: int
    timeline: int


class NodeRefusedError(ConnectionError):
    """The node is a standby, or was replaced by a newer primary."""


class Nodes:
    """The newest primary that this process has seen; no older one is used again.

    Used by the loop and by the thread that renews leases.
    """

    def __init__(self) -> None:
        self.failovers = 0
        self._newest: Node | None = None
        self._tells = True

    async def check(self, connection: Any) -> None:
        """
        Raises:
            NodeRefusedError: this node is not to be used.
            Other errors are the driver's.
        """
        if not self._tells:
            return
        try:
            found = Node(*await connection.fetchrow(NODE))
        except (asyncpg.FeatureNotSupportedError, asyncpg.exceptions.SyntaxOrAccessError) as error:
            _log.info("this database does not tell which node it is: %s", error)
            self._tells = False
            return
        self.see(found)

    def see(self, found: Node) -> None:
        """As :meth:`check`, of what was found."""
        if found.timeline == STANDBY:
            raise NodeRefusedError("this node is a standby")
        newest = self._newest
        if newest is not None and found < newest:
            raise NodeRefusedError(
                f"this node is at {_named(found)}, but {_named(newest)} has been written to since: it is the primary"
                " of before a failover, which must not take writes any more; stop it"
            )
        if newest is not None and found > newest:
            _log.warning("the database has failed over from %s to %s", _named(newest), _named(found))
            self.failovers += 1
        self._newest = found


class Hosts:
    """The hosts of an address, of which one has the primary."""

    def __init__(self, address: Address, nodes: Nodes) -> None:
        self.address = address
        self._nodes = nodes
        self._last = ""

    async def connect(self, *_: object, timeout: float, **options: Any) -> Any:
        """A connection to the first host that is to be used, beginning with the one used last, as ``asyncpg.connect``
        makes it.

        Each has its share of the time: the driver itself would spend it all on one that does not answer.
        """
        hosts = sorted(self.address.hosts, key=lambda host: host != self._last)
        failures: list[BaseException] = []
        for host in hosts:
            try:
                connection = await self._connect(host, timeout=timeout / len(hosts), **options)
            except DRIVER_ERRORS as error:
                failures.append(error)
            else:
                self._last = host
                return connection
        raise next((error for error in failures if isinstance(error, NodeRefusedError)), failures[0])

    async def _connect(self, host: str, **options: Any) -> Any:
        connection = await asyncpg.connect(self.address.at(host), **options)
        try:
            await self._nodes.check(connection)
        except NodeRefusedError as error:
            connection.terminate()
            raise NodeRefusedError(f"{host}: {error}") from None
        except BaseException:
            connection.terminate()
            raise
        return connection


def _named(node: Node) -> str:
    return f"timeline {node.timeline} of system {node.system}"
