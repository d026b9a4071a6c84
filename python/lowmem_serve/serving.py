"""`serve`: a server beside this program, for tests, notebooks and scripts."""

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from types import TracebackType
from typing import Self

START_TIMEOUT = 30.0
"""How long a server may take to be ready, in seconds: an application that loads a model may need more."""

KILL_AFTER = 5.0
"""How long the server may take to end beyond its own grace period, in seconds."""

GRACE = 8.0
"""The server's default for `timeout_graceful_shutdown`, in seconds."""

LINES_KEPT = 10_000
"""How much of the log is kept."""


class ServerFailed(RuntimeError):
    """The server did not become ready; the message ends with its log."""


class serve:
    """A server of `app`, named as `module:attribute`, on a free port of 127.0.0.1.

        with lowmem_serve.serve("main:app") as server:      # or: async with
            httpx.get(server.url + "/")

    Settings are those of `lowmem_serve.run`; `env` adds variables to this process's own, `cwd` is where the
    server starts, and `start_timeout` is how long it may take to be ready.
    """

    def __init__(
        self,
        app: object,
        *,
        env: dict[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        start_timeout: float = START_TIMEOUT,
        **settings: object,
    ) -> None:
        from lowmem_serve import options

        self._host = str(settings.pop("host", None) or "127.0.0.1")
        self._port = int(settings.pop("port", None) or 0)  # type: ignore[call-overload]
        self._scheme = "https" if settings.get("ssl_certfile") else "http"
        # Other places are the server's own affair.
        self._listens = not any(settings.get(name) is not None for name in ("uds", "fd", "binds"))
        self._arguments, self._variables = options.command_line(app, settings)
        self._variables |= env or {}
        self._cwd = cwd
        self._start_timeout = start_timeout
        self._grace = float(settings.get("timeout_graceful_shutdown") or GRACE)  # type: ignore[arg-type]
        self._grace += float(settings.get("drain_delay") or 0)  # type: ignore[arg-type]
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self.url = ""
        """Where it is, without a slash at its end; empty with `uds`, `fd` or `binds`."""

    @property
    def log(self) -> str:
        """The output of the server and the application so far, to stdout and stderr."""
        return "".join(list(self._lines))

    @property
    def pid(self) -> int:
        """The supervisor's process; 0 while there is none."""
        return self._process.pid if self._process else 0

    def start(self) -> Self:
        """Starts the server, and returns when it serves.

        Raises ServerFailed where it ends before, or is not ready in time.
        """
        if self._process:
            raise RuntimeError("this server has been started already")
        with tempfile.TemporaryDirectory(prefix="lowmem-serve-") as directory:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
                notices.bind(os.path.join(directory, "ready"))
                try:
                    self._spawn(notices.getsockname())
                    self._wait_until_ready(notices)
                except BaseException:
                    self.stop()
                    raise
        return self

    def stop(self) -> int | None:
        """Stops the server as SIGTERM does; its exit code, None if it was never started."""
        process = self._process
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(self._grace + KILL_AFTER)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader:
            # A process that the application has left behind may hold the pipe.
            self._reader.join(1)
        return process.returncode

    def _spawn(self, notify: str) -> None:
        from lowmem_serve.__main__ import executable_here

        arguments = list(self._arguments)
        variables = {**self._variables, "NOTIFY_SOCKET": notify}
        # The watchdog of a service that runs this program is not the server's.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WATCHDOG_")}
        listener = self._listen() if self._listens else None
        try:
            if listener:
                arguments.append(f"--fd={listener.fileno()}")
            self._process = subprocess.Popen(
                [str(executable_here()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                cwd=self._cwd,
                env={**inherited, "LOWMEM_PYTHON": sys.executable, **variables},
                pass_fds=[listener.fileno()] if listener else [],
            )
        finally:
            if listener:
                listener.close()
        self._reader = threading.Thread(target=self._read, daemon=True, name="lowmem-serve log")
        self._reader.start()

    def _listen(self) -> socket.socket:
        """Bound here, so that the address is known, and a client waits in the queue of the socket."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.create_server((self._host, self._port), family=family, backlog=2048)
        host, port = listener.getsockname()[:2]
        self.url = f"{self._scheme}://[{host}]:{port}" if ":" in host else f"{self._scheme}://{host}:{port}"
        return listener

    def _read(self) -> None:
        assert self._process and self._process.stdout
        with self._process.stdout as stream:
            self._lines.extend(stream)

    def _wait_until_ready(self, notices: socket.socket) -> None:
        assert self._process and self._reader
        until = time.monotonic() + self._start_timeout
        while time.monotonic() < until:
            # An end of the server makes no notice.
            if select.select([notices], [], [], 0.05)[0] and b"READY=1" in notices.recv(4096):
                return
            if (code := self._process.poll()) is not None:
                self._reader.join(1)
                raise ServerFailed(f"lowmem-serve ended with exit code {code} before it served:\n{self.log}")
        raise ServerFailed(f"lowmem-serve was not ready within {self._start_timeout:g} s:\n{self.log}")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        import asyncio

        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        import asyncio

        await asyncio.to_thread(self.stop)
