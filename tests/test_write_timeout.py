"""`--timeout-write`: clients that take nothing of what is sent to them."""

import ssl
import textwrap
import time
from pathlib import Path

import pytest
from hyperframe.frame import WindowUpdateFrame

from harness import RawClient
from harness.websocket_client import WebSocketClient

APP = """
    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            try:
                while True:
                    await send({"type": "websocket.send", "bytes": bytes(65536)})
            except OSError:
                pass
            print("gone", flush=True)
            return
        size = int(scope["path"][1:])
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(size)})
        print("gone" if (await receive())["type"] == "http.disconnect" else "", flush=True)
"""

SHORT = "0.4"
LONGER = "1.5"
"""For clients that should not be cut, on a busy machine either."""

MUCH = 32 * 1024 * 1024
"""More than both sockets hold."""


@pytest.fixture
def start(server, tmp_path: Path):
    (tmp_path / "mine.py").write_text(textwrap.dedent(APP))
    return lambda *flags: server("mine:app", *flags, cwd=tmp_path)


def ask(client: RawClient, size: int) -> None:
    client.send(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % size)
    client.read_head()


def read_until_cut(client: RawClient) -> int:
    """How many bytes come until the connection ends, be it with a reset."""
    count = 0
    try:
        while piece := client.socket.recv(1024 * 1024):
            count += len(piece)
    except (ConnectionResetError, ssl.SSLError):
        pass
    return count


def wait_until_cut(started) -> None:
    """A worker that has closed its only connection reports none."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and open_sockets(started):
        time.sleep(0.05)
    assert not open_sockets(started)


def open_sockets(started) -> list[str]:
    port = f"{started.address[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    # Those of the server's side that a process holds.
    return [row[1] for row in rows if row[1].endswith(f":{port}") and row[3] == "01"]


def test_a_client_that_takes_nothing_is_cut(start) -> None:
    started = start("--timeout-write", SHORT)
    with started.connect() as client:
        ask(client, MUCH)
        wait_until_cut(started)
        assert read_until_cut(client) < MUCH


def test_the_same_over_tls(start, authority) -> None:
    started = start("--timeout-write", SHORT, *authority.flags)
    with started.connect(tls=authority.trusting()) as client:
        ask(client, MUCH)
        wait_until_cut(started)
        assert read_until_cut(client) < MUCH


def test_a_websocket_whose_client_takes_nothing_is_cut(start) -> None:
    started = start("--timeout-write", SHORT)
    with WebSocketClient(started.address) as client:
        client.open("/")
        started.stdout.wait_for_line("gone")


def test_a_client_that_reads_slowly_is_answered(start) -> None:
    started = start("--timeout-write", LONGER)
    with started.connect() as client:
        ask(client, MUCH)
        began = time.monotonic()
        left = MUCH
        while left:
            left -= len(client.read_exactly(min(left, 768 * 1024)))
            time.sleep(0.1)
        assert time.monotonic() - began > 2 * float(LONGER)


def test_without_the_limit_nothing_is_cut(start) -> None:
    started = start("--timeout-write", "0")
    with started.connect() as client:
        ask(client, MUCH)
        time.sleep(4 * float(SHORT))
        assert len(client.read_exactly(MUCH)) == MUCH


def test_a_stream_that_the_client_holds_back_is_reset(start, connect) -> None:
    client = connect(start("--timeout-write", SHORT), settings={4: 0})
    held = client.request("GET", "/1000")
    assert client.response(held).reset == 8
    # The connection goes on.
    assert client.response(client.request("HEAD", "/1000")).status == 200


def test_a_stream_whose_window_opens_now_and_then_is_answered(start, connect) -> None:
    client = connect(start("--timeout-write", LONGER), settings={4: 0}, opens_windows=False)
    number = client.request("GET", "/1000")
    # All pauses together are beyond the limit, and each is far from it.
    for _ in range(10):
        time.sleep(float(LONGER) / 7)
        client.send(WindowUpdateFrame(number, window_increment=100))
    found = client.response(number)
    assert (found.reset, len(found.body)) == (None, 1000)
