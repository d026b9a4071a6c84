"""--sleep-after: an application that is not used has no worker, and its clients notice nothing."""

import contextlib
import os
import re
import signal
import socket
import statistics
import subprocess
import time
from pathlib import Path

import pytest
from websockets.sync.client import connect

from harness import REPOSITORY, Server, processes, run
from harness.authority import Authority
from harness.journal import until

PATIENCE = 40
"""Seconds after which something is taken to hang."""

FLAGS = ("--sleep-after", "1s", "--timeout-keep-alive", "60")
REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.fixture
def sleepy(server, tmp_path: Path):
    """Starts the application; `fault` in `tmp_path` is what goes wrong at its next start."""

    def start(*flags: str, app: str = "sleeping:app") -> Server:
        env = {"SLEEPING_FAULT": str(tmp_path / "fault")}
        return server(app, *FLAGS, *flags, env=env)

    return start


def asleep(server: Server, times: int = 1) -> re.Match[str]:
    """Waits until it sleeps, which it has then done so many times: more often where the machine paused the
    test for the second after which it sleeps. The last line about it."""
    server.stderr.wait_for_line(r"Asleep \((.*)\)", PATIENCE, times=times)
    until(lambda: sleeps(server) > wakes(server) and server.worker_pids() == [])
    return server.stderr.matches(r"Asleep \((.*)\)")[-1]


def sleeps(server: Server) -> int:
    return len(server.stderr.matches(r"Asleep \("))


def wakes(server: Server) -> int:
    return len(server.stderr.matches(r"Awake \("))


def private_dirty(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"Private_Dirty:\s+(\d+) kB", rollup)[1]) * 1024  # type: ignore[index]


# --- asleep


def test_an_application_without_use_has_no_worker_and_the_next_request_starts_one(sleepy) -> None:
    server = sleepy()
    first = server.get("/").text
    asleep(server)
    woken = wakes(server)
    second = server.get("/").text
    assert first != second
    line = server.stderr.wait_for_line(r"Awake \(pid (\d+), \d+ ms, by a request\)", times=woken + 1)
    assert line[1] == second.split()[0]


def test_an_idle_connection_goes_on_with_the_next_worker(sleepy) -> None:
    server = sleepy()
    with server.connect() as one, server.connect() as other:
        before = one.request("GET", "/").text
        other.request("GET", "/")
        line = asleep(server)
        assert "2 connections kept" in line[1]
        assert "MB given back" in line[1]
        assert one.request("GET", "/").text != before
        server.stderr.wait_for_line(r"Awake \(.*, by a kept connection\)")
        asleep(server, times=2)
        assert other.request("GET", "/").status == 200


def test_what_is_sent_before_the_worker_is_there_arrives_whole(sleepy) -> None:
    server = sleepy()
    asleep(server)
    body = os.urandom(300_000)
    answer = server.post("/", body)
    assert answer.text.split()[1] == str(len(body))


def test_a_connection_that_sends_nothing_wakes_nothing(sleepy) -> None:
    server = sleepy()
    asleep(server)
    woken = wakes(server)
    address = server.address
    scan = [socket.create_connection(address) for _ in range(100)]
    for each in scan[:50]:
        each.close()
    time.sleep(0.5)
    assert wakes(server) == woken
    scan[99].sendall(REQUEST)
    assert scan[99].recv(4096).startswith(b"HTTP/1.1 200 ")
    server.stderr.wait_for_line(r"Awake \(", times=woken + 1)
    assert wakes(server) == woken + 1
    for each in scan[50:]:
        each.close()


def test_times_for_idle_connections_hold_while_asleep(server) -> None:
    serving = server("sleeping:app", "--sleep-after", "1s", "--timeout-keep-alive", "3")
    with serving.connect(timeout=PATIENCE) as idle:
        began = time.monotonic()
        idle.request("GET", "/")
        asleep(serving)
        woken = wakes(serving)
        assert idle.is_closed_by_server()
        # Without an end it would be open for much longer.
        assert 2.9 < time.monotonic() - began < 30
    assert wakes(serving) == woken


def test_a_client_that_goes_is_forgotten(sleepy) -> None:
    server = sleepy()
    descriptors = Path(f"/proc/{server.pid}/fd")
    with server.connect() as idle:
        idle.request("GET", "/")
        asleep(server)
        kept = len(list(descriptors.iterdir()))
    until(lambda: len(list(descriptors.iterdir())) < kept)


