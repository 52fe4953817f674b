"""Flows that share a user's record: what one writes the other reads, and who means something else is refused."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from examples.chat.demo import DemoFailed
from examples.chat.server_process import CHECKOUT, ServerProcess, ServerTrouble, served
from examples.chat.transcript import Transcript
from flowstate_client import FlowStateClient, FlowStateError

APP = "examples.two_flows:flowstate"
IMPORTER = "examples.two_flows.importer:importer"
USER = "ada"
TIME_LIMIT = 60.0


async def share(server: ServerProcess, show: Transcript) -> None:
    async with FlowStateClient.connect(server.address, user=USER, plane="trusted") as client:
        show.heading("Two flows, one record of the user")
        show.note("chat", str(await client.flows.call("chat", "greet", "Ada")))
        wish = {"tone": "cheerful", "language": "pt"}
        await client.flows.call("admin", "adjust", wish)
        show.note("admin", "has chosen another tone for this user")
        show.note("chat", str(await client.flows.call("chat", "greet", "Ada")))

        show.heading("A flow that is isolated counts in a field of the same name")
        await client.flows.call("maintenance", "tidy", None)
        visits = await client.flows.call("maintenance", "tidy", None)
        show.note("maintenance", f"tone = {visits}, in a record of its own")
        shared = (await client.state.user(USER).get()).state
        show.values("shared", dict(shared))
        if shared["tone"] != "cheerful":
            raise DemoFailed("the shared record was changed by a flow that is isolated")


async def command(*arguments: str) -> tuple[int, str]:
    """``flowstate``, to its end: the exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "flowstate_server", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=CHECKOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode().strip()


async def refuse(store: str, show: Transcript) -> None:
    """The gate of a deploy says it, and whoever does not ask it is refused at the start."""
    for title, arguments in (
        ("flowstate check, ahead of a deploy", ("check", IMPORTER, "--store", store)),
        ("flowstate serve, without having asked", ("serve", IMPORTER, "--store", store)),
    ):
        show.heading(title)
        code, said = await command(
            *arguments, *(("--listen", "127.0.0.1:0") if arguments[0] == "serve" else ())
        )
        for line in said.splitlines():
            show.note("said", line)
        show.note("exit code", str(code))
        if code == 0 or "incompatible user state schemas" not in said:
            raise DemoFailed(f"flowstate {arguments[0]} took what it was to refuse")


async def run_demo(folder: Path, log: Path, show: Transcript) -> None:
    store = f"sqlite:///{folder / 'two_flows.db'}"
    async with served(APP, store=store, log=log) as server:
        await share(server, show)
        await refuse(store, show)
        code, said = await command("check", APP, "--store", store)
        if code != 0:
            raise DemoFailed(said)


def main() -> int:
    show = Transcript()
    with tempfile.TemporaryDirectory(prefix="flowstate-demo-") as folder:
        log = Path(folder, "server.log")
        try:
            asyncio.run(asyncio.wait_for(run_demo(Path(folder), log, show), TIME_LIMIT))
        except (ServerTrouble, DemoFailed, FlowStateError, TimeoutError) as error:
            show.problem(f"\nThe demo failed: {type(error).__name__}: {error}")
            show.problem(f"The server's log:\n{log.read_text() if log.exists() else '(none)'}")
            return 1
        except KeyboardInterrupt:
            return 130
    show.heading("Done. The database file is deleted again.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
