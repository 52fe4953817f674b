"""SIGHUP."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from flowstate_client import Event, FlowStateClient, RequestCreated, Unauthenticated
from flowstate_server.testing.child_signals import with_default_signals
from flowstate_server.testing.waiting import until
from tests.cli.flowstate_command import CHECKOUT, started, stderr_of, told

SLOW = "tests.cli.slow_flow:slow"
LOCALLY = ("--listen", "127.0.0.1:0")
TLS = CHECKOUT / "tests/support/tls"
RELOADED = "tokens and certificates were reloaded"
KEPT = "nothing was reloaded, the old stays"


@dataclass
class Reloading:
    process: subprocess.Popen[str]
    address: str
    log: list[str]

    async def hang_up(self, answer: str) -> str:
        """The line that says what came of a SIGHUP."""
        before = len(self.log)
        self.process.send_signal(signal.SIGHUP)
        await until(lambda: any(answer in line for line in self.log[before:]))
        return next(line for line in self.log[before:] if answer in line)


@contextmanager
def reloading(*arguments: str) -> Iterator[Reloading]:
    with started("serve", SLOW, *LOCALLY, *arguments) as process:
        address = str(told(process, "listening")["address"])
        with stderr_of(process) as log:
            yield Reloading(process, address, log)


def _write(path: Path, *names: str, **fields: str) -> None:
    more = "".join(f'{name} = "{value}"\n' for name, value in fields.items())
    path.write_text(
        "".join(f'[[tokens]]\ntoken = "token of {name}"\nuser = "{name}"\n{more}' for name in names)
    )


@asynccontextmanager
async def _following(client: FlowStateClient) -> AsyncIterator[asyncio.Task[list[Event]]]:
    """A tail that has begun, of a run that goes on for long."""
    run = await client.flows.dispatch("slow", "nap", 600.0)
    begun = asyncio.Event()

    async def follow() -> list[Event]:
        seen = []
        async with run.events() as events:
            async for event in events:
                seen.append(event)
                if isinstance(event, RequestCreated):
                    begun.set()
        return seen

    task = asyncio.create_task(follow())
    await asyncio.wait_for(begun.wait(), 10)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_w8_tokens_are_read_anew_and_who_is_gone_is_cut_off(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    _write(tokens, "ada", "bob")
    with reloading("--tokens", str(tokens)) as server:

        def connected(name: str) -> FlowStateClient:
            return FlowStateClient.connect(server.address, token=f"token of {name}")

        async with (
            connected("ada") as ada,
            connected("bob") as bob,
            connected("eve") as eve,
            _following(ada) as stays,
            _following(bob) as goes,
        ):
            with pytest.raises(Unauthenticated):
                await eve.flows.call("slow", "nap", 0.0)
            _write(tokens, "ada", "eve")
            await server.hang_up(RELOADED)
            with pytest.raises(Unauthenticated, match="CREDENTIALS_INVALID"):
                await asyncio.wait_for(goes, 5)
            assert await eve.flows.call("slow", "nap", 0.0) == "rested"
            assert await ada.flows.call("slow", "nap", 0.0) == "rested"
            with pytest.raises(Unauthenticated):
                await bob.flows.call("slow", "nap", 0.0)
            assert not stays.done()
            # A new token under the same name: the old one is no more.
            _write(tokens, "ada", name="shop")
            await server.hang_up(RELOADED)
            with pytest.raises(Unauthenticated):
                await asyncio.wait_for(stays, 5)
            async with _following(ada) as old:
                tokens.write_text(tokens.read_text().replace("token of ada", "new token of ada"))
                await server.hang_up(RELOADED)
                with pytest.raises(Unauthenticated, match="CREDENTIALS_INVALID"):
                    await asyncio.wait_for(old, 5)
            _write(tokens, "ada", "eve")
            await server.hang_up(RELOADED)


async def test_w8_the_same_token_for_somebody_else_cuts_off(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    _write(tokens, "ada", "eve")
    with reloading("--tokens", str(tokens)) as server:
        async with (
            FlowStateClient.connect(server.address, token="token of ada") as ada,
            _following(ada) as stays,
        ):
            # The same token for somebody else is another principal.
            _write(tokens, "ada", "eve", tenant="acme")
            await server.hang_up(RELOADED)
            with pytest.raises(Unauthenticated):
                await asyncio.wait_for(stays, 5)


@pytest.mark.parametrize("content", ["", "[[tokens]\n", '[[tokens]]\ntoken = "x"\n', None])
async def test_w8_a_bad_token_file_leaves_the_old_one_and_the_old_certificate(
    tmp_path: Path, content: str | None
) -> None:
    tokens, pair = tmp_path / "tokens.toml", _pair(tmp_path, "localhost")
    _write(tokens, "ada")
    with reloading("--tokens", str(tokens), *pair) as server:
        _pair(tmp_path, "other")
        tokens.unlink() if content is None else tokens.write_text(content)
        line = await server.hang_up(KEPT)
        assert "ERROR" in line
        assert str(tokens) in line
        async with _trusting("localhost", server, token="token of ada") as client:
            assert await client.flows.call("slow", "nap", 0.0) == "rested"


def _pair(folder: Path, name: str) -> tuple[str, ...]:
    """Put the certificate ``name`` where the server reads its own."""
    for part in ("cert", "key"):
        shutil.copyfile(TLS / f"{name}.{part}.pem", folder / f"{part}.pem")
    return ("--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem"))


def _trusting(name: str, server: Reloading, **options: Any) -> FlowStateClient:
    """A client that accepts this certificate alone."""
    credentials = grpc.ssl_channel_credentials((TLS / f"{name}.cert.pem").read_bytes())
    target = server.address.replace("127.0.0.1", "localhost")
    return FlowStateClient.connect(target, credentials=credentials, **options)


async def test_w8_a_certificate_is_read_anew(tmp_path: Path) -> None:
    with reloading(*_pair(tmp_path, "localhost")) as server:
        async with _trusting("localhost", server, user="u") as before:
            assert await before.flows.call("slow", "nap", 0.0) == "rested"
            _pair(tmp_path, "other")
            await server.hang_up(RELOADED)
            async with _trusting("other", server, user="u") as after:
                assert await after.flows.call("slow", "nap", 0.0) == "rested"
            assert await before.flows.call("slow", "nap", 0.0) == "rested", "its connection was cut"
            # A certificate without its key is no pair: the old stays.
            shutil.copyfile(TLS / "localhost.cert.pem", tmp_path / "cert.pem")
            assert "key.pem" in await server.hang_up(KEPT)
            async with _trusting("other", server, user="u") as after:
                assert await after.flows.call("slow", "nap", 0.0) == "rested"


async def test_w8_a_server_without_files_serves_on() -> None:
    with reloading() as server:
        await server.hang_up(RELOADED)
        async with FlowStateClient.connect(server.address, user="u") as client:
            assert await client.flows.call("slow", "nap", 0.0) == "rested"


def test_w8_on_a_terminal_it_drains_and_stops() -> None:
    terminal, stdin = os.openpty()
    command = with_default_signals(sys.executable, "-m", "flowstate_server", "serve", SLOW, *LOCALLY)
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            told(process, "listening")
            process.send_signal(signal.SIGHUP)
            told(process, "stopping")
            told(process, "stopped")
            assert process.wait(10) == 0
        finally:
            process.kill()
            os.close(terminal)
            os.close(stdin)
