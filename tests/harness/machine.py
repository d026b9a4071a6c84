"""A directory with applications of a settings file, and the server that serves them."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.raw_client import RawClient
from harness.server import REPOSITORY, Server, run

HELLO = """
import os

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = f"{NAME} {os.environ.get('MODE')} {os.getcwd()} {os.getpid()}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""


class Machine:
    """A directory with applications, and the server that serves them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "fleet.toml"
        self.server = 0
        """The supervisor's pid."""
        (directory / "apps").mkdir()

    def module(self, name: str, text: str = HELLO) -> Path:
        own = self.directory / name
        own.mkdir(exist_ok=True)
        (own / f"{name}_app.py").write_text(f"NAME = {name!r}\n{text}")
        return own

    def table(self, name: str, more: str = "") -> str:
        return (
            f'app = "{name}_app:app"\ndirectory = "{self.directory / name}"\n'
            f'bind = ["unix:{self.socket(name)}"]\n{more}\n'
        )

    def include(self, name: str, more: str = "") -> None:
        written = self.directory / f"{name}.new"
        written.write_text(self.table(name, more))
        written.rename(self.directory / "apps" / f"{name}.toml")

    def socket(self, name: str) -> str:
        return str(self.directory / f"{name}.sock")

    def get(self, name: str, timeout: float = 40, path: str = "/") -> str:
        with RawClient(self.socket(name), timeout) as client:
            response = client.get(path)
        return f"{response.status} {response.text}" if response.status != 200 else response.text

    def ctl(self, *arguments: str) -> str:
        finished = run("apps", *arguments, str(self.server))
        return finished.stdout + finished.stderr

    def states(self) -> dict[str, str]:
        finished = run("apps", "--json", str(self.server))
        return {own["name"]: own["state"] for own in json.loads(finished.stdout)}

    def serve(
        self,
        start: Callable[..., Server],
        text: str = "",
        *names: str,
        more: str = "",
        wait: bool = True,
        env: dict[str, str] | None = None,
    ) -> Server:
        """Serves what `text` says, and one application with `more` settings for each name."""
        for name in names:
            self.module(name)
        tables = "".join(f"[apps.{name}]\n{self.table(name, more)}" for name in names)
        self.file.write_text(text + "\n" + tables)
        started = start(
            "--config",
            str(self.file),
            cwd=self.directory,
            places=False,
            env={"RUNTIME_DIRECTORY": str(self.directory), **(env or {})},
            wait=False,
        )
        self.server = started.pid
        if wait:
            for name in names:
                started.stderr.wait_for_line(rf"\[{name}\] Application startup complete", 60)
        return started


def python_for(user: str) -> str:
    """A Python that this user may start, as ours in /root may not be."""
    for python, prefix in ((sys.executable, sys.base_prefix), ("/usr/bin/python3", "/usr")):
        reads = f"import os; os.listdir({prefix!r}); os.listdir({str(REPOSITORY)!r})"
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([python, "-c", reads], user=user, extra_groups=[], check=True)
            return python
    pytest.skip(f"there is no Python that {user} may start")
