"""Applications that share places: whose a request is, and how connections come to whom they are for."""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import run
from harness.authority import Authority
from harness.http2_client import GoAwayFrame, Http2Client
from harness.journal import until
from harness.machine import Machine
from harness.raw_client import RawClient, Response, encode_request
from harness.server import Server
from harness.websocket_client import TEXT, WebSocketClient

TELLS = """
import json, os

async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": f"{NAME} {scope['path']} {scope['root_path']}"})
        await receive()
        return
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    told = {key: scope[key] for key in ("path", "root_path", "scheme", "http_version", "client")}
    told |= {"name": NAME, "pid": os.getpid(), "raw_path": scope["raw_path"].decode(), "body": len(body)}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})
"""

TELLS_WSGI = """
import json

def app(environ, start_response):
    start_response("200 OK", [])
    keys = ("SCRIPT_NAME", "PATH_INFO", "REQUEST_URI")
    return [json.dumps({"name": NAME} | {key: environ[key] for key in keys}).encode()]
"""


class Shared:
    """A server whose applications share a place."""

    def __init__(self, start: Callable[..., Server], machine: Machine) -> None:
        self._start = start
        self.machine = machine
        self.address: tuple[str, int] = ("", 0)

    def table(self, name: str, more: str, text: str = TELLS) -> str:
        self.machine.module(name, text)
        directory = self.machine.directory / name
        return f'app = "{name}_app:app"\ndirectory = "{directory}"\n{more}\n'

    def serve(self, before: str, tables: dict[str, str], *starting: str, text: str = TELLS) -> Server:
        """Serves a table for each name; waits until they, or those named, have started."""
        whole = "".join(f"[apps.{name}]\n{self.table(name, more, text)}" for name, more in tables.items())
        before = f'bind = ["127.0.0.1:0"]\n{before}\n'
        started = self._start(before + whole, wait=False)
        shown = started.stderr.wait_for_line(r"Applications share http://127.0.0.1:(\d+)", 60)
        self.address = ("127.0.0.1", int(shown[1]))
        for name in starting or tables:
            started.stderr.wait_for_line(rf"\[{name}\] lowmem-serve running on", 60)
        return started

    def connect(self, tls: ssl.SSLContext | None = None, name: str = "localhost") -> RawClient:
        return RawClient(self.address, 30, tls, name)

    def ask(self, host: str, path: str = "/") -> Response:
        with self.connect() as client:
            return client.get(path, {"host": host})

    def name(self, host: str, path: str = "/") -> str:
        response = self.ask(host, path)
        return response.json()["name"] if response.status == 200 else f"{response.status} {response.text}"


@pytest.fixture
def shared(serve_all, machine) -> Shared:
    return Shared(serve_all, machine)


def test_a_request_is_for_the_application_with_its_host_and_the_longest_path(shared) -> None:
    tables = {
        "shop": 'hosts = ["shop.example"]',
        "admin": 'hosts = ["shop.example"]\npaths = ["/admin"]',
        "below": 'hosts = ["*.example"]',
        "rest": 'hosts = ["*"]\npaths = ["/rest", "/more"]',
    }
    shared.serve("", tables)
    for host, path, name, root in (
        ("shop.example", "/", "shop", ""),
        ("SHOP.example:81", "/administrator?x=/admin", "shop", ""),
        ("shop.example", "/admin", "admin", "/admin"),
        ("shop.example", "/admin/a%20b?x", "admin", "/admin"),
        ("shop.example", "/%61dmin/x", "admin", "/admin"),
        ("any.example", "/admin", "below", ""),
        ("10.0.0.1", "/rest/x", "rest", "/rest"),
        ("10.0.0.1", "/more", "rest", "/more"),
    ):
        told = shared.ask(host, path).json()
        assert (told["name"], told["root_path"]) == (name, root), (host, path)
        raw = path.split("?")[0]
        assert told["raw_path"] == raw
        assert told["path"] == raw.replace("%20", " ").replace("%61", "a")
        assert told["client"][0] == "127.0.0.1"
    assert shared.name("10.0.0.1", "/other").startswith("404 No application here has this path")
    assert shared.name("example", "/rest") == "rest"