def test_a_kept_connection_takes_little(sleepy) -> None:
    server = sleepy()
    asleep(server)
    alone = private_dirty(server.pid)
    server.get("/")
    clients = [server.connect(timeout=PATIENCE) for _ in range(500)]
    for client in clients:
        client.send(REQUEST)
    for client in clients:
        assert client.read_response().status == 200
    line = asleep(server, times=2)
    assert "500 connections kept" in line[1]
    until(lambda: private_dirty(server.pid) - alone < 500 * 300 + 200_000)
    for client in clients:
        client.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_sleeps_and_wakes_many_times(sleepy, workers: str) -> None:
    server = sleepy("--workers", workers)
    with server.connect() as kept:
        for times in range(1, 4):
            assert kept.request("GET", "/").status == 200
            asleep(server, times)


# --- not while there is something to do


def test_it_does_not_sleep_while_a_response_streams(sleepy) -> None:
    server = sleepy()
    answer = server.get("/stream")
    assert len(set(answer.text.split())) == 1 and answer.text.count("\n") == 30
    assert sleeps(server) == 0
    asleep(server)


def test_it_does_not_sleep_while_a_websocket_is_open(sleepy) -> None:
    server = sleepy()
    with connect(f"ws://127.0.0.1:{server.port}/ws") as websocket:
        time.sleep(2.5)
        websocket.send("still there")
        assert websocket.recv() == "still there"
        assert sleeps(server) == 0
    asleep(server)
    with connect(f"ws://127.0.0.1:{server.port}/ws") as websocket:
        websocket.send("woken")
        assert websocket.recv() == "woken"


def test_it_does_not_sleep_while_a_body_arrives(sleepy) -> None:
    server = sleepy()
    with server.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 30\r\n\r\n")
        for _ in range(30):
            client.send(b"x")
            time.sleep(0.1)
        assert client.read_response().text.split()[1] == "30"
    assert sleeps(server) == 0


def test_it_does_not_sleep_while_a_task_of_a_request_runs(sleepy) -> None:
    server = sleepy()
    began = time.monotonic()
    server.get("/background")
    asleep(server)
    assert time.monotonic() - began > 2.5


# --- health checks


def check(client) -> float:
    began = time.monotonic()
    answer = client.request("GET", "/healthz")
    assert (answer.status, answer.text) == (200, "ok\n")
    return time.monotonic() - began


def test_health_checks_neither_wake_nor_keep_awake(sleepy) -> None:
    server = sleepy("--health-path", "/healthz")
    with server.connect() as client:
        deadline = time.monotonic() + PATIENCE
        while sleeps(server) == 0:
            assert time.monotonic() < deadline
            check(client)
            time.sleep(0.01)
    asleep(server)
    took = []
    for _ in range(50):
        with server.connect() as client:
            check(client)
            took.append(check(client))
    # None waits for a start; the machine may have something else to do during one or another.
    assert statistics.median(took) < 0.5
    assert server.request("HEAD", "/healthz").body == b""
    with server.connect() as client:
        client.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert client.read_response().status == 200
        assert client.is_closed_by_server()
    assert wakes(server) == 0
    with server.connect() as client:
        # In pieces, and with a request behind it that wakes.
        client.send(b"GET /heal")
        client.send(b"thz HTTP/1.1\r\nhost: a\r\n")
        client.send(b"\r\n" + REQUEST)
        assert client.read_response().text == "ok\n"
        assert client.read_response().status == 200
    server.stderr.wait_for_line(r"Awake \(")
    assert wakes(server) == 1


def test_only_the_exact_path_is_a_health_check(sleepy) -> None:
    server = sleepy("--health-path", "/healthz")
    assert server.get("/healthz").text == "ok\n"
    assert server.post("/healthz").text != "ok\n"
    assert server.get("/healthz?x").text != "ok\n"


# --- a wake that fails


def test_a_failing_start_is_answered_with_503_and_the_next_request_tries_again(
    sleepy, tmp_path: Path
) -> None:
    server = sleepy("--health-path", "/healthz")
    with server.connect() as kept:
        kept.request("GET", "/")
        asleep(server)
        (tmp_path / "fault").write_text("raise")
        answer = server.get("/")
        assert (answer.status, answer.header("retry-after")) == (503, "1")
        assert server.get("/").status == 503
        assert server.get("/healthz").status == 200
        assert server.is_running
        (tmp_path / "fault").unlink()
        deadline = time.monotonic() + PATIENCE
        while server.get("/").status == 503:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        # One that was idle all the time has not been closed.
        assert kept.request("GET", "/").status == 200


def test_clients_do_not_wait_longer_than_they_should_for_a_slow_start(sleepy, tmp_path: Path) -> None:
    server = sleepy("--wake-timeout", "1")
    asleep(server)
    (tmp_path / "fault").write_text("7")
    began = time.monotonic()
    answer = server.get("/")
    assert answer.status == 503
    assert answer.header("retry-after") == "5"
    assert 0.9 < time.monotonic() - began < 6.5
    server.stderr.wait_for_line(r"Awake \(")
    assert server.get("/").status == 200


