"""Several applications as operators, systemd and the watch for stalled workers see them."""

import contextlib
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from harness import run
from harness.journal import until

SPINS = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    while scope["path"] == "/spin":
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": NAME.encode()})
"""


@pytest.fixture
def systemd(tmp_path: Path):
    """The socket that a service of Type=notify is given."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(40)
        yield listening


def told(systemd: socket.socket, until_told: str) -> str:
    """Everything that is told, up to this."""
    text, deadline = "", time.monotonic() + 40
    while until_told not in text:
        assert time.monotonic() < deadline, text
        text += systemd.recv(4096).decode() + "\n"
    return text


def test_systemd_hears_of_a_start_once_each_application_was_served_or_has_failed(
    serve_all, machine, systemd
) -> None:
    gate = machine.directory / "gate"
    os.mkfifo(gate)
    machine.module("slow", f"open({str(gate)!r}).read()\n{SPINS}")
    machine.module("bad", "raise RuntimeError('no')\n")
    rest = f"[apps.slow]\n{machine.table('slow')}[apps.bad]\n{machine.table('bad')}"
    env = {"NOTIFY_SOCKET": str(machine.directory / "notify")}
    started = serve_all(rest, "good", env=env)
    started.stderr.wait_for_line(r"\[bad\] It is stopped and answers 503", 60)
    systemd.settimeout(1)
    early = ""
    with pytest.raises(TimeoutError):
        while True:
            early += systemd.recv(4096).decode() + "\n"
    assert "READY" not in early and "STOPPING" not in early
    systemd.settimeout(40)
    gate.write_text("")
    assert f"MAINPID={started.pid}" in told(systemd, "READY=1")
    started.send_signal(signal.SIGTERM)
    told(systemd, "STOPPING=1")
    assert started.wait() == 0


def test_stopping_every_application_is_no_stop_of_the_server(serve_all, machine, systemd) -> None:
    started = serve_all("", "one", env={"NOTIFY_SOCKET": str(machine.directory / "notify")})
    told(systemd, "READY=1")
    assert "stopping one" in machine.ctl("stop", "one")
    until(lambda: machine.states() == {"one": "stopped"})
    assert "starting one" in machine.ctl("start", "one")
    until(lambda: machine.get("one").startswith("one "))
    started.send_signal(signal.SIGTERM)
    assert told(systemd, "STOPPING=1").count("STOPPING=1") == 1
    assert started.wait() == 0


def test_status_and_top_show_each_application_with_its_workers(serve_all, machine) -> None:
    started = serve_all("", "one", "two", more='share = "off"')
    pids = {name: machine.get(name).split()[-1] for name in ("one", "two")}
    shown = run("status", str(started.pid)).stdout
    for name, pid in pids.items():
        assert re.search(
            rf"^{name}  serving  unix socket .*{name}\.sock\n  {pid} +ready ", shown, re.MULTILINE
        ), shown
    top = run("top", "--once", "--delay", "0.2", str(started.pid))
    assert top.returncode == 0, top
    for name, pid in pids.items():
        assert f"{name}  serving" in top.stdout
        assert re.search(rf"^ +\d +{pid} ready ", top.stdout, re.MULTILINE), top.stdout


def test_health_names_the_application_that_is_not_served_unless_it_was_stopped(serve_all, machine) -> None:
    machine.module("bad", "raise RuntimeError('no')\n")
    started = serve_all(f"[apps.bad]\n{machine.table('bad')}", "one", "two")
    started.stderr.wait_for_line(r"\[bad\] It is stopped and answers 503", 60)
    ill = run("health", str(started.pid))
    assert ill.returncode == 3 and "bad has no worker that is ready" in ill.stderr
    machine.ctl("stop", "bad")
    until(lambda: machine.states()["bad"] == "stopped")
    # One whose only worker is just replaced, for the template that both share, has none that is ready.
    until(lambda: run("health", str(started.pid)).returncode == 0)
    machine.ctl("stop", "one")
    until(lambda: machine.states()["one"] == "stopped")
    until(lambda: run("health", str(started.pid)).returncode == 0)


def test_a_watch_for_stalls_that_an_included_file_asks_for_later_is_kept(serve_all, machine) -> None:
    machine.module("one", SPINS)
    machine.include("one", 'share = "off"')
    started = serve_all('include = ["apps/*.toml"]', "main")
    started.stderr.wait_for_line(r"\[one\] Application startup complete", 60)
    machine.include("one", 'share = "off"\ntimeout-worker-stall = 0.5')
    started.stderr.wait_for_line(r"\[one\] Its settings have changed", 60)
    started.stderr.wait_for_line(r"\[one\] Recycled worker", 60)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(machine.socket("one"))
        client.send(b"GET /spin HTTP/1.1\r\nhost: a\r\n\r\n")
        started.stderr.wait_for_line(r"\[one\] Worker \(pid \d+\) has been stalled for", 60)

        def is_ill() -> bool:
            ill = run("health", str(started.pid))
            return ill.returncode == 3 and "stalled: worker" in ill.stderr

        # On a busy machine another may have been stalled for a moment.
        until(is_ill)
        for worker in started.worker_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)


def test_hours_and_sleep_of_an_included_file_hold_from_its_change_on(serve_all, machine) -> None:
    machine.module("one")
    machine.include("one", 'sleep-after = "1s"\nawake = "Mon-Sun 00:00-24:00"')
    started = serve_all('include = ["apps/*.toml"]', "main")
    started.stderr.wait_for_line(r"\[one\] Application startup complete", 60)
    machine.include("one", 'sleep-after = "1s"')
    started.stderr.wait_for_line(r"\[one\] Its settings have changed", 60)
    started.stderr.wait_for_line(r"\[one\] Asleep", 60)


def test_preload_that_an_included_file_asks_for_later_is_done(serve_all, machine) -> None:
    machine.module("one")
    machine.include("one")
    started = serve_all('include = ["apps/*.toml"]', "main")
    started.stderr.wait_for_line(r"\[one\] Application startup complete", 60)
    machine.include("one", "preload = true")
    started.stderr.wait_for_line(r"\[one\] Imported the application for all workers", 60)
    started.stderr.wait_for_line(r"\[one\] Recycled worker", 60)
    assert machine.get("one").startswith("one ")
    assert started.terminate() == 0