def test_a_host_that_no_application_has_is_misdirected(shared) -> None:
    shared.serve("", {"one": 'hosts = ["one.example"]'})
    response = shared.ask("two.example")
    assert response.status == 421 and response.text == "No application here has this host.\n"
    assert response.header("connection") == "close"
    with shared.connect() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.read_response().status == 421
    for wrong in (b"GET / HTTP/1.1\r\n\r\n", b"nonsense\r\n", b"GET / HTTP/1.1\r\nnonsense\r\n"):
        with shared.connect() as client:
            client.send(wrong)
            assert client.read_response().status == 400
            assert client.is_closed_by_server()
    with shared.connect() as client:
        client.send(b"GET / HTTP/1.1\r\ncookie: " + b"x" * 20_000)
        assert client.read_response().status == 431
    with shared.connect() as client:
        client.send(b"GET http://one.example/x HTTP/1.1\r\nhost: two.example\r\n\r\n")
        assert client.read_response().json()["path"] == "/x"


def test_a_kept_connection_goes_from_application_to_application(shared) -> None:
    shared.serve("", {"one": 'hosts = ["one.example"]', "two": 'hosts = ["two.example"]\nworkers = 2'})
    with shared.connect() as client:
        for turn in range(30):
            name = ("one", "two", "two")[turn % 3]
            size = turn * 5000
            told = client.request("POST", f"/{turn}", {"host": f"{name}.example"}, b"x" * size).json()
            assert (told["name"], told["path"], told["body"]) == (name, f"/{turn}", size)
        # After a rest, too, when the worker has nothing but its descriptor.
        time.sleep(0.5)
        assert client.get("/", {"host": "one.example"}).json()["name"] == "one"
        assert client.get("/", {"host": "three.example"}).status == 421
        assert client.is_closed_by_server()


def test_requests_that_are_sent_at_once_are_answered_in_their_order(shared) -> None:
    shared.serve("", {"one": 'hosts = ["one.example"]', "two": 'hosts = ["two.example"]'})
    names = ["one", "two", "two", "one", "two", "one"]
    body = bytes(range(256)) * 40
    with shared.connect() as client:
        requests = [
            encode_request("POST", f"/{at}", {"host": f"{name}.example"}, body)
            for at, name in enumerate(names)
        ]
        client.send(b"".join(requests))
        told = [client.read_response().json() for _ in names]
    assert [(one["name"], one["path"], one["body"]) for one in told] == [
        (name, f"/{at}", len(body)) for at, name in enumerate(names)
    ]


def test_a_head_with_much_to_say_moves_with_all_of_it(shared) -> None:
    shared.serve("", {"one": 'hosts = ["one.example"]', "two": 'hosts = ["two.example"]'})
    with shared.connect() as client:
        assert client.get("/", {"host": "one.example"}).json()["name"] == "one"
        head = {"host": "two.example", "cookie": "é" * 50_000}
        told = client.request("POST", "/", head, b"\0" * 300_000).json()
        assert (told["name"], told["body"]) == ("two", 300_000)


def test_wsgi_has_the_path_as_script_name(shared) -> None:
    tables = {"site": 'hosts = ["a.example"]', "admin": 'hosts = ["a.example"]\npaths = ["/ad min"]'}
    shared.serve("", tables, text=TELLS_WSGI)
    assert shared.ask("a.example", "/ad%20min/x%2fy").json() == {
        "name": "admin",
        "SCRIPT_NAME": "/ad min",
        "PATH_INFO": "/x/y",
        "REQUEST_URI": "/ad%20min/x%2fy",
    }
    assert shared.ask("a.example", "/x").json()["SCRIPT_NAME"] == ""


def test_health_checks_and_files_are_below_the_path(shared) -> None:
    files = shared.machine.directory / "files"
    files.mkdir()
    (files / "a.txt").write_text("a file")
    more = f'paths = ["/app"]\nhealth-path = "/healthz"\nstatic = ["/static={files}"]'
    shared.serve("", {"one": more})
    assert shared.ask("any", "/app/healthz").text == "ok\n"
    assert shared.ask("any", "/app/static/a.txt").text == "a file"
    assert shared.ask("any", "/app/static/b.txt").status == 404
    assert shared.ask("any", "/app/x").json()["root_path"] == "/app"


def test_an_application_may_have_places_of_its_own_besides(shared) -> None:
    socket_path = shared.machine.socket("one")
    own = f'hosts = ["one.example"]\npaths = ["/p"]\nbind = ["unix:{socket_path}"]'
    shared.serve("", {"one": own})
    assert shared.ask("one.example", "/p/x").json()["root_path"] == "/p"
    with RawClient(socket_path) as client:
        told = client.get("/p/x", {"host": "whatever"}).json()
        assert (told["root_path"], told["path"]) == ("", "/p/x")
    places = json.loads(run("apps", "--json", str(shared.machine.server)).stdout)[0]["places"]
    assert places == [f"unix socket {socket_path}", "http://one.example/p"]