def test_a_worker_that_is_killed_while_it_starts_is_replaced_and_nothing_lost(sleepy, tmp_path: Path) -> None:
    server = sleepy()
    asleep(server)
    (tmp_path / "fault").write_text("2")
    with server.connect(timeout=PATIENCE) as client:
        client.send(REQUEST)
        deadline = time.monotonic() + PATIENCE
        while not server.worker_pids():
            assert time.monotonic() < deadline
        server.kill_worker()
        assert client.read_response().status == 200


# --- signals and other features


def test_a_hangup_while_asleep_brings_new_code_at_the_next_wake(sleepy) -> None:
    server = sleepy("--preload")
    server.get("/")
    server.stderr.wait_for_line(r"Asleep \(", PATIENCE)
    until(lambda: sleeps(server) > wakes(server))
    woken = wakes(server)
    server.send_signal(signal.SIGHUP)
    server.stderr.wait_for_line("Imported the application for all workers", PATIENCE, times=2)
    assert wakes(server) == woken
    assert server.get("/").status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_it_stops_while_asleep(sleepy, number: int) -> None:
    server = sleepy()
    with server.connect() as kept:
        kept.request("GET", "/")
        asleep(server)
        server.send_signal(number)
        assert kept.is_closed_by_server()
    assert server.wait() == 0


def test_one_that_waits_for_a_worker_is_told_that_the_server_stops(sleepy, tmp_path: Path) -> None:
    server = sleepy()
    asleep(server)
    (tmp_path / "fault").write_text("20")
    with server.connect() as client:
        client.send(REQUEST)
        deadline = time.monotonic() + PATIENCE
        while not server.worker_pids():
            assert time.monotonic() < deadline
        server.send_signal(signal.SIGTERM)
        assert client.read_response().status == 503
    assert server.wait() == 0


def test_a_worker_killed_in_use_and_a_time_to_live_change_nothing(sleepy) -> None:
    server = sleepy("--ttl", "2s")
    for times in range(1, 3):
        assert server.get("/").status == 200
        server.kill_worker()
        assert server.get("/").status == 200
        asleep(server, times)


def test_encrypted_connections_are_ended_politely_and_new_ones_wake(server, authority: Authority) -> None:
    serving = server("sleeping:app", *FLAGS, *authority.flags)
    with serving.connect(tls=authority.trusting()) as client:
        assert client.request("GET", "/").status == 200
        asleep(serving)
        assert client.is_closed_by_server()
    with serving.connect(tls=authority.trusting(), timeout=PATIENCE) as client:
        assert client.request("GET", "/").status == 200


