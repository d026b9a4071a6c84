"""HTTP/2: how its connections end, and which of them begin at all."""

import ast
import signal
import socket
import time

import pytest
from hyperframe.frame import DataFrame, GoAwayFrame, PingFrame

from harness.http2_frames import NO_ERROR
from harness.scripted import Scripted, body, start


def read_by_now(server):
    """What was sent before is read when an answer comes on another connection."""
    assert server.get("/reached/none/0").status == 200


def test_a_drain_lets_a_response_end_and_says_goaway_then(server, connect):
    scripted = Scripted(server("http_script:app"))
    script = scripted.script(start(200), body(b"begun ", more=True), ("wait", "go"), body(b"ended"))
    client = connect(scripted.server)
    with scripted.server.connect() as control:
        number = client.request("GET", "/", list(script.headers.items()))
        client.read_until(DataFrame)
        # A request on its way keeps its connection through the drain.
        go = f"GET /set/{script.headers['x-id']}-go HTTP/1.1\r\nhost: a\r\n"
        control.send(go.encode())
        read_by_now(scripted.server)
        scripted.server.send_signal(signal.SIGTERM)
        scripted.server.stderr.wait_for_line("Shutting down")
        control.send(b"\r\n")
        assert client.response(number).body == b"begun ended"
        client.read_until_close()
    last = client.goaways[-1]
    assert (last.error_code, last.last_stream_id) == (NO_ERROR, number)
    assert scripted.server.wait() == 0


def test_a_connection_that_is_never_idle_hears_goaway_after_a_while(server, connect):
    scripted = Scripted(server("http_script:app", "--timeout-graceful-shutdown", "4"))
    script = scripted.script(
        start(200), body(b"begun ", more=True), ("receive",), ("receive",), body(b"ended")
    )
    client = connect(scripted.server)
    number = client.request("GET", "/", list(script.headers.items()))
    client.read_until(DataFrame)
    scripted.server.send_signal(signal.SIGTERM)
    warning = client.read_until(GoAwayFrame)
    assert (warning.error_code, warning.last_stream_id) == (NO_ERROR, 2**31 - 1)
    # Near the end of the grace period the application hears that its client is gone.
    assert client.response(number).body == b"begun ended"
    assert scripted.server.wait() == 0


def drain(started):
    started.send_signal(signal.SIGTERM)


def recycle(started):
    started.send_signal(signal.SIGHUP)


def wait(started):
    """Until the connection has been idle for too long."""


@pytest.mark.parametrize("end", [drain, recycle, wait])
def test_an_idle_connection_is_told_to_go_in_two_steps(server, connect, end):
    """RFC 9113 section 6.8: a request that is on its way is answered."""
    started = server("hello:app", "--timeout-keep-alive", "1")
    client = connect(started, answers_pings=False)
    assert client.get("/").status == 200
    end(started)
    warning = client.read_until(GoAwayFrame)
    assert (warning.error_code, warning.last_stream_id) == (NO_ERROR, 2**31 - 1)
    assert client.get("/").body == b"Hello, world!"
    question = client.read_until(PingFrame)
    assert client.get("/").body == b"Hello, world!"
    client.send(PingFrame(opaque_data=question.opaque_data, flags=["ACK"]))
    last = client.read_until(GoAwayFrame)
    assert (last.error_code, last.last_stream_id) == (NO_ERROR, 5)
    client.read_until_close()


def test_a_client_that_does_not_answer_is_left_all_the_same(server, connect):
    started = server("hello:app")
    client = connect(started, answers_pings=False)
    assert client.get("/").status == 200
    drain(started)
    client.read_until_close()
    assert [each.last_stream_id for each in client.goaways] == [2**31 - 1, 1]
    assert started.wait() == 0


def test_goaway_comes_with_the_last_response(server, connect):
    """A client that sees it only afterwards may have sent another request."""
    scripted = Scripted(server("http_script:app"))
    script = scripted.script(start(200), body(b"begun ", more=True), ("wait", "go"), body(b"ended"))
    client = connect(scripted.server)
    with scripted.server.connect() as control:
        client.request("GET", "/", list(script.headers.items()))
        client.read_until(DataFrame)
        control.send(f"GET /set/{script.headers['x-id']}-go HTTP/1.1\r\nhost: a\r\n".encode())
        read_by_now(scripted.server)
        scripted.server.send_signal(signal.SIGTERM)
        scripted.server.stderr.wait_for_line("Shutting down")
        control.send(b"\r\n")
        while b"\0\0\x08\x07" not in (seen := client.socket.recv(65536, socket.MSG_PEEK)):
            assert b"ended" not in seen, "GOAWAY should come with what the client waits for"


def test_a_connection_in_use_is_not_idle(server, connect):
    """Its requests are answered at once, so that it is never seen with one open."""
    client = connect(server("hello:app", "--timeout-keep-alive", "2", "--no-access-log"))
    end = time.monotonic() + 5
    while time.monotonic() < end:
        assert client.get("/").status == 200
    assert client.goaways == []


def test_a_preface_without_a_sequel_has_its_time(server):
    started = server("hello:app", "--timeout-header-read", "1")
    with started.connect() as client:
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        client.read_until_close()
    with started.connect() as client:
        client.send(b"PRI * HT")
        assert client.read_response().status == 408


def test_http_1_alone_knows_no_preface(server):
    with server("hello:app", "--http", "1").connect() as client:
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert client.read_response().status == 505


def test_http_2_alone_answers_nothing_else(server, connect):
    started = server("hello:app", "--http", "2")
    assert connect(started).get("/").status == 200
    with started.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert b"HTTP/1.1" not in client.read_until_close()


def test_an_upgrade_from_http_1_is_not_taken(server):
    with server("http_scope:app").connect() as client:
        upgrade = {"connection": "upgrade, http2-settings", "upgrade": "h2c", "http2-settings": "AAMAAABk"}
        response = client.get("/", upgrade)
        assert response.status == 200
        assert ast.literal_eval(response.text)["scope"]["http_version"] == "1.1"


def test_uvicorns_words_for_http_are_taken(server, connect):
    started = server("hello:app", "--http", "httptools", "--http2")
    assert started.stderr.wait_for_line("--http httptools is ignored")
    assert connect(started).get("/").status == 200


def test_a_client_that_leaves_in_the_middle_of_a_frame_is_no_news(server, connect):
    started = server("hello:app")
    client = connect(started)
    client.socket.sendall(b"\x00\x00\x10\x01")
    client.socket.shutdown(socket.SHUT_RDWR)
    assert connect(started).get("/").status == 200
    assert "Traceback" not in started.stderr.text
