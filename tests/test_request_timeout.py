"""`--timeout-request`: an application that does not begin its response in time."""

import signal
import time
from pathlib import Path

import pytest

from harness import run
from harness.scripted import Scripted, body, start
from harness.scripted_websocket import ACCEPT, CONNECT, disconnected
from harness.tunnelled_websocket import TunnelledWebSocket
from harness.websocket_client import WebSocketClient

SHORT = "1"
"""Long enough for a request that is answered at once on a busy machine."""

LINE = rf"No response within {SHORT} s: answered 504 \(--timeout-request\)"
NEVER = ("wait", "never")


@pytest.fixture
def hurried(server) -> Scripted:
    return Scripted(server("http_script:app", "--timeout-request", SHORT))


def test_the_answer_is_504_the_task_is_cancelled_and_the_log_says_where_it_was(hurried) -> None:
    script = hurried.script(NEVER)
    begun = time.monotonic()
    answer = hurried.server.get("/", script.headers)
    assert answer.status == 504 and answer.text == "Gateway Timeout"
    assert time.monotonic() - begun >= float(SHORT)
    # The script has ended, in its first step.
    assert script.journal() == []
    hurried.server.stderr.wait_for_line(LINE)
    hurried.server.stderr.wait_for_line("Task cancelled, timeout request exceeded")
    hurried.server.stderr.wait_for_line(r"http_script.py\", line \d+, in wait")
    hurried.server.stdout.wait_for_line('"GET / HTTP/1.1" 504')