def test_a_unix_socket_wakes_too(server, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    serving = server("sleeping:app", *FLAGS, "--uds", path)
    with serving.connect() as client:
        client.request("GET", "/")
        asleep(serving)
        assert client.request("GET", "/").status == 200


def test_a_proxy_still_names_its_client(server) -> None:
    serving = server("http_scope:app", *FLAGS, "--proxy-protocol")
    asleep(serving)
    with serving.connect(timeout=PATIENCE) as client:
        client.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n" + REQUEST)
        assert client.read_response().status == 200
    serving.stdout.wait_for_line(r"192\.0\.2\.7:4711")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_it_sleeps_with_every_event_loop(server, loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    serving = server("sleeping:app", *FLAGS, "--loop", loop)
    serving.get("/")
    asleep(serving)
    assert serving.get("/").status == 200


def test_wsgi_sleeps_too(server) -> None:
    serving = server("wsgi_hello:app", *FLAGS)
    assert serving.get("/").status == 200
    asleep(serving)
    assert serving.get("/").status == 200


def test_an_operator_lets_it_sleep_and_wakes_it(server) -> None:
    serving = server("sleeping:app")

    def tell(word: str) -> str:
        command = [serving.arguments[0], "ctl", word, str(serving.pid)]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE).stdout

    # It may be told so once the supervisor has heard that the worker is ready.
    assert "going to sleep" in until(lambda: tell("sleep"))
    asleep(serving)
    assert "sleeps already" in tell("sleep")
    assert "waking" in tell("wake")
    serving.stderr.wait_for_line(r"Awake \(.*by an operator")
    assert serving.get("/").status == 200


def test_one_that_never_sleeps_holds_nothing_for_it(server) -> None:
    serving = server("sleeping:app")

    def kinds() -> list[str]:
        """What its descriptors are; one of the start may go between the listing and the look at it."""
        found = []
        for each in Path(f"/proc/{serving.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.append(os.readlink(each))
        return found

    assert serving.get("/").status == 200
    until(lambda: not any("eventpoll" in kind for kind in kinds()))
    until(lambda: len(list(Path(f"/proc/{serving.pid}/task").iterdir())) == 1)
    assert len(processes.children(serving.pid)) == 1


# --- hours, vetoes, templates, warm-up


def test_in_the_hours_of_awake_it_does_not_sleep(server) -> None:
    serving = server("sleeping:app", *FLAGS, "--awake", "00:00-24:00", "--timezone", "Europe/Berlin")
    serving.get("/")
    time.sleep(2.5)
    assert sleeps(serving) == 0


@pytest.mark.parametrize(
    "flags", [("--awake", "Mon"), ("--awake", "7:00-8:00", "--timezone", "Europe/Berlyn")]
)
def test_hours_that_are_none_are_a_mistake(flags: tuple[str, ...]) -> None:
    refused = run("sleeping:app", *FLAGS, *flags)
    assert refused.returncode == 2
    assert "--awake" in refused.stderr


AWAKE = """
import asyncio
from lowmem_serve import stay_awake

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        return await send({"type": "lifespan.startup.complete"})
    asyncio.get_running_loop().create_task(work(), name="work")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})

async def work():
    async with stay_awake():
        with stay_awake():
            pass
        await asyncio.sleep(3)
"""


def test_a_block_of_stay_awake_keeps_it_awake(server, tmp_path: Path) -> None:
    (tmp_path / "vetoing.py").write_text(AWAKE)
    package = {"PYTHONPATH": str(REPOSITORY / "python")}
    serving = server("vetoing:app", *FLAGS, cwd=tmp_path, env=package)
    began = time.monotonic()
    serving.get("/")
    asleep(serving)
    assert time.monotonic() - began > 3


OWN_WORK = """
import asyncio, subprocess, threading, time

async def poll():
    await asyncio.sleep(3600)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        app.polls = asyncio.create_task(poll())
        threading.Thread(target=time.sleep, args=(3600,), daemon=True, name="watcher").start()
        app.child = subprocess.Popen(["sleep", "3600"])
        await send({"type": "lifespan.startup.complete"})
        await receive()
        app.child.kill()
        app.child.wait()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
"""


def test_what_ends_with_the_worker_is_named_once(server, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN_WORK)
    serving = server("own:app", *FLAGS, cwd=tmp_path)
    line = serving.stderr.wait_for_line("ends what it runs by itself: (.*)", PATIENCE)
    assert "1 asyncio task (poll)" in line[1]
    assert "1 thread (watcher)" in line[1]
    assert "1 child process (sleep " in line[1]
    asleep(serving)
    serving.get("/")
    asleep(serving, times=2)
    assert len(serving.stderr.matches("ends what it runs by itself")) == 1


LEARNED = """
import sys, importlib

AT_IMPORT = sorted({"xml.dom.minidom", "difflib"} & sys.modules.keys())

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        return await send({"type": "lifespan.startup.complete"})
    if scope["path"] == "/use":
        import xml.dom.minidom
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": repr(AT_IMPORT).encode()})
"""


def test_a_template_learns_what_is_imported_while_serving(server, tmp_path: Path) -> None:
    (tmp_path / "learning.py").write_text(LEARNED)
    serving = server("learning:app", *FLAGS, "--keep-template", "1h", "--log-level", "debug", cwd=tmp_path)
    assert serving.get("/use").text == "[]"
    serving.stderr.wait_for_line(r"Asleep \(", PATIENCE)
    # The supervisor has heard of it: only then is the next worker forked from it.
    serving.stderr.wait_for_line(r"The template \(pid \d+\) is ready", PATIENCE)
    assert serving.get("/").text == "['xml.dom.minidom']"


def test_a_template_ends_when_its_time_is_over(server) -> None:
    serving = server("sleeping:app", *FLAGS, "--preload", "--keep-template", "1s")
    serving.stderr.wait_for_line(r"Asleep \(", PATIENCE)
    until(lambda: serving.worker_pids() == [])
    assert serving.get("/").status == 200


WARMED = """
asked = []

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        return await send({"type": "lifespan.startup.complete"})
    if scope["path"] == "/broken":
        raise RuntimeError("not warm")
    asked.append(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": repr(asked).encode()})
"""


def test_a_worker_requests_paths_of_itself_before_it_is_ready(server, tmp_path: Path) -> None:
    (tmp_path / "warmed.py").write_text(WARMED)
    serving = server(
        "warmed:app",
        *FLAGS,
        "--warm-up",
        "/one?x=1",
        "--warm-up",
        "/two",
        "--warm-up",
        "/broken",
        cwd=tmp_path,
    )
    serving.stderr.wait_for_line("--warm-up /broken: it was answered with 500")
    assert serving.get("/").text == "['/one', '/two', '/']"
    serving.stdout.wait_for_line('"GET / HTTP/1.1" 200')
    assert "/one" not in serving.stdout.text
    asleep(serving)
    assert serving.get("/").text == "['/one', '/two', '/']"
