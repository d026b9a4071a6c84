"""The configurations in docs/proxies.md, with the proxies themselves in front of the server."""

import http.client
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from harness import RawClient, Server
from harness.server import REPOSITORY
from harness.websocket_client import WebSocketClient

PAGE = REPOSITORY / "docs" / "proxies.md"


def snippet(name: str) -> str:
    """The block of the page that begins with a comment naming it."""
    blocks = re.findall(r"```[a-z]*\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (found,) = [block for block in blocks if block.splitlines()[0] == f"# {name}"]
    return found


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(arguments: list[str], port: int, cwd: Path) -> Iterator[None]:
    """The proxy, once it accepts on its port."""
    process = subprocess.Popen(
        arguments,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"HOME": str(cwd), "PATH": "/usr/bin"},
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, process.stdout and process.stdout.read().decode()
                assert time.monotonic() < deadline
                # The proxy does not say when it is ready.
                time.sleep(0.02)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()


def nginx(directory: Path, location: str, outside: str, port: int) -> list[str]:
    configuration = f"""
        daemon off;
        user root;
        pid {directory}/nginx.pid;
        error_log stderr;
        events {{ worker_connections 64; }}
        http {{
            access_log off;
            client_body_temp_path {directory}/body;
            proxy_temp_path {directory}/proxy;
            fastcgi_temp_path {directory}/fastcgi;
            uwsgi_temp_path {directory}/uwsgi;
            scgi_temp_path {directory}/scgi;
            {outside}
            server {{
                listen 127.0.0.1:{port};
                {location}
            }}
        }}
    """
    path = directory / "nginx.conf"
    path.write_text(configuration)
    return [program("nginx"), "-e", "stderr", "-p", str(directory), "-c", str(path)]


def haproxy(directory: Path, text: str, place: str, port: int) -> list[str]:
    text = text.replace(":80\n", f"127.0.0.1:{port}\n").replace("127.0.0.1:8000", place)
    path = directory / "haproxy.cfg"
    path.write_text(text)
    return [program("haproxy"), "-f", str(path)]


def caddy(directory: Path, text: str, place: str, port: int) -> list[str]:
    text = text.replace("example.org", f"http://:{port}").replace("127.0.0.1:8000", place)
    path = directory / "Caddyfile"
    path.write_text("{\n    admin off\n    default_bind 127.0.0.1\n}\n" + text)
    return [program("caddy"), "run", "--config", str(path), "--adapter", "caddyfile"]


PROXIES = ["nginx", "nginx over TCP", "HAProxy", "HAProxy, TCP", "Caddy"]


@pytest.fixture(params=PROXIES)
def behind(request: pytest.FixtureRequest, server, tmp_path: Path) -> Iterator[tuple[Server, int]]:
    """The server behind one of the page's proxies, and the proxy's port."""
    name = request.param
    program(name.split()[0].strip(",").lower())
    text = snippet(name)
    flags = re.search(r"# lowmem-serve app:app (.*)", text)
    assert flags
    words = flags[1].split()
    port = free_port()
    if "--uds" in words:
        words[words.index("--uds") + 1] = str(tmp_path / "app.sock")
        text = text.replace("/run/app.sock", str(tmp_path / "app.sock"))
    started: Server = server("proxied:app", *words)
    place = started.address if isinstance(started.address, str) else "{}:{}".format(*started.address)
    if name.startswith("nginx"):
        outside, _, location = text.partition("# in server { }\n")
        outside = outside.replace("127.0.0.1:8000", place)
        arguments = nginx(tmp_path, location.replace("127.0.0.1:8000", place), outside, port)
    elif name.startswith("HAProxy"):
        arguments = haproxy(tmp_path, text, place, port)
    else:
        arguments = caddy(tmp_path, text, place, port)
    with ExitStack() as stack:
        stack.enter_context(running(arguments, port, tmp_path))
        yield started, port


def told_to(port: int, headers: dict[str, str]) -> dict[str, str]:
    """The client that the application sees at an untrusted address."""
    connection = http.client.HTTPConnection("127.0.0.1", port, 20, source_address=("127.0.0.2", 0))
    try:
        connection.request("GET", "/who", headers={"host": "test.example", **headers})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def test_the_client_and_the_scheme_arrive(behind: tuple[Server, int]) -> None:
    told = told_to(behind[1], {})
    assert told == {"client": "127.0.0.2", "scheme": "http", "host": "test.example"}


def test_a_client_cannot_choose_its_address(behind: tuple[Server, int]) -> None:
    assert told_to(behind[1], {"x-forwarded-for": "9.9.9.9"})["client"] == "127.0.0.2"


def test_websockets_pass(behind: tuple[Server, int]) -> None:
    _, port = behind
    with WebSocketClient(("127.0.0.1", port), 20) as client:
        assert client.ask("/echo").status == 101
        client.say("over the proxy")
        assert client.read_frame().payload == b"over the proxy"


def test_an_event_stream_is_not_held_back(behind: tuple[Server, int]) -> None:
    """The second event follows when the client has had the first one, which a proxy that buffers would keep."""
    _, port = behind
    with RawClient(("127.0.0.1", port), 20) as client:
        client.send(b"GET /events HTTP/1.1\r\nhost: a\r\n\r\n")
        assert client.read_head().status == 200
        assert client.read_chunk() == b"data: 1\n\n"
        with RawClient(("127.0.0.1", port), 20) as other:
            assert other.get("/next").status == 200
        assert client.read_chunk() == b"data: 2\n\n"


def test_a_large_body_passes(behind: tuple[Server, int]) -> None:
    _, port = behind
    body = b"x" * 300_000
    with RawClient(("127.0.0.1", port), 20) as client:
        assert client.request("POST", "/length", None, body).body == b"300000"


def test_nginx_without_the_upgrade_fields_has_a_404(server, tmp_path: Path) -> None:
    """A handshake that has lost its fields is a plain request, which the application answers with 404."""
    started: Server = server("proxied:app")
    port = free_port()
    location = "location / {{ proxy_pass http://{}:{}; proxy_http_version 1.1; }}".format(*started.address)
    with running(nginx(tmp_path, location, "", port), port, tmp_path):
        with RawClient(("127.0.0.1", port), 20) as client:
            fields = {
                "connection": "Upgrade",
                "upgrade": "websocket",
                "sec-websocket-version": "13",
                "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
            }
            assert client.get("/echo", fields).status == 404
