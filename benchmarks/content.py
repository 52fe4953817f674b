"""Content of resources: 16 MiB read as a stream, and written in pieces of 1 MiB."""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import asyncpg

from benchmarks.load import Caller, Load, for_seconds
from benchmarks.result import Comparison, Options, Result, at_least, interleaved
from benchmarks.subject import TRUSTED, Subject, on_postgres, on_sqlite
from flowstate.v1.resource_service_pb2 import ReadContentRequest, WriteContentRequest
from flowstate.v1.resource_service_pb2_grpc import ResourceServiceStub
from flowstate.v1.types_pb2 import ScopeRef
from tests.support.postgres_server import PostgresServer

MIB = 1024 * 1024
PIECES = 16
APP, KIND = "benchmarks.content_flow:app", "bench-content"
"""Not imported here: trees without resources have none of it."""

Insert = Callable[[bytes], Awaitable[None]]


async def content(options: Options) -> Sequence[Result]:
    async with on_sqlite(APP) as server, _sqlite_insert(server) as insert:
        return await _measured(server, options, insert, "")


async def content_postgres(options: Options) -> Sequence[Result]:
    async with on_postgres(APP) as server, _postgres_insert() as insert:
        return await _measured(server, options, insert, " on Postgres")


async def _measured(server: Subject, options: Options, insert: Insert, where: str) -> Sequence[Result]:
    [session] = await server.new_sessions(1, KIND)
    scope, resources = ScopeRef(session_id=session), ResourceServiceStub(server.channel)
    piece = random.Random(0).randbytes(MIB)  # a picture: nothing that a store could make smaller
    numbers = itertools.count()

    async def write() -> None:
        number = next(numbers)
        first = number.to_bytes(8, "big") + piece[8:]  # or it would be the content that is there already
        for position in range(PIECES):
            request = WriteContentRequest(
                scope=scope,
                name="files/written",
                upload_id=f"upload-{number}",
                position=position * MIB,
                data=piece if position else first,
                finish=position == PIECES - 1,
            )
            await resources.WriteContent(request, metadata=TRUSTED)

    bare = server.floor.sending(piece + bytes(100), 100)

    async def write_bare() -> None:
        for _ in range(PIECES):
            await bare()
            await insert(piece)

    pieces = server.floor.pieces(PIECES, MIB + 20)

    async def read_bare() -> None:
        async for _ in pieces():
            pass

    async def read() -> None:
        request = ReadContentRequest(scope=scope, name="files/written")
        async for _ in resources.ReadContent(request, metadata=TRUSTED):
            pass

    load = partial(_load, server, options)
    floor, written = await interleaved(options.rounds, lambda: load(write_bare), lambda: load(write))
    read_floor, got = await interleaved(options.rounds, lambda: load(read_bare), lambda: load(read))
    return (
        Comparison(f"WriteContent{where}, MiB", floor, written, at_least(0.5)),
        Comparison(f"ReadContent{where}, MiB", read_floor, got, at_least(0.5)),
    )


async def _load(server: Subject, options: Options, call: Caller) -> Load:
    return await for_seconds([call], options.seconds, server.floor, PIECES)


@asynccontextmanager
async def _sqlite_insert(server: Subject) -> AsyncIterator[Insert]:
    database = sqlite3.connect(server.folder / "floor.db", check_same_thread=False, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE pieces (number INTEGER PRIMARY KEY, piece BLOB NOT NULL)")

    def insert(piece: bytes) -> None:
        database.execute("INSERT INTO pieces (piece) VALUES (?)", (piece,))

    try:
        yield lambda piece: asyncio.to_thread(insert, piece)
    finally:
        database.close()


@asynccontextmanager
async def _postgres_insert() -> AsyncIterator[Insert]:
    with PostgresServer.run(durable=True) as postgres:
        connection = await asyncpg.connect(await postgres.create_database())
        await connection.execute("CREATE TABLE pieces (number serial PRIMARY KEY, piece bytea NOT NULL)")

        async def insert(piece: bytes) -> None:
            await connection.execute("INSERT INTO pieces (piece) VALUES ($1)", piece)

        try:
            yield insert
        finally:
            await connection.close()
