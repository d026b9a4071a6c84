"""The supervisor: small, without Python, and responsible for its workers to the end."""

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from harness import RawClient, Server, command_line, processes, run
from harness.journal import until

HEAVIEST_SUPERVISOR = 1.5 * 1024
"""KB of PSS: what the supervisor may weigh, everything in it."""

BACK_IN_SERVICE = 1.0
"""Seconds from the death of the only worker to the next answer."""

STARTS_TO_BE_BACK = 3
"""On a slow machine: no longer than so many starts of the server as it has been measured."""

LONG = "600"
"""Seconds of a time limit that is not what ends something within a test."""

PATIENT = ("--timeout-graceful-shutdown", LONG)


def memory(pid: int, field: str) -> int:
    """A field of /proc/PID/smaps_rollup, in KB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(rf"^{field}: +(\d+) kB$", rollup, re.MULTILINE)[1])


def begin(server: Server, target: str, line: str) -> RawClient:
    """A request that is being served, as the application has printed."""
    client = server.connect()
    client.send(f"GET {target} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
    server.stdout.wait_for_line(line)
    return client


def pid_of_worker(client: RawClient) -> int:
    return client.get("/").json()["pid"]


def connect_to_both_workers(server: Server, stack: ExitStack) -> tuple[RawClient, RawClient]:
    """A connection to each of two workers: while one is stopped, only the other can accept."""
    first = stack.enter_context(server.connect())
    stopped = pid_of_worker(first)
    os.kill(stopped, signal.SIGSTOP)
    try:
        second = stack.enter_context(server.connect())
        assert pid_of_worker(second) != stopped
    finally:
        os.kill(stopped, signal.SIGCONT)
    return first, second


class Load:
    """Clients that ask again and again, each request on a connection of its own."""

    def __init__(self, server: Server, clients: int) -> None:
        self.answered_at: list[float] = []
        self.failures = 0
        self._server = server
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                status = self._server.request("GET", "/", timeout=40).status
            except (OSError, EOFError):
                status = 0
            if status == 200:
                self.answered_at.append(time.monotonic())
            else:
                self.failures += 1

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *ignored: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


# --- what it is made of


@pytest.mark.skipif(not shutil.which("readelf"), reason="no readelf here")
def test_the_executable_names_no_libpython() -> None:
    dynamic = subprocess.check_output(["readelf", "-d", command_line()[0]], text=True)
    assert "NEEDED" in dynamic
    assert "libpython" not in dynamic


def test_the_supervisor_maps_no_libpython(server) -> None:
    started = server("hello:app")
    maps = Path(f"/proc/{started.pid}/maps").read_text()
    assert "lowmem-serve" in maps
    assert "python" not in maps


def test_the_supervisor_is_light_while_it_serves(server) -> None:
    started = server("hello:app")
    started.get("/")
    # It gives back what its start took once it has heard that its worker is ready, and nothing tells when.
    until(lambda: memory(started.pid, "Pss") <= HEAVIEST_SUPERVISOR)


# --- the workers


def test_each_of_two_workers_serves(server) -> None:
    started = server("mirror:app", "--workers", "2")
    started.stderr.wait_for_line("Application startup complete", times=2)
    with ExitStack() as stack:
        clients = connect_to_both_workers(started, stack)
        assert {pid_of_worker(client) for client in clients} == set(started.worker_pids())


def test_a_killed_worker_is_replaced_within_a_second_under_load(server) -> None:
    started = server("hello:app")
    took: list[float] = []
    soon = max(BACK_IN_SERVICE, STARTS_TO_BE_BACK * started.start_seconds)
    with Load(started, clients=4) as load:
        # More than once where the machine had something else to do meanwhile.
        while not took or (took[-1] >= soon and len(took) < 4):
            started.get("/")
            killed_at = time.monotonic()
            killed = started.kill_worker()
            assert started.request("GET", "/", timeout=40).status == 200
            took.append(time.monotonic() - killed_at)
            line = started.stderr.wait_for_line(rf"\[?{killed}\]?.*(SIGKILL|signal 9|killed)")
            assert not line.string.startswith("INFO")
    assert took[-1] < soon, took
    # Each client may have lost the one request that the worker was busy with.
    assert load.failures <= 4 * len(took)


def test_the_requests_of_another_worker_are_unaffected(server) -> None:
    started = server("mirror:app", "--workers", "2")
    started.stderr.wait_for_line("Application startup complete", times=2)
    with ExitStack() as stack:
        doomed, other = connect_to_both_workers(started, stack)
        killed, survivor = pid_of_worker(doomed), pid_of_worker(other)
        other.send(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
        started.stdout.wait_for_line("slow request began")
        os.kill(killed, signal.SIGKILL)
        assert other.read_response().json()["pid"] == survivor
        assert pid_of_worker(other) == survivor
    # Three startups: two workers and the one that replaces the dead.
    started.stderr.wait_for_line("Application startup complete", times=3)
    assert len(started.worker_pids()) == 2


def test_a_worker_that_exits_by_itself_is_replaced_and_its_code_told(server) -> None:
    started = server("mirror:app")
    with started.connect() as client:
        client.send(b"GET /crash HTTP/1.1\r\nhost: a\r\n\r\n")
        assert client.is_closed_by_server()
    assert started.get("/").status == 200
    started.stderr.wait_for_line(r"\b(code|status) 9\b")


def test_a_worker_that_is_terminated_ends_in_order_and_is_replaced(server) -> None:
    started = server("mirror:app")
    (worker,) = started.worker_pids()
    os.kill(worker, signal.SIGTERM)
    assert processes.wait_for_exit(worker, 40)
    assert started.get("/").json()["pid"] != worker
    started.stdout.wait_for_line("lifespan shutdown ran")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_worker_outlives_a_killed_supervisor(server, workers: str) -> None:
    started = server("hello:app", "--workers", workers)
    # The running line is written when one of them is ready.
    started.stderr.wait_for_line("Application startup complete", times=int(workers))
    orphans = started.worker_pids()
    assert len(orphans) == int(workers)
    started.send_signal(signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL
    assert all(processes.wait_for_exit(pid, 20) for pid in orphans)


# --- crashes


def test_a_worker_that_dies_before_it_is_ready_ends_the_server(tmp_path: Path) -> None:
    (tmp_path / "dies.py").write_text("import os\nos._exit(9)\n")
    ended = run("dies:app", "--port", "0", cwd=tmp_path)
    assert ended.returncode == 3
    assert "ERROR" in ended.stderr


def kill_a_worker(server: Server, target: str) -> None:
    with server.connect() as client:
        client.send(f"GET {target} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        with suppress(OSError):
            assert client.read_until_close() == b""


POISON = """
import os

