"""The memory that all applications together may take: which sleep, which wait, which are replaced."""

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from harness import run
from harness.journal import until
from harness.machine import Machine
from harness.raw_client import RawClient
from harness.server import Server

NAMES = ["alpha", "beta", "gamma", "delta"]

HOLDS = """
import asyncio, os

held = [os.urandom(4096) * 256 for _ in range(HELD)]

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"].startswith("/grow/"):
        held.extend(os.urandom(4096) * 256 for _ in range(int(scope["path"][6:])))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/open":
        await send({"type": "http.response.body", "body": b"open ", "more_body": True})
        await receive()
        while (await receive())["type"] != "http.disconnect":
            pass
    await send({"type": "http.response.body", "body": f"{NAME} {os.getpid()}".encode()})
"""
"""Takes HELD megabytes from the start, and more when it is asked to."""


class Fleet:
    """Applications of so many megabytes each under one budget."""

    def __init__(self, machine: Machine, serve_all) -> None:
        self.machine = machine
        self.serve_all = serve_all
        self.tables = ""
        self.server: Server | None = None

    def add(self, name: str, megabytes: int, more: str = "") -> None:
        self.machine.module(name, f"HELD = {megabytes}\n{HOLDS}")
        self.tables += f"[apps.{name}]\n{self.machine.table(name, more)}"

    def serve(self, budget: str, more: str = "") -> Server:
        text = f'memory-budget = "{budget}"\nshare = "off"\n{more}\n{self.tables}'
        self.server = self.serve_all(text, wait=False)
        return self.server

    def get(self, name: str, path: str = "/") -> str:
        with contextlib.closing(self.ask(name, path)) as client:
            client.settimeout(40)
            answer = b""
            while chunk := client.recv(65536):
                answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        status = head.split()[1].decode()
        return body.decode() if status == "200" else f"{status} {head.decode()}"

    def ask(self, name: str, path: str) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.machine.socket(name))
        client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
        return client

    @contextlib.contextmanager
    def in_use(self, name: str) -> Iterator[None]:
        """A response of it is open meanwhile."""
        with contextlib.closing(self.ask(name, "/open")) as client:
            client.settimeout(40)
            received = b""
            while b"open" not in received:
                data = client.recv(4096)
                assert data, received
                received += data
            yield

    def rewrite(self, change: Callable[[str], str]) -> None:
        """The settings file, which is never seen half written."""
        file = self.machine.file
        file.with_suffix(".new").write_text(change(file.read_text()))
        file.with_suffix(".new").rename(file)

    def until_answered(self, name: str) -> None:
        """On a slow machine the first requests are told to come back while it starts."""
        until(lambda: self.get(name).startswith(name))

    def budget(self) -> dict[str, int]:
        (status,) = json.loads(run("status", "--json", str(self.machine.server)).stdout)
        return status["budget"]


@pytest.fixture
def fleet(machine, serve_all) -> Fleet:
    return Fleet(machine, serve_all)


def ready(server: Server, *names: str) -> None:
    for name in names:
        # By then the supervisor knows, too.
        server.stderr.wait_for_line(rf"\[{name}\] lowmem-serve running on", 60)


def test_the_one_that_was_used_least_recently_sleeps_when_another_grows(fleet) -> None:
    for name in NAMES[:3]:
        fleet.add(name, 20)
    server = fleet.serve("150M")
    ready(server, *NAMES[:3])
    assert server.stderr.wait_for_line(r"Memory budget: 150\.0 MB")
    for name in ("beta", "alpha", "gamma"):
        assert fleet.get(name).startswith(name)
    fleet.get("gamma", "/grow/80")
    told = server.stderr.wait_for_line(r"\[beta\] Put to sleep: ([\d.]+) of ([\d.]+) MB are used")
    used, limit = map(float, told.groups())
    assert used >= limit == 150
    server.stderr.wait_for_line(r"\[beta\] Asleep .*MB given back")
    until(lambda: fleet.budget()["used"] <= fleet.budget()["limit"] == 150 << 20)
    assert fleet.machine.states() | {"alpha": ""} == {"alpha": "", "beta": "asleep", "gamma": "serving"}
    assert re.match(r"Memory: [\d.]+ of 150\.0 MB \(memory-budget\)\n", fleet.machine.ctl())
    # A response is read before it is counted.
    until(lambda: re.search(r"^gamma +serving .* 2 +\d+s +- ", fleet.machine.ctl(), re.MULTILINE))


