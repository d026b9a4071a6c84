"""The server as its users have it: a command that is started, watched, and stopped."""

import contextlib
import os
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from harness import processes
from harness.connection import PATIENCE
from harness.lines import Lines
from harness.raw_client import Headers, RawClient, Response

REPOSITORY = Path(__file__).resolve().parents[2]
APPS = REPOSITORY / "tests" / "apps"

# The server under test may have been built far from this tree.
PACKAGE = {"LOWMEM_SERVE_PACKAGE": str(REPOSITORY / "python" / "lowmem_serve")}

# How long a slow machine may take before it is taken for a hang.
START_TIMEOUT = 90
STOP_TIMEOUT = 60
# The server takes a second Ctrl-C for the first one passed on by a wrapper for 0.2 s.
SECOND_INTERRUPT = 0.25
RUNNING_ON = r"running on (?:https?://(?P<host>\[[^\]]+\]|[^\s:\"]+):(?P<port>\d+)|(?:unix )?socket (?P<path>[^\s\"]+))"

OWN_VARIABLES = ("LOWMEM_", "UVICORN_", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "VIRTUAL_ENV", "PYTHON")


def command_line() -> list[str]:
    """The server under test: LOWMEM_SERVE_BIN, else this tree's build, else the one on PATH."""
    if chosen := os.environ.get("LOWMEM_SERVE_BIN"):
        return shlex.split(chosen)
    built = REPOSITORY / "target" / "release" / "lowmem-serve"
    found = str(built) if built.exists() else shutil.which("lowmem-serve")
    assert found, f"no server to test: neither {built}, nor lowmem-serve on PATH, nor LOWMEM_SERVE_BIN"
    return [found]


