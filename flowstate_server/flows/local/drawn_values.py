"""First values of fields whose ``default_factory`` gives another one each time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.programs.author_code import AT_WORK, does_work, other_work
from flowstate_server.programs.threads import DaemonThreads
from flowstate_server.schemas.pydantic.schema import ModelSchema

FACTORY_SECONDS = 1.0
"""The most that a ``default_factory`` may take."""


async def drawn_values(schema: ModelSchema, names: Sequence[str], threads: DaemonThreads) -> JsonObject:
    """A value for each of ``names``.

    Raises:
        RuntimeError: a factory failed, or took too long.
    """
    return {name: await _drawn(schema, name, threads) for name in names}


@does_work
async def _drawn(schema: ModelSchema, name: str, threads: DaemonThreads) -> Json:
    work = other_work(f'the default_factory of {schema.scope} field "{name}"')
    before = AT_WORK.get()
    AT_WORK.set(work)
    try:
        async with asyncio.timeout(FACTORY_SECONDS):
            return await threads.run(schema.draw, name)
    except asyncio.CancelledError:
        raise
    except TimeoutError as error:
        raise RuntimeError(f"{work} has given nothing for {FACTORY_SECONDS:g} s") from error
    except Exception as error:
        raise RuntimeError(f"{work} failed") from error
    finally:
        AT_WORK.set(before)