def test_a_request_for_one_that_does_not_fit_has_another_sleep_first(fleet) -> None:
    for name in NAMES:
        fleet.add(name, 40)
    server = fleet.serve("150M", "start-asleep = true")
    for name in NAMES:
        server.stderr.wait_for_line(rf"\[{name}\] Asleep, until the first request")
    assert set(fleet.machine.states().values()) == {"asleep"}
    assert server.worker_pids() == []
    over = threading.Event()
    seen: list[int] = []

    def watch() -> None:
        while not over.is_set():
            seen.append(fleet.budget()["used"])
            time.sleep(0.2)

    watching = threading.Thread(target=watch)
    watching.start()
    for _ in range(3):
        for name in NAMES:
            assert fleet.get(name).startswith(name)
    over.set()
    watching.join()
    assert max(seen) <= 150 << 20
    # A pid may have these digits, too.
    assert "Put to sleep" in server.output and '" 503 ' not in server.output


def test_requests_that_wait_for_memory_in_use_are_answered_with_503_after_wake_timeout(fleet) -> None:
    fleet.add("alpha", 60, 'wake-timeout = "1"')
    fleet.add("beta", 60, 'wake-timeout = "1"')
    server = fleet.serve("110M", "start-asleep = true")
    server.stderr.wait_for_line(r"\[beta\] Asleep, until")
    fleet.until_answered("beta")
    with fleet.in_use("beta"):
        answer = fleet.get("alpha")
        assert answer.startswith("503 ") and "retry-after: 5" in answer.lower()
        server.stderr.wait_for_line(r"\[alpha\] Not woken within 1s \(--wake-timeout\): ")
        assert fleet.machine.states() == {"alpha": "asleep", "beta": "serving"}
    fleet.until_answered("alpha")


def test_keep_awake_holds_and_the_log_says_once_what_holds_the_memory(fleet) -> None:
    fleet.add("alpha", 50, "keep-awake = true\nsleep-after = '1s'")
    fleet.add("beta", 50, "keep-awake = true")
    server = fleet.serve("90M", "start-asleep = true")
    ready(server, "alpha", "beta")
    server.stderr.wait_for_line(r"of 90\.0 MB are used \(memory-budget\), and what holds")
    time.sleep(3)
    assert fleet.machine.states() == {"alpha": "serving", "beta": "serving"}
    assert server.output.count("and what holds the memory") == 1
    assert "Recycled" not in server.output


def test_one_that_has_grown_in_use_is_replaced_once(fleet) -> None:
    fleet.add("alpha", 5)
    fleet.add("beta", 5)
    server = fleet.serve("110M")
    ready(server, "alpha", "beta")
    before = fleet.get("alpha")
    with fleet.in_use("beta"):
        # It is weighed when it is fresh.
        time.sleep(2.5)
        with fleet.in_use("alpha"):
            fleet.get("alpha", "/grow/100")
            server.stderr.wait_for_line(r"\[alpha\] It has grown by [\d.]+ MB, and ")
        server.stderr.wait_for_line(r"\[alpha\] Recycled worker .*: memory-budget; ", 40)
    assert fleet.get("alpha") != before
    until(lambda: fleet.budget()["used"] <= 110 << 20)
    assert server.output.count("memory-budget; age") == 1


def test_applications_that_do_not_fit_begin_asleep_but_those_that_should_be_awake(fleet) -> None:
    for name in NAMES:
        fleet.add(name, 40, "keep-awake = true" if name == "delta" else "")
    server = fleet.serve("130M")
    ready(server, "delta")
    server.stderr.wait_for_line(r"\[gamma\] Asleep, until the first request", 40)
    assert fleet.machine.states()["delta"] == "serving"
    for name in NAMES:
        assert fleet.get(name).startswith(name)


def test_the_budget_of_the_file_is_followed(fleet) -> None:
    for name in NAMES[:2]:
        fleet.add(name, 40)
    server = fleet.serve("1G")
    ready(server, "alpha", "beta")
    fleet.rewrite(lambda text: text.replace("1G", "80M"))
    server.stderr.wait_for_line(r"Memory budget: 80\.0 MB")
    server.stderr.wait_for_line(r"Put to sleep: ")
    fleet.rewrite(lambda text: text.replace('memory-budget = "80M"\n', ""))
    server.stderr.wait_for_line(r"There is no memory budget any more")
    for name in NAMES[:2]:
        assert fleet.get(name).startswith(name)
    assert server.terminate() == 0