def test_a_cancelled_application_that_goes_on_is_told_that_its_client_is_gone(server, tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(
        "import asyncio\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] != 'http':\n"
        "        return\n"
        "    await receive()\n"
        "    try:\n"
        "        await asyncio.sleep(60)\n"
        "    except asyncio.CancelledError as error:\n"
        "        print('cancelled:', error, flush=True)\n"
        "    print((await receive())['type'], flush=True)\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b'late'})\n"
    )
    started = server("stubborn:app", "--timeout-request", SHORT, "--app-dir", str(tmp_path))
    assert started.get("/").status == 504
    started.stdout.wait_for_line("cancelled: Task cancelled, --timeout-request exceeded")
    started.stdout.wait_for_line("http.disconnect")
    assert "Traceback" not in started.stderr.text


def test_an_application_without_asyncio_is_ended_too(server, tmp_path: Path) -> None:
    (tmp_path / "light.py").write_text(
        "async def app(scope, receive, send):\n"
        "    if scope['type'] != 'http':\n"
        "        return\n"
        "    try:\n"
        "        while True:\n"
        "            await receive()\n"
        "    finally:\n"
        "        print('ended', flush=True)\n"
    )
    started = server("light:app", "--timeout-request", SHORT, "--app-dir", str(tmp_path))
    assert started.get("/").status == 504
    started.stdout.wait_for_line("ended")
    started.stderr.wait_for_line("Task cancelled, timeout request exceeded")


def test_a_response_that_has_begun_may_take_its_time(hurried) -> None:
    script = hurried.script(start(200), body(b"one", more=True), ("wait", "go"), body(b"two"))
    with hurried.server.connect() as client:
        client.send(script.encode())
        assert client.read_head().status == 200
        assert client.read_chunk() == b"one"
        client.socket.settimeout(float(SHORT) * 1.5)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        client.socket.settimeout(10)
        script.signal("go")
        assert client.read_chunk() == b"two"


def test_a_head_without_a_body_is_no_response_yet(hurried) -> None:
    assert hurried.answer(start(200), NEVER).status == 504


def test_a_slow_upload_is_the_clients_time_and_what_follows_is_the_applications(hurried) -> None:
    script = hurried.script(("read",), NEVER)
    with hurried.server.connect() as client:
        client.send(script.encode("POST", [("content-length", "4")]))
        client.socket.settimeout(float(SHORT) * 0.4)
        for _ in range(4):
            with pytest.raises(TimeoutError):
                client.socket.recv(1)
            begun = time.monotonic()
            client.send(b"x")
        client.socket.settimeout(10)
        assert client.read_response("POST").status == 504
        assert time.monotonic() - begun >= float(SHORT) * 0.9
    assert script.journal() == [(b"xxxx", "http.request")]


def test_an_application_that_leaves_the_body_unread_has_no_more_time(hurried) -> None:
    script = hurried.script(NEVER)
    with hurried.server.connect() as client:
        client.send(script.encode("POST", [("content-length", "1000000")]) + b"x" * 200_000)
        assert client.read_response("POST").status == 504


def test_the_earlier_of_two_times_counts(server) -> None:
    for flags, status in (
        (("--timeout-request", SHORT, "--timeout-body-read", "30"), 504),
        (("--timeout-request", "30", "--timeout-body-read", SHORT), 408),
    ):
        hurried = Scripted(server("http_script:app", *flags))
        # One that waits for the client, and one that has all of the body.
        script = hurried.script(("read",)) if status == 408 else hurried.script(NEVER)
        length = "10" if status == 408 else "1"
        with hurried.server.connect() as client:
            client.send(script.encode("POST", [("content-length", length)]) + b"x")
            assert client.read_response("POST").status == status


def test_a_pipelined_request_has_a_time_of_its_own(hurried) -> None:
    first = hurried.script(("wait", "go"), start(200), body(b"first"))
    second = hurried.script(NEVER)
    with hurried.server.connect() as client:
        client.send(first.encode() + second.encode())
        client.socket.settimeout(float(SHORT) * 0.4)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        client.socket.settimeout(10)
        begun = time.monotonic()
        first.signal("go")
        assert client.read_response().body == b"first"
        assert client.read_response().status == 504
        assert time.monotonic() - begun >= float(SHORT) * 0.9
        assert client.is_closed_by_server()


def test_within_http2_only_the_stream_ends(hurried, connect) -> None:
    client = connect(hurried.server)
    slow = hurried.script(NEVER)
    number = client.request("GET", "/", list(slow.headers.items()))
    other = hurried.script(start(200), body(b"begun", more=True), ("wait", "go"), body(b"."))
    streaming = client.request("GET", "/", list(other.headers.items()))
    assert client.response(number).status == 504
    assert slow.journal() == []
    other.signal("go")
    assert client.response(streaming).body == b"begun."
    # A slow upload is the client's time.
    upload = hurried.script(("read",), start(200), body(b"whole"))
    number = client.request("POST", "/", list(upload.headers.items()), end=False)
    time.sleep(float(SHORT) * 1.5)
    client.data(number, b"x", end=True)
    assert client.response(number).body == b"whole"


def test_a_handshake_that_is_not_answered_is_a_504_over_both_protocols(hurried, connect) -> None:
    script = hurried.script(("receive",), NEVER)
    client = WebSocketClient(hurried.server.address)
    assert client.ask("/", script.headers).status == 504
    assert script.journal() == [CONNECT]
    script = hurried.script(("receive",), ("receive",))
    tunnelled = TunnelledWebSocket(connect(hurried.server), "/", list(script.headers.items()))
    assert tunnelled.answer().status == 504
    assert script.journal()[:2] in ([CONNECT], [CONNECT, disconnected(1006)])


def test_an_accepted_websocket_has_no_such_time(hurried) -> None:
    script = hurried.script(("receive",), ACCEPT, ("echo",))
    client = WebSocketClient(hurried.server.address)
    client.open("/", script.headers)
    client.socket.settimeout(float(SHORT) * 1.5)
    with pytest.raises(TimeoutError):
        client.socket.recv(1)


def test_a_view_of_wsgi_goes_on_and_its_client_is_answered(server) -> None:
    started = server("wsgi_app:app", "--timeout-request", SHORT, "--wsgi-threads", "2")
    with started.connect() as client:
        client.send(b"GET /meet/gate HTTP/1.1\r\nhost: a\r\n\r\n")
        assert client.read_response().status == 504
    started.stderr.wait_for_line(LINE)
    # Its thread still waits, another one serves.
    assert started.get("/set/gate").status == 200
    for _ in range(3):
        assert started.get("/journal/none").status == 200
    assert "Traceback" not in started.stderr.text


def test_what_is_served_without_the_application_is_not_held_to_it(server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (8 << 20))
    started = server("hello:app", "--timeout-request", "0.2", "--static", f"/static={tmp_path}")
    with started.connect() as client:
        client.send(b"GET /static/file HTTP/1.1\r\nhost: a\r\n\r\n")
        time.sleep(0.6)
        assert len(client.read_response().body) == 8 << 20


def test_a_drain_goes_on_over_requests_that_time_out(hurried) -> None:
    script = hurried.script(("receive",), NEVER)
    with hurried.server.connect() as client:
        client.send(script.encode())
        # It is served by now.
        script.reached(1)
        hurried.server.send_signal(signal.SIGTERM)
        assert client.read_response().status == 504
    assert hurried.server.wait() == 0


def test_no_time_is_wrong_usage() -> None:
    ended = run("hello:app", "--timeout-request", "0")
    assert ended.returncode == 2 and "--timeout-request" in ended.stderr