def environment(changes: Mapping[str, str | None] | None) -> dict[str, str]:
    """This process's environment without what would steer the server, but for `changes` (None removes)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)}
    merged = {**kept, "LOWMEM_PYTHON": sys.executable, **PACKAGE, **(changes or {})}
    return {name: value for name, value in merged.items() if value is not None}


class Server:
    """A running server. `pid` is the supervisor's.

    It serves `app` from `cwd` on a free port of 127.0.0.1, in the Python that runs the tests,
    unless `flags` or `env` say otherwise, or `places` is false: then no flag says where to listen.
    """

    live: ClassVar[list["Server"]] = []

    def __init__(
        self,
        app: str,
        *flags: str,
        env: Mapping[str, str | None] | None = None,
        cwd: Path = APPS,
        python: str | None = None,
        command: Sequence[str] | None = None,
        pass_fds: Sequence[int] = (),
        wait: bool = True,
        places: bool = True,
    ) -> None:
        flags = flags if python is None else ("--python", python, *flags)
        flags = (
            flags
            if {"--port", "--uds", "--fd", "--bind"} & set(flags) or not places
            else ("--port", "0", *flags)
        )
        self.arguments = [*(command or command_line()), app, *flags]
        self.start_seconds = 0.0
        """From its spawn to its being ready, where that was waited for."""
        self._spawned = time.monotonic()
        # A session of its own: what it leaves behind is found by it, and Ctrl-C stays with pytest.
        self._process = subprocess.Popen(
            self.arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environment(env),
            pass_fds=pass_fds,
            start_new_session=True,
        )
        assert self._process.stdout and self._process.stderr
        self.pid = self._process.pid
        self.stdout = Lines(self._process.stdout)
        self.stderr = Lines(self._process.stderr)
        self.address: tuple[str, int] | str = ""
        Server.live.append(self)
        if wait:
            try:
                self.wait_until_running()
            except BaseException:
                self._end_all()
                raise

    def wait_until_running(self, timeout: float = START_TIMEOUT) -> None:
        found = self.stderr.wait_for_line(RUNNING_ON, timeout)
        self.start_seconds = time.monotonic() - self._spawned
        if found["path"]:
            self.address = found["path"]
        else:
            self.address = (found["host"].strip("[]"), int(found["port"]))

    @property
    def port(self) -> int:
        assert not isinstance(self.address, str), "the server listens on a unix socket"
        return self.address[1]

    @property
    def url(self) -> str:
        assert not isinstance(self.address, str), "the server listens on a unix socket"
        host, port = self.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def connect(self, timeout: float = PATIENCE, tls: ssl.SSLContext | None = None) -> RawClient:
        return RawClient(self.address, timeout, tls)

    def request(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | Headers | None = None,
        body: bytes | None = None,
        timeout: float = PATIENCE,
    ) -> Response:
        """One request on a connection of its own, which is kept alive until the answer is read."""
        with self.connect(timeout) as client:
            return client.request(method, target, headers, body)

    def get(self, target: str, headers: dict[str, str] | Headers | None = None) -> Response:
        return self.request("GET", target, headers)

    def post(
        self, target: str, body: bytes = b"", headers: dict[str, str] | Headers | None = None
    ) -> Response:
        return self.request("POST", target, headers, body)

    def worker_pids(self) -> list[int]:
        """Its children, a template among them."""
        return processes.children(self.pid)

    def only_worker(self, timeout: float = START_TIMEOUT) -> int:
        """Its only child, once that is alone: what compiles for a start, or a worker before this one, may still be
        about to end."""
        deadline = time.monotonic() + timeout
        while len(found := self.worker_pids()) != 1:
            assert time.monotonic() < deadline, f"{found} are the children:\n{self.output}"
            time.sleep(0.01)
        return found[0]

    def kill_worker(self) -> int:
        """SIGKILL to the oldest worker; its pid, once it is gone."""
        worker = self.worker_pids()[0]
        os.kill(worker, signal.SIGKILL)
        assert processes.wait_for_exit(worker, timeout=20)
        return worker

    def send_signal(self, number: int) -> None:
        """A signal to the supervisor alone."""
        self._process.send_signal(number)

    def wait(self, timeout: float = STOP_TIMEOUT) -> int:
        """The exit code, once the supervisor has ended; a signal's number, negative, if one ended it."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout} s:\n{self.output}") from None

    def terminate(self, timeout: float = STOP_TIMEOUT) -> int:
        self.send_signal(signal.SIGTERM)
        return self.wait(timeout)

    def interrupt(self, timeout: float = STOP_TIMEOUT) -> int:
        self.send_signal(signal.SIGINT)
        return self.wait(timeout)

    def interrupt_again(self, timeout: float = STOP_TIMEOUT) -> int:
        """A second Ctrl-C. One that comes sooner counts as the first, which a wrapper has passed on."""
        time.sleep(SECOND_INTERRUPT)
        return self.interrupt(timeout)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def output(self) -> str:
        return f"$ {shlex.join(self.arguments)}\n{self.stderr.text}\n--- stdout\n{self.stdout.text}"

    def close(self) -> None:
        """Stops the server if it still runs, and insists that it took everything with it."""
        Server.live.remove(self)
        try:
            if self.is_running:
                self.terminate()
            left = self.left_behind()
            assert not left, f"processes {left} outlived the supervisor:\n{self.output}"
        finally:
            self._end_all()

    def left_behind(self, timeout: float = 20) -> list[int]:
        """Processes of an ended supervisor that do not end by themselves."""
        return [pid for pid in processes.in_session(self.pid) if not processes.wait_for_exit(pid, timeout)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, where: TracebackType | None) -> None:
        if error is None:
            self.close()
        else:
            # The first failure should be seen.
            self._end_all()

    def _end_all(self) -> None:
        if self in Server.live:
            Server.live.remove(self)
        for pid in [self.pid, *processes.in_session(self.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._process.wait()
        # The readers have closed their pipes: a test may count the descriptors of this process.
        for lines in (self.stdout, self.stderr):
            lines.has_ended(1)


@dataclass(frozen=True, slots=True)
class Finished:
    returncode: int
    stdout: str
    stderr: str


def run(
    *arguments: str,
    env: Mapping[str, str | None] | None = None,
    cwd: Path = APPS,
    command: Sequence[str] | None = None,
    timeout: float = 90,
) -> Finished:
    """The command, run to its own end: for what never comes to serve. Nothing may be left of it."""
    process = subprocess.Popen(
        [*(command or command_line()), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=environment(env),
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=timeout)
        left = [pid for pid in processes.in_session(process.pid) if not processes.wait_for_exit(pid, 20)]
        assert not left, f"processes {left} outlived the command:\n{stderr}"
        return Finished(process.returncode, stdout, stderr)
    except subprocess.TimeoutExpired as error:
        process.kill()
        _, stderr = process.communicate()
        raise AssertionError(f"{shlex.join(arguments)} did not end in {timeout} s:\n{stderr}") from error
    finally:
        for pid in processes.in_session(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