def test_websockets_are_routed_and_keep_their_application(shared) -> None:
    shared.serve("", {"one": 'hosts = ["one.example"]', "two": 'hosts = ["one.example"]\npaths = ["/ws"]'})
    with WebSocketClient(shared.address, 30) as client:
        assert client.get("/", {"host": "one.example"}).json()["name"] == "one"
        client.open("/ws/a", {"host": "one.example"})
        frame = client.read_frame()
        assert (frame.opcode, frame.payload) == (TEXT, b"two /ws/a /ws")
        client.leave()


def test_http2_goes_to_the_application_of_its_first_request(shared) -> None:
    shared.serve("", {"one": 'hosts = ["one.example"]', "two": 'hosts = ["two.example"]\npaths = ["/p"]'})
    with Http2Client(shared.address, 30) as client:
        stream = client.response(client.open(fields("two.example", "/p/x")))
        told = json.loads(stream.body)
        assert (told["name"], told["root_path"], told["http_version"]) == ("two", "/p", "2")
        # A request for another application is for another connection (RFC 9110 section 15.5.20).
        assert client.response(client.open(fields("one.example", "/"))).status == 421
        assert client.response(client.open(fields("two.example", "/p"))).status == 200
    with Http2Client(shared.address, 30) as client:
        client.open(fields("three.example", "/"))
        goaway = client.read_until(GoAwayFrame)
        assert goaway.error_code == 0xD and goaway.additional_data.startswith(b"No application here")


def fields(host: str, path: str) -> list[tuple[str, str]]:
    return [(":method", "GET"), (":scheme", "http"), (":authority", host), (":path", path)]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def certified(authority: Authority, name: str, *identities: str) -> str:
    certificate, key = authority.issue(name, *identities)
    return f'ssl-certfile = "{certificate}"\nssl-keyfile = "{key}"\n'


def test_tls_goes_by_the_name_that_the_client_says_and_each_has_its_certificate(shared, authority) -> None:
    tables = {
        "one": 'hosts = ["one.example"]\n' + certified(authority, "one", "one.example"),
        "two": 'hosts = ["two.example", "*.two.example"]\n'
        + certified(authority, "two", "two.example", "*.two.example"),
        "plain": 'hosts = ["plain.example"]',
    }
    started = shared.serve("", tables)
    trusting = authority.trusting()
    for name, wanted in (("one.example", "one"), ("two.example", "two"), ("a.two.example", "two")):
        with shared.connect(trusting, name) as client:
            for _ in range(2):
                told = client.get("/x", {"host": name}).json()
                assert (told["name"], told["scheme"]) == (wanted, "https")
            refused = client.get("/", {"host": "other.example"})
            assert refused.status == 421 and client.is_closed_by_server()
    with Http2Client(shared.address, 30, authority.trusting(), name="two.example") as client:
        assert json.loads(client.response(client.open(fields("a.two.example", "/"))).body)["name"] == "two"
        assert client.response(client.open(fields("one.example", "/"))).status == 421
    for name in ("three.example", "plain.example"):
        with pytest.raises(ssl.SSLError, match=r"UNRECOGNIZED_NAME|unrecognized name"):
            shared.connect(trusting, name)
    assert shared.name("plain.example") == "plain"
    assert shared.name("one.example").startswith("400 This host is served over HTTPS")
    # A replacement of the worker leaves TLS connections where they are, and new ones come to the next.
    with shared.connect(trusting, "one.example") as client:
        before = client.get("/", {"host": "one.example"}).json()["pid"]
        assert "reloading" in shared.machine.ctl("reload", "one")
        # An earlier worker may have ended before, for the template.
        started.stderr.wait_for_line(rf"\[one\] .*Finished server process \[{before}\]", 60)
    with shared.connect(trusting, "one.example") as client:
        assert client.get("/", {"host": "one.example"}).json()["pid"] != before


def test_what_is_slow_or_silent_is_bounded(shared) -> None:
    shared.serve("timeout-header-read = 1", {"one": 'hosts = ["one.example"]'})
    with shared.connect() as silent, shared.connect() as slow, shared.connect() as steady:
        slow.send(b"GET / HTTP/1.1\r\nhost")
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - begun < 20:
                # A byte now and then gains no time.
                steady.send(b"x")
                time.sleep(0.1)
                if steady.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                    break
        # It is 30 s where nothing else is said.
        assert time.monotonic() - begun < 20
        assert steady.read_response().status == 408
        assert slow.read_response().status == 408
        assert silent.is_closed_by_server()
        assert shared.name("one.example") == "one"


