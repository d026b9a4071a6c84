"""`lowmem-serve exec -- PROGRAM`: a Python program that calls `uvicorn.run` comes up under this server.

The program is run up to that call, which tells the application and its settings; then this process becomes the server.
An application that is named is imported by the workers. One that is an object is made by the program itself, which each
worker runs once more, up to the same call. A program that starts the command `uvicorn` is served likewise: its options
are ours.
"""

import contextlib
import errno
import inspect
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from lowmem_serve import options
from lowmem_serve.__main__ import become

PROGRAM = "LOWMEM_SERVE_PROGRAM"
"""The variable by which workers know the program's arguments."""

HERE = "lowmem_serve.executing:application"

UNHEARD = frozenset(("log_config", "ssl_context_factory", "h11_max_incomplete_event_size", "timeout_notify"))
"""Settings that no flag can carry, or that are about Uvicorn's own implementation."""


class Called(BaseException):
    """The program has called `uvicorn.run`. No `except Exception` of the program's may stop it."""

    def __init__(self, app: Any, settings: dict[str, Any]) -> None:
        super().__init__("uvicorn.run")
        self.app = app
        self.settings = settings


class Started(BaseException):
    """The program has started the command `uvicorn`, with these arguments."""

    def __init__(self, arguments: list[str], directory: Any, variables: Any) -> None:
        super().__init__("uvicorn")
        self.arguments = arguments
        self.directory = directory
        self.variables = variables


def start(flags: list[str], command: list[str]) -> NoReturn:
    """Becomes the server of what the program would serve; `flags` win over what it says."""
    sys.addaudithook(notice_uvicorn)
    try:
        called = until_called(command)
    except Started as started:
        if started.directory:
            os.chdir(started.directory)
        variables = {
            os.fsdecode(name): os.fsdecode(value) for name, value in (started.variables or {}).items()
        }
        become(started.arguments + flags, variables)
    settings = {name: value for name, value in called.settings.items() if name not in UNHEARD}
    variables = {}
    if isinstance(called.app, str):
        app = called.app
        settings.setdefault("app_dir", beside(app))
    else:
        app = HERE
        settings = {name: value for name, value in settings.items() if name not in ("reload", "factory")}
        settings["factory"] = True
        variables[PROGRAM] = json.dumps({"command": command, "path": sys.path[0]})
    arguments, more = options.command_line(app, settings)
    become(arguments + flags, {**variables, **more})


def application() -> Any:
    """The application of the program, which is run once more."""
    told = json.loads(os.environ[PROGRAM])
    with taken_places_bound():
        return until_called(told["command"]).app


@contextlib.contextmanager
def taken_places_bound() -> Iterator[None]:
    """Lets a program find its port free: some look before they call, and the supervisor listens there already."""

    def bind(self: socket.socket, address: Any) -> None:
        try:
            super(socket.socket, self).bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise

    socket.socket.bind = bind  # type: ignore[method-assign]
    try:
        yield
    finally:
        del socket.socket.bind


def notice_uvicorn(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook that raises Started where a process would become Uvicorn."""
    if event == "subprocess.Popen":
        _, words, directory, variables = arguments
    elif event in ("os.exec", "os.posix_spawn"):
        _, words, variables = arguments
        directory = None
    else:
        return
    if not isinstance(words, str | bytes) and (behind := behind_uvicorn([*map(os.fsdecode, words)])):
        raise Started(behind, directory, variables)


def behind_uvicorn(words: list[str]) -> list[str] | None:
    """The arguments of a command that is `uvicorn` or `python -m uvicorn`."""
    first, rest = os.path.basename(words[0]), words[1:]
    if first == "uvicorn":
        return rest
    if first.startswith("python"):
        while rest and rest[0].startswith("-") and rest[0] != "-m":
            rest = rest[1:]
        if rest[:2] == ["-m", "uvicorn"]:
            return rest[2:]
    return None


def until_called(command: list[str]) -> Called:
    """Runs the program as Python would, until it calls `uvicorn.run`. Raises SystemExit where it never does."""
    import runpy

    kind, name, arguments = what(command)
    stand_in()
    sys.argv = [name, *arguments]
    try:
        if kind == "module":
            sys.path.insert(0, os.getcwd())
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, os.path.dirname(os.path.abspath(name)))
            runpy.run_path(name, run_name="__main__")
    except Called as called:
        return called
    sys.exit(
        f"error: {' '.join(command)} has ended and not called uvicorn.run. What can be run here are programs that do; "
        "what they serve can also be named: lowmem-serve module:attribute"
    )


def what(command: list[str]) -> tuple[str, str, list[str]]:
    """Whether a command is a module or a script, its name, and its arguments."""
    first, *rest = command
    if os.path.basename(first).startswith("python"):
        while rest and rest[0].startswith("-") and rest[0] != "-m":
            rest = rest[1:]
        if rest[:1] == ["-m"] and len(rest) > 1:
            return "module", rest[1], rest[2:]
        if rest:
            return "script", rest[0], rest[1:]
        sys.exit(f"error: {' '.join(command)} names no program")
    return "script", script(first), rest


def script(name: str) -> str:
    """The Python script that a name stands for: a path, one of this environment's commands, or one on PATH."""
    beside_python = Path(sys.executable).parent / name
    found = name if os.path.sep in name else None
    found = found or (str(beside_python) if beside_python.is_file() else shutil.which(name))
    if not found or not os.path.isfile(found):
        here = f"; for the script here: lowmem-serve exec -- python {name}" if os.path.isfile(name) else ""
        sys.exit(
            f"error: there is no program {name} in the environment of {sys.executable}, nor on PATH{here}"
        )
    with open(found, "rb") as file:
        first = file.readline(256)
    if not found.endswith(".py") and not (first.startswith(b"#!") and b"python" in first):
        # A wrapper of a shell's, as some installers write it, would have to be read.
        sys.exit(f"error: {found} is no Python program")
    return found


def beside(app: str) -> str | None:
    """The directory of the program, if the application's module is there."""
    top = app.partition(":")[0].partition(".")[0]
    directory = Path(sys.path[0])
    is_there = (directory / f"{top}.py").is_file() or (directory / top).is_dir()
    return str(directory) if is_there else None


def stand_in() -> None:
    """Has the ways to start Uvicorn tell what they were called with."""
    try:
        import uvicorn
        import uvicorn.main
    except ImportError:
        sys.exit(f"error: Uvicorn is not installed for {sys.executable}, so no program can call it")

    def run(app: Any, **settings: Any) -> NoReturn:
        raise Called(app, settings)

    def run_server(self: Any, sockets: Any = None) -> NoReturn:
        raise Called(self.config.app, said(uvicorn.Config, self.config))

    async def serve(self: Any, sockets: Any = None) -> NoReturn:
        run_server(self)

    uvicorn.run = uvicorn.main.run = run  # type: ignore[assignment]
    uvicorn.Server.run = run_server  # type: ignore[method-assign, assignment]
    uvicorn.Server.serve = serve  # type: ignore[method-assign, assignment]


def said(kind: type, config: Any) -> dict[str, Any]:
    """The settings of a configuration that differ from the defaults."""
    settings = {}
    for name, parameter in inspect.signature(kind.__init__).parameters.items():
        value = getattr(config, name, parameter.default)
        is_plain = isinstance(value, str | int | float | bool)
        if name not in ("self", "app") and is_plain and value != parameter.default:
            settings[name] = value
    return settings