def test_one_application_alone_has_a_budget_too(server, tmp_path) -> None:
    (tmp_path / "held.py").write_text(f"NAME = 'held'\nHELD = 5\n{HOLDS}")
    status = f"unix:{tmp_path / 'status.sock'}"
    started = server("held:app", "--memory-budget", "80M", "--status-bind", status, cwd=tmp_path)
    # Beyond it also where other servers share most of what a worker maps.
    started.get("/grow/90")
    started.stderr.wait_for_line(r"Put to sleep: [\d.]+ of 80\.0 MB are used")
    started.stderr.wait_for_line(r"Asleep \(")
    assert started.get("/").status == 200
    with RawClient(str(tmp_path / "status.sock"), 20) as client:
        metrics = client.get("/metrics").text
    assert f'lowmem_memory_budget_bytes{{kind="limit"}} {80 << 20}\n' in metrics
    assert re.search(r'^lowmem_memory_budget_bytes{kind="used"} [1-9]', metrics, re.MULTILINE)
    assert started.terminate() == 0


def test_a_budget_is_a_size_or_a_part_and_the_whole_server_s(machine) -> None:
    machine.module("one")
    for text, why in (
        ("memory-budget = '0%'", 'fleet.toml:1: memory-budget = "0%": not a part between 1% and 100%'),
        ("memory-budget = 'much'", "not a size like 300M or 1G, or a part like 70%"),
        ("memory-budget = '70%'", "[apps.one] memory-budget is the whole server's"),
    ):
        more = text if "whole" in why else ""
        machine.file.write_text(f"{'' if more else text}\n[apps.one]\n{machine.table('one', more)}")
        finished = run("--config", str(machine.file), cwd=machine.directory)
        assert finished.returncode == 2 and why.removeprefix("[apps.one] ") in finished.stderr, (
            finished.stderr
        )


class Routed:
    """Applications of so many megabytes on one shared place, under one budget."""

    def __init__(self, machine: Machine, serve_all, wake_timeout: int = 40) -> None:
        tables = []
        for name in NAMES[:3]:
            machine.module(name, f"HELD = 60\n{HOLDS}")
            directory = machine.directory / name
            tables.append(
                f'[apps.{name}]\napp = "{name}_app:app"\ndirectory = "{directory}"\nhosts = ["{name}.test"]\n'
            )
        settings = 'bind = ["127.0.0.1:0"]\nmemory-budget = "120M"\nshare = "off"\nstart-asleep = true\n'
        self.machine = machine
        self.server = serve_all(f'{settings}wake-timeout = "{wake_timeout}"\n' + "".join(tables), wait=False)
        shown = self.server.stderr.wait_for_line(r"Applications share http://127.0.0.1:(\d+)", 60)
        self.address = ("127.0.0.1", int(shown[1]))
        for name in NAMES[:3]:
            self.server.stderr.wait_for_line(rf"\[{name}\] Asleep, until the first request")

    def connect(self) -> RawClient:
        return RawClient(self.address, 40)


def test_requests_over_a_shared_place_wake_applications_within_the_budget(machine, serve_all) -> None:
    routed = Routed(machine, serve_all)
    # One connection, whose requests go from application to application.
    with routed.connect() as client:
        for _ in range(2):
            for name in NAMES[:3]:
                response = client.get("/", {"host": f"{name}.test"})
                assert response.status == 200 and response.text.startswith(name)
                assert list(routed.machine.states().values()).count("serving") <= 1
    assert "Put to sleep" in routed.server.output


def test_over_a_shared_place_memory_in_use_is_answered_with_503_and_others_are_served(
    machine, serve_all
) -> None:
    routed = Routed(machine, serve_all, wake_timeout=2)
    with routed.connect() as other:
        assert until(lambda: other.get("/", {"host": "alpha.test"}).status == 200)
    with socket.create_connection(routed.address) as client:
        client.settimeout(40)
        client.send(b"GET /open HTTP/1.1\r\nhost: alpha.test\r\n\r\n")
        received = b""
        while b"open" not in received:
            data = client.recv(4096)
            assert data, received
            received += data
        with routed.connect() as other:
            response = other.get("/", {"host": "beta.test"})
            assert response.status == 503 and response.header("retry-after")
        with routed.connect() as other:
            assert other.get("/", {"host": "alpha.test"}).text.startswith("alpha")
    with routed.connect() as other:
        assert until(lambda: other.get("/", {"host": "beta.test"}).status == 200)
