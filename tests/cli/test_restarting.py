"""``flowstate serve --reload`` and ``--app-dir``."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flowstate_server.cli.python_files import PythonFiles
from flowstate_server.testing.waiting import until
from tests.cli.flowstate_command import completed, flowstate, started, told

APP = """
from flowstate_server.flows import Context, action, define_flow, handler

class Counted(BaseModel):
    count: int = 0

@handler(session_state=Counted)
async def hello(value: str, ctx: Context[Counted]) -> str:
    await ctx.session.inc_state(count=1)
    return f"{value}, {ctx.session.state.count}: ANSWER"

flow = define_flow("greeting", actions={"hello": action(block=hello)})
"""


def write(folder: Path, answer: str, *, broken: bool = False) -> None:
    text = "from pydantic import BaseModel\n" + APP.replace("ANSWER", answer)
    (folder / "greeting.py").write_text("def broken(\n" if broken else text)


def say(address: str, name: str) -> str:
    call = ("call", "greeting", "hello", json.dumps(name), "--session", "s", "--user", "ada")
    return str(json.loads(flowstate(*call, "--server", address).stdout))


@contextmanager
def reloading(folder: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The process that restarts, and what its first server says. It ends the server when it is killed."""
    serve = ("serve", "greeting:flow", "--reload", "--app-dir", str(folder), "--listen", "127.0.0.1:0")
    with started(*serve, "--store", f"sqlite:///{folder}/kept.db") as process:
        yield process, told(process, "listening")


def test_a_change_starts_it_again_and_the_store_stays(tmp_path: Path) -> None:
    write(tmp_path, "good morning")
    with reloading(tmp_path) as (process, first):
        assert process.stderr is not None
        assert say(first["address"], "Ada") == "Ada, 1: good morning"
        process.send_signal(signal.SIGHUP)
        assert "tokens and certificates were reloaded" in process.stderr.readline()
        write(tmp_path, "good evening")
        told(process, "stopping")
        told(process, "stopped")
        second = told(process, "listening")
        assert second["pid"] != first["pid"]
        assert say(second["address"], "Ada") == "Ada, 2: good evening"
        assert process.stderr.readline() == "flowstate: greeting.py changed; the server starts again\n"
        process.terminate()
        told(process, "stopping")
        told(process, "stopped")
        assert process.wait(10) == 0


def test_after_a_mistake_in_the_code_it_waits_for_the_next_change(tmp_path: Path) -> None:
    write(tmp_path, "", broken=True)
    serve = ("serve", "greeting:flow", "--reload", "--app-dir", str(tmp_path), "--listen", "127.0.0.1:0")
    with started(*serve) as process:
        assert process.stderr is not None
        assert "module greeting can't be loaded: SyntaxError" in process.stderr.readline()
        ended = "flowstate: the server has ended with exit code 2; a change of a file starts it again\n"
        assert process.stderr.readline() == ended
        write(tmp_path, "mended")
        assert say(told(process, "listening")["address"], "Ada") == "Ada, 1: mended"
        process.send_signal(signal.SIGINT)
        told(process, "stopping")
        assert process.wait(10) == 0


def test_files_that_the_server_has_not_imported_leave_it_alone(tmp_path: Path) -> None:
    write(tmp_path, "good morning")
    (tmp_path / "later.py").write_text("WORD = 'late'")
    (tmp_path / "client.py").write_text("")
    text = (tmp_path / "greeting.py").read_text()
    (tmp_path / "greeting.py").write_text(text.replace("    return", "    import later\n    return"))
    with reloading(tmp_path) as (process, first):
        assert process.stderr is not None
        (tmp_path / "client.py").write_text("print('other')")
        (tmp_path / "new.py").write_text("")
        assert say(first["address"], "Ada") == "Ada, 1: good morning"  # it imports one more
        (tmp_path / "later.py").write_text("WORD = 'later'")
        told(process, "stopping")
        told(process, "stopped")
        told(process, "listening")
        assert process.stderr.readline() == "flowstate: later.py changed; the server starts again\n"


def test_a_port_in_use_ends_it_since_no_change_of_a_file_frees_it(tmp_path: Path) -> None:
    write(tmp_path, "good morning")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        done = completed("serve", "greeting:flow", "--reload", "--app-dir", str(tmp_path), "--listen", listen)
    assert done.code == 3
    assert done.stderr.splitlines() == [
        f"flowstate: can't listen on {listen}: address already in use; "
        "--listen (FLOWSTATE_LISTEN) names another address"
    ]


async def test_the_server_does_not_outlive_what_restarts_it(tmp_path: Path) -> None:
    write(tmp_path, "bye")
    with reloading(tmp_path) as (process, listening):
        process.kill()
        process.wait(10)

        async def gone() -> bool:
            try:
                os.kill(listening["pid"], 0)
            except ProcessLookupError:
                return True
            return False

        await until(gone)


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_an_app_dir_that_is_no_folder_is_a_misuse(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    done = flowstate("serve", "greeting:flow", "--app-dir", str(tmp_path / name))
    assert (done.code, done.stdout) == (2, "")
    assert "--app-dir" in done.stderr


def test_what_is_missing_or_broken_there_is_named(tmp_path: Path) -> None:
    serve = ("serve", "greeting:flow", "--listen", "127.0.0.1:0", "--app-dir", str(tmp_path))
    missing = completed(*serve)
    assert (missing.code, f"there is no module greeting in {tmp_path} or" in missing.stderr) == (2, True)
    (tmp_path / "greeting.py").write_text("\nraise RuntimeError('not today')\n")
    broken = completed(*serve)
    assert (broken.code, "not today (greeting.py, line 2)" in broken.stderr) == (2, True)


def test_python_files_that_were_written_made_and_removed(tmp_path: Path) -> None:
    for name in (
        "kept.py",
        "written.py",
        "removed.py",
        "notes.txt",
        ".venv/lib.py",
        "env/pyvenv.cfg",
        "env/x.py",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    files = PythonFiles(tmp_path)
    assert files.changed() == []
    for name in ("written.py", "notes.txt", ".venv/lib.py", "env/x.py"):
        (tmp_path / name).write_text("other")
    (tmp_path / "removed.py").unlink()
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "made.py").touch()
    assert [str(path.relative_to(tmp_path)) for path in files.changed()] == [
        "package/made.py",
        "removed.py",
        "written.py",
    ]
    assert files.changed() == []
