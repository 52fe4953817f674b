"""Runs the clients in other languages against a live server: ``make test-polyglot``.

What a language needs and is not there is named. Without Node that is a failure where ``CI`` is set.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from flowstate_server.testing.server_process import server_process
from tests.polyglot.faults import faults

CHECKOUT = Path(__file__).parents[2]
EXAMPLES = CHECKOUT / "examples"
NODE = EXAMPLES / "node"
CPP = EXAMPLES / "cpp"
APP = "tests.polyglot.app:flowstate"
LOWEST_NODE = (20, 3)
TIME_LIMIT = 120.0


@dataclass(frozen=True)
class Language:
    name: str
    missing: Callable[[], str | None]
    """What it needs that is not there."""
    build: Callable[[], None]
    tests: tuple[str, ...]
    folder: Path
    required_in_ci: bool = False


def main() -> int:
    failed = [language.name for language in LANGUAGES if not passes(language)]
    return 1 if failed else 0


def passes(language: Language) -> bool:
    """Builds and tests it, if what it needs is there; whether all is well."""
    if missing := language.missing():
        tell(f"{language.name}: not run, there is no {missing}")
        return not (language.required_in_ci and os.environ.get("CI", "") not in ("", "0", "false"))
    began = time.monotonic()
    try:
        language.build()
        built = time.monotonic()
        code = asyncio.run(tested(language))
    except subprocess.CalledProcessError as error:
        tell(f"{language.name}: FAILED, {error}")
        return False
    times = f"built in {built - began:.0f} s, run in {time.monotonic() - built:.0f} s"
    tell(f"{language.name}: {'passed' if code == 0 else f'FAILED with {code}'}, {times}")
    return code == 0


async def tested(language: Language) -> int:
    """Runs its tests against a server of their own; the exit code."""
    with tempfile.TemporaryDirectory(prefix="flowstate-polyglot-") as folder:
        store = f"sqlite:///{folder}/polyglot.db"
        async with server_process(APP, store=store) as server, faults(server.target) as control:
            environment = os.environ | {"FLOWSTATE_SERVER": server.target, "FLOWSTATE_FAULTS": control}
            process = await asyncio.create_subprocess_exec(
                *language.tests,
                cwd=language.folder,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                async with asyncio.timeout(TIME_LIMIT):
                    await process.wait()
            except TimeoutError:
                tell(f"{language.name} took over {TIME_LIMIT:.0f} s")
            finally:
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)  # npm starts others
                    await process.wait()
            if process.returncode != 0:
                tell(f"The server's log:\n{server.log[-4000:]}")
            return process.returncode or 0


def node_missing() -> str | None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "Node.js with npm"
    version = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout
    if tuple(map(int, version.strip().removeprefix("v").split(".")[:2])) < LOWEST_NODE:
        return f"Node.js {'.'.join(map(str, LOWEST_NODE))} or newer ({version.strip()} is)"
    return None


def build_node() -> None:
    installed = NODE / "node_modules" / ".package-lock.json"
    if older(installed, [NODE / "package-lock.json"]):
        run("npm", "ci", "--no-audit", "--no-fund", folder=NODE)
    sources = [*CHECKOUT.glob("protos/flowstate/**/*.proto"), NODE / "buf.gen.yaml", installed]
    if older(NODE / "src" / "gen" / "flowstate" / "v1" / "types.ts", sources):
        run("npm", "run", "--silent", "generate", folder=NODE)
    run("npm", "run", "--silent", "build", folder=NODE)


def cpp_missing() -> str | None:
    for program in ("g++", "make", "pkg-config", "protoc", "grpc_cpp_plugin"):
        if shutil.which(program) is None:
            return program
    for library in ("grpc++", "protobuf"):
        if subprocess.run(["pkg-config", "--exists", library], check=False).returncode != 0:
            return f"library {library}"
    return None


def build_cpp() -> None:
    run("make", "--silent", "-j2", folder=CPP)


def older(made: Path, sources: Iterable[Path]) -> bool:
    return not made.exists() or any(source.stat().st_mtime > made.stat().st_mtime for source in sources)


def run(*command: str, folder: Path) -> None:
    # The variables of the make above are not for the make and the npm below.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdin=subprocess.DEVNULL)


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


LANGUAGES = (
    Language(
        "Node", node_missing, build_node, ("npm", "run", "--silent", "test:built"), NODE, required_in_ci=True
    ),
    Language("C++", cpp_missing, build_cpp, ("build/smoke",), CPP),
)

if __name__ == "__main__":
    sys.exit(main())
