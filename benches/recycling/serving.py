"""One server, started on a free port and ended with its whole tree, with its log kept."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import weigh
from comparison.environment import CERTIFICATE
from comparison.serving import NotServing, end, reserved_port, start
from recycling.scenarios import Scenario
from recycling.servers import APPS, Server, command_line

READY_WITHIN_SECONDS = 30.0
POLL_SECONDS = 0.002
LOG_TAIL_BYTES = 1500


@dataclass(frozen=True, slots=True)
class Running:
    """A server that has answered its first request."""

    process: subprocess.Popen[bytes]
    command: list[str]
    port: int
    start_seconds: float
    """From the spawn to the first answer."""
    log: Path
    fault: Path
    """The application does at its start what is written here."""

    @property
    def pid(self) -> int:
        """The supervisor's."""
        return self.process.pid

    def hang_up(self) -> None:
        """Tell it to replace its workers."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGHUP)

    def kill(self, worker: int) -> None:
        """Kill one of its workers, unless it has just ended."""
        if worker in weigh.process_tree(self.pid)[1:]:
            os.kill(worker, signal.SIGKILL)

    def shut_down(self) -> set[int]:
        """Return the pids of the workers whose lifespan shutdown ran."""
        text = self.log.read_text(errors="replace")
        return {int(pid) for pid in re.findall(r"lifespan shutdown of (\d+)", text)}

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-LOG_TAIL_BYTES:].rstrip()


@contextlib.contextmanager
def running(server: Server, scenario: Scenario) -> Iterator[Running]:
    """Run the server; it is ended with the block, and only its log stays until then."""
    with tempfile.TemporaryDirectory(prefix="lowmem-recycling-") as folder, reserved_port() as port:
        log, fault = Path(folder, "log"), Path(folder, "fault")
        variables = {
            "RECYCLING_IMPORT_SECONDS": str(scenario.import_seconds),
            "RECYCLING_FAULT": str(fault),
        }
        command = command_line(server, scenario, port)
        begin = time.monotonic()
        with log.open("wb") as output:
            process = start(command, APPS, variables, output)
        try:
            try:
                _wait_until_ready(process, port, scenario, begin + READY_WITHIN_SECONDS)
            except NotServing as error:
                raise NotServing(f"{error}; its log ends:\n{log.read_text()[-LOG_TAIL_BYTES:]}") from error
            yield Running(process, command, port, time.monotonic() - begin, log, fault)
        finally:
            end(process)


def _wait_until_ready(
    process: subprocess.Popen[bytes], port: int, scenario: Scenario, deadline: float
) -> None:
    while process.poll() is None:
        if time.monotonic() > deadline:
            raise NotServing(f"not ready within {READY_WITHIN_SECONDS:.0f} s")
        connection = _connection(port, scenario)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/", headers={"Connection": "close"})
                if connection.getresponse().status == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
        time.sleep(POLL_SECONDS)
    raise NotServing(f"exit code {process.returncode} before it was ready")


def _connection(port: int, scenario: Scenario) -> http.client.HTTPConnection:
    if not scenario.transport.is_encrypted:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=READY_WITHIN_SECONDS)
    context = ssl.create_default_context(cafile=CERTIFICATE)
    return http.client.HTTPSConnection("localhost", port, timeout=READY_WITHIN_SECONDS, context=context)