def test_a_head_in_small_pieces_is_read_where_it_belongs(shared) -> None:
    shared.serve("", {"one": 'hosts = ["one.example"]', "two": 'hosts = ["two.example"]'})
    with shared.connect() as client:
        for name in ("one", "two"):
            for byte in encode_request("POST", "/x", {"host": f"{name}.example"}, b"body"):
                client.send(bytes([byte]))
            assert client.read_response().json()["name"] == name


@contextlib.contextmanager
def load(shared: Shared, *hosts: str) -> Iterator[list[str]]:
    """Requests to these hosts in turn, over kept and over new connections; what went wrong."""
    failed: list[str] = []
    over = threading.Event()

    def ask(is_kept: bool) -> None:
        client: RawClient | None = None
        turn = 0
        while not over.is_set():
            host = hosts[turn % len(hosts)]
            turn += 1
            try:
                if client is None:
                    client = shared.connect()
                response = client.get("/", {"host": host})
                if response.status != 200 or not host.startswith(response.json()["name"]):
                    failed.append(f"{host}: {response}")
                if not is_kept or response.header("connection") == "close":
                    client.close()
                    client = None
            except (OSError, EOFError) as error:
                failed.append(f"{host}: {error!r}")
                client = None
        if client is not None:
            client.close()

    threads = [threading.Thread(target=ask, args=(is_kept,)) for is_kept in (True, False)]
    for thread in threads:
        thread.start()
    try:
        yield failed
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_replacing_workers_and_changing_settings_loses_nothing(shared) -> None:
    machine = shared.machine
    started = shared.serve(
        'include = ["apps/*.toml"]', {"one": 'hosts = ["one.example"]', "two": 'hosts = ["two.example"]'}
    )
    with load(shared, "one.example", "two.example") as failed:
        machine.ctl("reload", "one")
        started.stderr.wait_for_line(r"\[one\] .*Finished server process", 60)
        machine.module("three", TELLS)
        added = shared.table("three", 'hosts = ["three.example"]')
        (machine.directory / "three.new").write_text(added)
        (machine.directory / "three.new").rename(machine.directory / "apps" / "three.toml")
        until(lambda: shared.name("three.example") == "three", 60)
        # Its path becomes another's, and its own again.
        (machine.directory / "four.new").write_text(
            shared.table("four", 'hosts = ["three.example"]\npaths = ["/4"]')
        )
        with shared.connect() as kept:
            assert kept.get("/4", {"host": "three.example"}).json()["name"] == "three"
            (machine.directory / "four.new").rename(machine.directory / "apps" / "four.toml")
            until(lambda: shared.name("three.example", "/4/x") == "four", 60)
            until(lambda: kept.get("/4", {"host": "three.example"}).json()["name"] == "four")
            (machine.directory / "apps" / "four.toml").unlink()
            until(lambda: shared.name("three.example", "/4/x") == "three", 60)
            until(lambda: kept.get("/4", {"host": "three.example"}).json()["name"] == "three")
        (machine.directory / "apps" / "three.toml").unlink()
        until(lambda: shared.name("three.example").startswith("421"), 60)
    assert failed == []


def test_shared_places_change_with_the_settings_and_those_that_stay_are_not_closed(shared) -> None:
    machine = shared.machine
    first, second = machine.socket("first"), machine.socket("second")
    table = shared.table("one", 'hosts = ["one.example"]')

    def write(*places: str) -> None:
        shown = ", ".join(f'"unix:{place}"' for place in places)
        (machine.directory / "new").write_text(f"bind = [{shown}]\n[apps.one]\n{table}")
        (machine.directory / "new").rename(machine.file)

    def answers(place: str) -> bool:
        try:
            with RawClient(place) as client:
                return client.get("/", {"host": "one.example"}).status == 200
        except OSError:
            return False

    started = shared._start(f'bind = ["unix:{first}"]\n[apps.one]\n{table}', wait=False)
    started.stderr.wait_for_line(r"\[one\] Application startup complete", 60)
    with RawClient(first) as kept:
        assert kept.get("/", {"host": "one.example"}).status == 200
        inode = os.stat(first).st_ino
        write(first, second)
        until(lambda: answers(second), 60)
        assert os.stat(first).st_ino == inode and answers(first)
        write(second)
        until(lambda: not answers(first), 60)
        assert answers(second)
        assert kept.get("/", {"host": "one.example"}).status == 200


