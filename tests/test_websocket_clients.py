"""WebSockets with other people's clients and frameworks, and across the end of a worker."""

import ast
import json
import os
import signal
import sys
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import CloseCode
from websockets.sync.client import ClientConnection, unix_connect
from websockets.sync.client import connect as open_websocket

from harness import REPOSITORY, Server, processes
from harness.authority import Authority
from harness.raw_client import encode_request
from harness.scripted import Scripted
from harness.websocket_client import HANDSHAKE, WebSocketClient, encode_close

sys.path.insert(0, str(REPOSITORY / "benches"))
import weigh

FRAMEWORKS = ("starlette", "fastapi", "quart", "litestar", "channels")


def connect(server: Server, target: str, **options) -> ClientConnection:
    return open_websocket(server.url.replace("http", "ws") + target, proxy=None, **options)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_framework_converses_with_a_client_that_compresses(server, framework: str) -> None:
    started = server("websocket_frameworks:app", env={"FRAMEWORK": framework})
    with connect(started, "/shout/ada") as socket:
        assert "permessage-deflate" in socket.response.headers["sec-websocket-extensions"]
        assert json.loads(socket.recv()) == {"hello": "ada"}
        for text in ("short", "long " * 5000):
            socket.send(text)
            assert socket.recv() == text.upper()
        socket.close(code=1001, reason="enough")
    started.stdout.wait_for_line("left")
    assert "Traceback" not in started.output


@pytest.mark.parametrize("framework", ["starlette", "quart"])
def test_a_framework_rejects_a_handshake(server, framework: str) -> None:
    started = server("websocket_frameworks:app", env={"FRAMEWORK": framework})
    with pytest.raises(InvalidStatus) as refused:
        connect(started, "/forbidden")
    assert refused.value.response.status_code == 403


def test_the_clients_code_and_reason_reach_a_framework(server) -> None:
    started = server("websocket_frameworks:app", env={"FRAMEWORK": "starlette"})
    with connect(started, "/shout/ada") as socket:
        socket.close(code=4321, reason="because")
    started.stdout.wait_for_line("left with 4321 because")


def test_a_client_pings(server) -> None:
    with connect(server("websocket_light:app"), "/") as socket:
        assert socket.ping().wait(20)


# --- the end of a worker


def test_a_server_that_stops_tells_both_sides_to_come_back(server) -> None:
    started = server("websocket_light:app")
    with connect(started, "/") as socket:
        socket.send("hello")
        assert socket.recv() == "hello"
        assert started.terminate() == 0
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()
    assert closed.value.rcvd.code == CloseCode.SERVICE_RESTART
    assert "disconnected with 1012" in started.stdout.wait_for_end()


@pytest.mark.parametrize("mode", ["overlap", "sequential"])
def test_a_worker_that_is_replaced_sends_its_clients_to_the_next(server, mode: str) -> None:
    started = server("websocket_light:app", "--recycle", mode)
    sockets = [connect(started, "/") for _ in range(20)]
    os.kill(started.pid, signal.SIGHUP)
    for socket in sockets:
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=20)
        assert closed.value.rcvd.code == CloseCode.SERVICE_RESTART
        with connect(started, "/") as again:
            again.send("again")
            assert again.recv() == "again"
    started.stdout.wait_for_line("disconnected with 1012", times=20)
    started.stderr.wait_for_line("Finished server process")


def test_a_client_that_does_not_answer_the_close_delays_the_end_by_two_seconds(server) -> None:
    started = server("websocket_light:app")
    with WebSocketClient(started.address) as client:
        client.open()
        began = time.monotonic()
        assert started.terminate() == 0
        assert time.monotonic() - began >= 1.5
        assert client.read_close() == (1012, "")


