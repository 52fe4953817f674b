"""Run as a process of its own: ``holder.py FOLDER`` opens the store, says so, and keeps it until it is killed."""

import asyncio
import sys
from pathlib import Path

from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.filesystem import FilesystemStore
from flowstate_server.testing.store_contract.builders import increment


async def hold(folder: Path) -> None:
    store = FilesystemStore(folder)
    await store.open()
    for number in range(1_000_000):
        await store.commit((increment(user_scope("ada")), increment(user_scope("bob"))))
        sys.stdout.write(f"{number + 1}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(hold(Path(sys.argv[1])))