def test_a_sleeping_application_wakes_for_its_requests_and_for_no_others(shared) -> None:
    # A template that is made meanwhile would have it replaced.
    more = 'health-path = "/healthz"\nshare = "off"\n'
    started = shared.serve(more, {"one": 'hosts = ["one.example"]', "two": 'hosts = ["two.example"]'})
    machine = shared.machine
    with shared.connect() as kept, shared.connect() as other:
        assert kept.get("/", {"host": "one.example"}).json()["name"] == "one"
        assert other.get("/", {"host": "one.example"}).json()["name"] == "one"
        until(lambda: "sleeps" in machine.ctl("sleep", "one"))
        until(lambda: machine.states()["one"] == "asleep")
        # Requests for others over the connections that it had, and health checks, leave it asleep.
        assert kept.get("/", {"host": "two.example"}).json()["name"] == "two"
        with shared.connect() as checking:
            for _ in range(2):
                assert checking.get("/healthz", {"host": "one.example"}).text == "ok\n"
            assert checking.get("/", {"host": "two.example"}).json()["name"] == "two"
        assert machine.states() == {"one": "asleep", "two": "serving"}
        told = other.request("POST", "/wake", {"host": "one.example"}, b"x" * 100_000).json()
        assert (told["name"], told["body"]) == ("one", 100_000)
        # The supervisor hears of it a moment later than the client.
        until(lambda: machine.states()["one"] == "serving")
        assert kept.get("/", {"host": "one.example"}).json()["name"] == "one"
    assert started.is_running


def test_a_sleeping_application_wakes_by_a_tls_handshake(shared, authority) -> None:
    shared.serve("", {"one": 'hosts = ["one.example"]\n' + certified(authority, "one", "one.example")})
    until(lambda: "sleeps" in shared.machine.ctl("sleep", "one"))
    until(lambda: shared.machine.states()["one"] == "asleep")
    with shared.connect(authority.trusting(), "one.example") as client:
        assert client.get("/", {"host": "one.example"}).json()["name"] == "one"


def test_one_that_is_stopped_or_fails_answers_503_and_the_others_are_served(shared) -> None:
    machine = shared.machine
    started = shared.serve(
        "",
        {
            "good": 'hosts = ["good.example"]',
            "none": 'hosts = ["none.example"]\npython = "/nowhere/python"',
        },
        "good",
    )
    assert shared.name("none.example").startswith("503")
    machine.ctl("stop", "good")
    until(lambda: machine.states()["good"] == "stopped")
    with shared.connect() as client:
        response = client.get("/", {"host": "good.example"})
        assert response.status == 503 and response.header("retry-after")
    machine.ctl("start", "good")
    started.stderr.wait_for_line(r"\[good\] Application startup complete", 60)
    until(lambda: shared.name("good.example") == "good")


def test_a_worker_that_is_killed_loses_no_connection_that_it_had_not_taken(shared) -> None:
    started = shared.serve("", {"one": 'hosts = ["one.example"]'})
    pid = shared.ask("one.example").json()["pid"]
    os.kill(pid, signal.SIGSTOP)
    clients = [shared.connect() for _ in range(20)]
    for client in clients:
        client.send(encode_request("GET", "/", {"host": "one.example"}))
    os.kill(pid, signal.SIGKILL)
    for client in clients:
        assert client.read_response().json()["pid"] != pid
        client.close()
    assert started.is_running


def test_more_connections_than_wait_in_the_kernel_are_served_in_the_end(shared) -> None:
    # A template that is made meanwhile would have the one that is stopped replaced.
    tables = {"one": 'hosts = ["one.example"]', "two": 'hosts = ["two.example"]'}
    shared.serve('share = "off"', tables)
    pid = shared.ask("one.example").json()["pid"]
    os.kill(pid, signal.SIGSTOP)
    clients = [shared.connect() for _ in range(900)]
    try:
        for client in clients:
            client.send(encode_request("GET", "/", {"host": "one.example"}))
        # The other application does not notice.
        begun = time.monotonic()
        assert shared.name("two.example") == "two"
        # It would wait for as long as the other is stopped.
        assert time.monotonic() - begun < 20
    finally:
        os.kill(pid, signal.SIGCONT)
    for client in clients:
        assert client.read_response().status == 200
        client.close()


