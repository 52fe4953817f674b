"""The tables of adapters: ``python -m flowstate_server.testing.store_contract HARNESSES [FOLDER]``.

``HARNESSES`` names, as ``module:name``, a function from a path (nothing is there yet) to a harness, or a mapping of
such functions by the adapters' names. Prints their table; given a ``FOLDER`` it renews the section "Conformance" of
each ``FOLDER/<name>/README.md`` that exists instead.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from flowstate_server.testing.store_contract.capabilities import Provided, needs_of_checks, provided_by
from flowstate_server.testing.store_contract.harness import StoreHarness
from flowstate_server.testing.store_contract.tables import capability_table, new_section, with_section

MakeHarness = Callable[[Path], StoreHarness]


async def main(harnesses: str, folder: str | None = None) -> None:
    adapters = _adapters(harnesses)
    needs = await needs_of_checks()
    if folder is None:
        provided = {name: await _provided(make) for name, make in adapters.items()}
        sys.stdout.write(capability_table(needs, provided))
        return
    command = f"python -m flowstate_server.testing.store_contract {harnesses} {folder}"
    for name, make in adapters.items():
        readme = Path(folder, name, "README.md")
        if readme.exists():  # noqa: ASYNC240 - nothing else runs
            section = new_section(needs, name, await _provided(make), command)
            readme.write_text(with_section(readme.read_text("utf-8"), section), "utf-8")  # noqa: ASYNC240 - ditto


def _adapters(name: str) -> Mapping[str, MakeHarness]:
    module, _, member = name.partition(":")
    try:
        found = getattr(import_module(module), member)
    except (ImportError, AttributeError, ValueError) as error:
        sys.exit(f"{name!r} is no module:name that can be imported: {error}")
    return found if isinstance(found, Mapping) else {member: found}


async def _provided(make: MakeHarness) -> Provided:
    with TemporaryDirectory() as folder:
        return await provided_by(make(Path(folder, "data")))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