def test_an_application_that_ignores_the_end_is_cancelled_with_the_grace_period(server) -> None:
    started = server("http_script:app", "--timeout-graceful-shutdown", "1")
    script = Scripted(started).script(("receive",), {"type": "websocket.accept"}, ("wait", "for ever"))
    with WebSocketClient(started.address) as client:
        client.open("/", script.headers)
        started.send_signal(signal.SIGTERM)
        assert client.read_close() == (1012, "")
        client.send(encode_close(1012))
        assert client.read_until_close() == b""
        assert started.wait() == 0
    started.stderr.wait_for_line("timeout graceful shutdown exceeded")


def test_a_handshake_that_is_not_answered_is_a_503_before_the_grace_period_ends(server) -> None:
    started = server("http_script:app", "--timeout-graceful-shutdown", "2")
    script = Scripted(started).script(("receive",), ("receive",))
    with WebSocketClient(started.address) as client:
        client.send(encode_request("GET", "/", [*HANDSHAKE, *script.headers.items()]))
        script.reached(1)
        started.send_signal(signal.SIGTERM)
        assert client.read_response().status == 503
        assert started.wait() == 0


# --- limits


def test_an_open_websocket_is_no_request_in_flight(server) -> None:
    started = server("websocket_light:app", "--limit-concurrency", "1")
    sockets = [connect(started, "/") for _ in range(3)]
    assert started.get("/").status == 200
    for socket in sockets:
        socket.send("x")
        assert socket.recv() == "x"
        socket.close()


def test_a_handshake_is_one_of_the_requests_after_which_a_worker_is_replaced(server) -> None:
    started = server("websocket_light:app", "--max-requests", "3")
    for _ in range(3):
        with connect(started, "/") as socket:
            socket.send("x")
            assert socket.recv() == "x"
    started.stderr.wait_for_line("Finished server process")


# --- other ways in


def test_a_websocket_over_tls(server, tmp_path) -> None:
    authority = Authority(tmp_path)
    started = server("websocket_scope:app", *authority.flags)
    url = f"wss://localhost:{started.port}/"
    with open_websocket(url, ssl=authority.trusting(), proxy=None) as socket:
        scope = ast.literal_eval(socket.recv())
        assert scope["scheme"] == "wss"
        assert set(scope["extensions"]) == {"tls", "websocket.http.response"}
        os.kill(started.pid, signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()
    assert closed.value.rcvd.code == CloseCode.SERVICE_RESTART


def test_a_websocket_over_a_unix_socket(server, tmp_path) -> None:
    path = str(tmp_path / "socket")
    server("websocket_light:app", "--uds", path)
    with unix_connect(path) as socket:
        socket.send("hello" * 50_000)
        assert socket.recv() == "hello" * 50_000


def test_a_proxy_tells_the_scheme_of_a_websocket(server) -> None:
    started = server("websocket_scope:app")
    headers = {"x-forwarded-proto": "https", "x-forwarded-for": "9.9.9.9"}
    with connect(started, "/", additional_headers=headers) as socket:
        scope = ast.literal_eval(socket.recv())
    assert (scope["scheme"], scope["client"]) == ("wss", ("9.9.9.9", 0))
    started.stderr.wait_for_line(r'9\.9\.9\.9:0 - "WebSocket /" \[accepted\]')


def test_an_idle_websocket_is_small(server) -> None:
    """5 KiB with all that Python holds for it; 4 in a release build."""
    started = server("websocket_light:app")
    (worker,) = processes.children(started.pid)

    def opened(count: int) -> list[WebSocketClient]:
        clients = [WebSocketClient(started.address) for _ in range(count)]
        for client in clients:
            client.open("/", {"sec-websocket-extensions": "permessage-deflate"})
        started.get("/")
        return clients

    # What one costs once, and what the first hundreds make room for.
    early = opened(200)
    before = weigh.weigh_process(worker).private_dirty
    clients = opened(600)

    def weight() -> float:
        return (weigh.weigh_process(worker).private_dirty - before) / 600

    # What is open rests a moment later, and nothing tells when.
    deadline = time.monotonic() + 40
    while weight() >= 5 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert weight() < 5
    for client in (*early, *clients):
        client.close()
