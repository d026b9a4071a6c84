"""The notifications to systemd (`Type=notify`), and `lowmem-serve health` and `top`."""

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from harness import run
from harness.journal import until


@pytest.fixture
def systemd(tmp_path: Path):
    """The socket that a service of Type=notify is given."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        yield listening


def heard(systemd: socket.socket, wanted: str) -> dict[str, str]:
    """The first message with this assignment; others may come before it."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        lines = systemd.recv(4096).decode().splitlines()
        told = dict(line.split("=", 1) for line in lines)
        if wanted.split("=")[0] in told and told[wanted.split("=")[0]] == wanted.split("=")[1]:
            return told
    raise AssertionError(f"{wanted} was not told")


def test_systemd_hears_of_start_reload_and_stop(server, systemd, tmp_path: Path) -> None:
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    started = server("hello:app", env=env)
    told = heard(systemd, "READY=1")
    assert told["MAINPID"] == str(started.pid)
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    started.send_signal(signal.SIGHUP)
    told = heard(systemd, "RELOADING=1")
    assert int(told["MONOTONIC_USEC"]) >= before
    heard(systemd, "READY=1")
    started.send_signal(signal.SIGTERM)
    heard(systemd, "STOPPING=1")
    assert started.wait() == 0


def test_the_status_has_memory_and_workers(server, systemd, tmp_path: Path) -> None:
    server("hello:app", env={"NOTIFY_SOCKET": str(tmp_path / "notify")}, wait=False)
    while not (found := re.search(r"^STATUS=(.*)$", systemd.recv(4096).decode(), re.MULTILINE)):
        pass
    assert re.fullmatch(r"\d+\.\d MB, \d workers?", found[1])


def test_the_watchdog_is_fed_while_no_worker_is_stalled(server, systemd, tmp_path: Path) -> None:
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
    started = server("hanging:app", "--timeout-worker-stall", "1.5", env=env)
    for _ in range(3):
        heard(systemd, "WATCHDOG=1")
    with started.connect() as client:
        client.send(b"GET /spin HTTP/1.1\r\nhost: a\r\n\r\n")
        # The worker has not only been kept from running by a busy machine.
        started.stderr.wait_for_line("in spin")
        systemd.settimeout(0)
        with pytest.raises(BlockingIOError):
            while True:
                systemd.recv(4096)
        systemd.settimeout(2)
        with pytest.raises(TimeoutError):
            heard(systemd, "WATCHDOG=1")
        os.kill(started.worker_pids()[0], signal.SIGKILL)


def test_health_asks_the_supervisor_whatever_is_listened_on(server, tmp_path: Path) -> None:
    for flags in ((), ("--uds", str(tmp_path / "app.sock"))):
        started = server("hello:app", *flags)
        # The worker's line that it runs comes before the supervisor has heard of it.
        until(lambda pid=str(started.pid): run("health", pid).returncode == 0)
        assert run("health", str(started.pid)).stdout == "healthy\n"
        assert started.terminate() == 0
        gone = run("health", str(started.pid))
        assert gone.returncode == 3 and "no server" in gone.stderr


def test_health_is_none_before_the_application_is_ready(server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (tmp_path / "slow.py").write_text(f"open({str(gate)!r}).read()\nfrom hello import app\n")
    apps = str(Path(__file__).parent / "apps")
    started = server("slow:app", "--app-dir", str(tmp_path), env={"PYTHONPATH": apps}, wait=False)
    started.stderr.wait_for_line("Started server process")
    waiting = run("health", str(started.pid))
    assert waiting.returncode == 3 and "no worker that is ready" in waiting.stderr
    gate.write_text("")
    started.wait_until_running()
    until(lambda: run("health", str(started.pid)).returncode == 0)


def test_top_shows_a_line_for_each_worker(server) -> None:
    started = server("hello:app", "--workers", "2", "--status-bind", "127.0.0.1:0")
    started.stderr.wait_for_line("Application startup complete", times=2)
    for _ in range(5):
        started.get("/")

    def top() -> str:
        shown = run("top", "--once", "--delay", "0.2", str(started.pid))
        assert shown.returncode == 0, shown
        return shown.stdout

    # A response is read before it is counted.
    until(lambda: "requests 5" in top())
    shown = top()
    assert "hello:app  serving" in shown and "requests 5" in shown
    for worker in started.worker_pids():
        assert re.search(rf"^ +\d +{worker} ready ", shown, re.MULTILINE)


def test_top_leaves_the_terminal_as_it_was(server) -> None:
    import pty
    import subprocess
    import termios

    from harness import command_line

    started = server("hello:app")
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(
        [*command_line(), "top", str(started.pid)], stdin=theirs, stdout=theirs, stderr=theirs
    )
    shown = b""
    while b"q: quit" not in shown or b"hello:app" not in shown:
        shown += os.read(ours, 65536)
    os.write(ours, b"q")
    assert process.wait(20) == 0
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)


def test_processes_have_the_name_that_was_chosen(server) -> None:
    started = server("hello:app", "--process-name", "shop")
    (worker,) = started.worker_pids()

    def title(pid: int) -> str:
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0")

    assert title(started.pid) == "shop: supervisor hello:app"
    assert title(worker) == "shop: worker hello:app"
    for wrong in ("", "x" * 65, "a\nb"):
        finished = run("hello:app", "--process-name", wrong)
        assert finished.returncode == 2 and "not a name of 1 to 64" in finished.stderr