async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/poison":
        os._exit(9)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})
"""


@pytest.mark.parametrize("workers", ["1", "4"])
def test_requests_that_kill_their_worker_never_end_the_server(server, tmp_path: Path, workers: str) -> None:
    (tmp_path / "poison.py").write_text(POISON)
    started = server("poison:app", "--workers", workers, cwd=tmp_path)
    for times in range(1, 11):
        kill_a_worker(started, "/poison")
        started.stderr.wait_for_line("exited with code 9", times=times)
    assert started.get("/").body == b"served"


STARTS_ONCE = """
import os, pathlib

if pathlib.Path("started").exists():
    os._exit(9)
pathlib.Path("started").touch()

async def app(scope, receive, send):
    assert scope["type"] == "http"
    os._exit(9)
"""


# The pauses between the attempts grow.
def test_starts_that_fail_one_after_the_other_end_with_a_verdict(server, tmp_path: Path) -> None:
    (tmp_path / "once.py").write_text(STARTS_ONCE)
    started = server("once:app", cwd=tmp_path)
    kill_a_worker(started, "/")
    assert started.wait(120) == 3
    last = started.stderr.wait_for_end().rstrip().splitlines()[-1]
    assert last.startswith("ERROR:")
    assert "8 starts in a row failed" in last


# --- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_request_in_flight_is_completed_before_the_end(
    server, number: signal.Signals, workers: str
) -> None:
    started = server("mirror:app", "--workers", workers)
    with begin(started, "/slow", "slow request began") as client:
        started.send_signal(number)
        assert client.read_response().status == 200
        assert client.is_closed_by_server()
    assert started.wait() == 0
    assert "lifespan shutdown ran" in started.stdout.wait_for_end()


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"])
def test_a_connection_without_a_request_does_not_delay_the_end(server, sent: bytes) -> None:
    """It may be fresh, in the middle of a head, or kept alive after its answer."""
    # So long would an end take that waits for one of them.
    flags = (*PATIENT, "--timeout-keep-alive", LONG, "--timeout-header-read", LONG)
    started = server("mirror:app", *flags)
    with started.connect() as client:
        client.send(sent)
        if sent.endswith(b"\r\n\r\n"):
            client.read_response()
        # The answer to another shows that the worker has seen the first.
        started.get("/")
        assert started.terminate() == 0
        assert client.is_closed_by_server()


def test_ctrl_c_twice_waits_for_nothing_and_leaves_lifespan_shutdown_out(server) -> None:
    started = server("mirror:app", *PATIENT)
    with begin(started, "/forever", "endless request began"):
        started.send_signal(signal.SIGINT)
        started.stderr.wait_for_line(r"Waiting for connections to close\. \(CTRL\+C to force quit\)")
        assert started.interrupt_again() == 0
    assert "lifespan shutdown ran" not in started.stdout.wait_for_end()
    output = started.stderr.wait_for_end()
    assert "Waiting for application shutdown." not in output
    assert re.search(r"Finished server process \[\d+\]", output)


def test_sigterm_and_ctrl_c_are_as_ctrl_c_twice(server) -> None:
    started = server("mirror:app", *PATIENT)
    with begin(started, "/forever", "endless request began"):
        started.send_signal(signal.SIGTERM)
        started.stderr.wait_for_line("Waiting for connections to close")
        assert started.interrupt_again() == 0
    assert "lifespan shutdown ran" not in started.stdout.wait_for_end()


def test_sigterm_twice_is_as_once(server) -> None:
    started = server("mirror:app", "--timeout-graceful-shutdown", "2")
    with begin(started, "/forever", "endless request began"):
        began = time.monotonic()
        started.send_signal(signal.SIGTERM)
        started.stderr.wait_for_line("Waiting for connections to close")
        assert started.terminate() == 0
        assert time.monotonic() - began >= 1.4
    assert "lifespan shutdown ran" in started.stdout.wait_for_end()


def test_ctrl_c_twice_ends_a_lifespan_shutdown_that_hangs(server, tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text(
        "import asyncio\n"
        "async def app(scope, receive, send):\n"
        "    while True:\n"
        "        if (await receive())['type'] == 'lifespan.shutdown':\n"
        "            await asyncio.sleep(3600)\n"
        "        await send({'type': 'lifespan.startup.complete'})\n"
    )
    started = server("hanging:app", *PATIENT, cwd=tmp_path)
    started.send_signal(signal.SIGINT)
    started.stderr.wait_for_line("Waiting for application shutdown")
    assert started.interrupt_again() == 0
    output = started.stderr.wait_for_end()
    assert "killing it" not in output
    assert re.search(r"Finished server process \[\d+\]", output)


def test_the_grace_period_ends_what_does_not_end_by_itself(server) -> None:
    started = server("mirror:app", "--timeout-graceful-shutdown", "1")
    with begin(started, "/forever", "endless request began"):
        began = time.monotonic()
        assert started.terminate() == 0
        assert time.monotonic() - began >= 0.7
    assert "lifespan shutdown ran" in started.stdout.wait_for_end()


@pytest.fixture
def importing(tmp_path: Path) -> Iterator[Server]:
    """A server whose worker hears nothing: its application is still being imported."""
    (tmp_path / "slow.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(3600)\n")
    with Server("slow:app", cwd=tmp_path, wait=False) as started:
        started.stdout.wait_for_line("importing")
        yield started


def test_a_stop_before_the_workers_are_ready_is_clean(importing: Server) -> None:
    assert importing.terminate() == 0


def test_a_second_signal_ends_at_once_a_worker_that_hears_nothing(importing: Server) -> None:
    # Two different ones, since two of a kind may arrive as one.
    importing.send_signal(signal.SIGTERM)
    assert importing.interrupt_again() == 0
    # Not the line of one that was given its time.
    importing.stderr.wait_for_line("was not ready yet; killing it")


# --- as PID 1


def can_unshare() -> bool:
    unshare = shutil.which("unshare")
    if os.geteuid() != 0 or not unshare:
        return False
    tried = subprocess.run([unshare, "--pid", "--fork", "--mount-proc", "true"], capture_output=True)
    return tried.returncode == 0


@pytest.mark.skipif("not can_unshare()", reason="needs root and PID namespaces")
def test_as_pid_1_it_reaps_orphans_and_stops_with_0(server) -> None:
    contained = ["unshare", "--pid", "--fork", "--mount-proc", *command_line()]
    started = server("mirror:app", command=contained)
    (pid_1,) = processes.children(started.pid)
    (worker,) = processes.children(pid_1)
    started.get("/orphan")
    orphans = set(processes.children(pid_1)) - {worker}
    assert orphans, "the orphan did not come to PID 1"
    for pid in orphans:
        os.kill(pid, signal.SIGKILL)
    assert all(processes.is_reaped(pid, 20) for pid in orphans)
    os.kill(pid_1, signal.SIGTERM)
    assert started.wait() == 0
    assert "lifespan shutdown ran" in started.stdout.wait_for_end()