def test_the_router_is_a_thread_that_exists_only_for_shared_places(shared, serve_all, machine) -> None:
    def threads(pid: int) -> list[str]:
        found = []
        for path in Path(f"/proc/{pid}/task").glob("*/comm"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found.append(path.read_text().strip())
        return sorted(found)

    started = shared.serve("", {"one": 'hosts = ["one.example"]'})
    assert "router" in threads(started.pid)
    assert started.terminate() == 0
    alone = serve_all("", "alone")
    until(lambda: len(threads(alone.pid)) == 1)


def test_mistakes_are_told_with_their_place(machine) -> None:
    def told(text: str) -> str:
        machine.file.write_text(text)
        finished = run("--config", str(machine.file), cwd=machine.directory)
        assert finished.returncode == 2, finished.stderr
        checked = run("config", "--config", str(machine.file), cwd=machine.directory)
        assert checked.returncode == 2, checked.stdout
        for line in finished.stderr.splitlines():
            assert line in checked.stderr
        return finished.stderr

    one = 'app = "a:b"\n'
    wrong = told(f'[apps.one]\n{one}hosts = ["one.example"]\n')
    assert re.search(r"fleet.toml:3: \[apps.one\] hosts: there is no place that applications share", wrong)
    bind = 'bind = ["127.0.0.1:0"]\n'
    for table, part in (
        ('hosts = ["http://one.example"]', 'hosts: "http://one.example": a host without scheme and port'),
        ('hosts = ["bücher.example"]', "beginning with xn--"),
        ('paths = ["admin"]', 'paths: "admin": a path begins with /'),
        ('paths = ["/a/../b"]', "none that is . or .."),
        ('paths = ["/a"]\nroot-path = "/b"', "paths: not together with root-path"),
        ('hosts = ["a"]\nproxy-protocol = true', "Give the application a bind of its own in place of hosts"),
    ):
        assert part in told(f"{bind}[apps.one]\n{one}{table}\n"), table
    both = told(
        f'{bind}[apps.one]\n{one}hosts = ["A.example"]\n[apps.two]\n{one}hosts = ["a.example", "b.example"]\n'
    )
    assert "fleet.toml:7: [apps.two] hosts: a.example is one's already" in both
    paths = told(f'{bind}[apps.one]\n{one}paths = ["/a", "/b/"]\n[apps.two]\n{one}paths = ["/b"]\n')
    assert "[apps.two] hosts: */b is one's already" in paths
    secure = 'hosts = ["a.example"]\nssl-certfile = "a.pem"\n'
    split = told(f'{bind}[apps.one]\n{one}{secure}[apps.two]\n{one}hosts = ["a.example"]\npaths = ["/b"]\n')
    assert "with ssl-certfile a host is one application's" in split
    assert "hosts is one application's" in told(f'{bind}hosts = ["a"]\n[apps.one]\n{one}hosts = ["a"]\n')
    assert "write the places that applications share as bind" in told(f"port = 80\n[apps.one]\n{one}")
    assert '--bind: "nowhere": no port' in told(f'bind = ["nowhere"]\n[apps.one]\n{one}hosts = ["a"]\n')
    same = told(f'bind = ["127.0.0.1:81"]\n[apps.one]\n{one}bind = ["127.0.0.1:81"]\n')
    assert "127.0.0.1:81 is a place of all already" in same


def test_a_mistake_of_an_included_file_keeps_no_other_from_being_served(shared) -> None:
    machine = shared.machine
    table = shared.table("two", 'hosts = ["one.example"]')
    (machine.directory / "apps" / "two.toml").write_text(table)
    started = shared.serve('include = ["apps/*.toml"]', {"one": 'hosts = ["one.example"]'})
    started.stderr.wait_for_line(r"two.toml:\d+: \[apps.two\] hosts: one.example is one's already")
    assert shared.name("one.example") == "one"
    (machine.directory / "two.new").write_text(table.replace("one.example", "two.example"))
    (machine.directory / "two.new").rename(machine.directory / "apps" / "two.toml")
    until(lambda: shared.name("two.example") == "two", 60)


def test_stopping_ends_the_router_too(shared) -> None:
    started = shared.serve("", {"one": 'hosts = ["one.example"]'})
    with shared.connect() as idle, shared.connect() as silent:
        assert idle.get("/", {"host": "one.example"}).status == 200
        assert started.terminate() == 0
        assert idle.is_closed_by_server() and silent.is_closed_by_server()
    with pytest.raises(OSError):
        shared.connect()
