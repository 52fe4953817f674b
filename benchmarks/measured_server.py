"""The process that is measured: FlowState on a store (SQLite: ``synchronous=FULL``) and the floor, on one event loop.

``python -m benchmarks.measured_server URL`` prints its two ports as JSON and serves until its stdin ends.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys

from grpc import aio

from benchmarks.event_loop import run
from benchmarks.floor import FloorHandler
from benchmarks.flow import bench_flow
from flowstate_server.app import create_flowstate, store_from_url
from flowstate_server.cli.garbage import settle_garbage_collector
from flowstate_server.rpc.server import FlowStateServer
from flowstate_server.rpc.server_options import ServerOptions


async def serve(url: str) -> None:
    engine = create_flowstate(flows=[bench_flow()]).engine(store_from_url(url))
    await engine.open()
    server = FlowStateServer(engine, ServerOptions(listen="127.0.0.1:0"))
    floor = aio.server()
    floor.add_generic_rpc_handlers((FloorHandler(),))
    floor_port = floor.add_insecure_port("127.0.0.1:0")
    port = await server.start()
    await floor.start()
    settle_garbage_collector()
    print(json.dumps({"flowstate": port, "floor": floor_port}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await floor.stop(0)
    await server.stop(drain_grace=1.0)


if __name__ == "__main__":
    # As `flowstate serve` logs: to stderr, which the benchmark sends to a file.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    run(serve(sys.argv[1]))
