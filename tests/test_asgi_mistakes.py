"""Wrong messages of applications, and applications that fail."""

import sys
from pathlib import Path
from typing import Any

import pytest

from harness.scripted import Scripted, body, start, writes

WRONG_STARTS = {
    "status 99": start(99),
    "status 1000": start(1000),
    "status 0": start(0),
    "negative status": start(-200),
    "huge status": start(2**70),
    "status in words": start("200"),
    "fractional status": start(200.5),
    "no status": {"type": "http.response.start"},
    "status None": start(None),
    "status 100": start(100),
    "status 101": start(101),
    "status 103": start(103),
    "new line in value": start(200, (b"x", b"a\r\nb: c")),
    "LF in value": start(200, (b"x", b"a\nb: c")),
    "CR in value": start(200, (b"x", b"a\rb")),
    "NUL in value": start(200, (b"x", b"a\0b")),
    "new line in name": start(200, (b"x\r\ny", b"a")),
    "space in name": start(200, (b"x y", b"a")),
    "colon in name": start(200, (b"x:", b"a")),
    "empty name": start(200, (b"", b"a")),
    "name beyond ASCII": start(200, (b"caf\xe9", b"a")),
    "name as str": start(200, ("x", b"a")),
    "value as str": start(200, (b"x", "a")),
    "value as int": start(200, (b"content-length", 5)),
    "name alone": start(200, (b"x",)),
    "triple": start(200, (b"x", b"a", b"b")),
    "no pair at all": start(200, 7),
    "headers no iterable": {"type": "http.response.start", "status": 200, "headers": 7},
    "length in words": start(200, (b"content-length", b"five")),
    "negative length": start(200, (b"content-length", b"-1")),
    "two lengths": start(200, (b"content-length", b"1"), (b"content-length", b"2")),
}


@pytest.mark.parametrize("wrong", WRONG_STARTS.values(), ids=WRONG_STARTS.keys())
def test_a_wrong_start_raises_in_the_application_and_is_a_500(
    scripted: Scripted, wrong: dict[str, Any]
) -> None:
    script = scripted.script(wrong, body(b"never"))
    response = scripted.server.get("/", script.headers)
    assert (response.status, response.body) == (500, b"Internal Server Error")
    (error,) = script.journal()
    assert isinstance(error, str)
    assert scripted.answer(start(), body(b"alive")).body == b"alive"


def test_after_a_wrong_start_a_right_one_is_still_possible(scripted: Scripted) -> None:
    """A framework that catches the error can answer with a page of its own."""
    response = scripted.answer(("try", start(200, (b"x", b"a\nb"))), start(503), body(b"sorry"))
    assert (response.status, response.body) == (503, b"sorry")


# Messages out of order and of no kind

WRONG_MESSAGES = {
    "body before start": ([], body(b"stray"), [start(), body(b"right")]),
    "trailers before start": (
        [],
        {"type": "http.response.trailers", "headers": []},
        [start(), body(b"right")],
    ),
    "start twice": ([start()], start(201), [body(b"right")]),
    "start in the body": ([start(), body(b"ri", more=True)], start(), [body(b"ght")]),
    "body after the end": ([start(), body(b"right")], body(b"stray"), []),
    "empty body after the end": ([start(), body(b"right")], body(), []),
    "start after the end": ([start(), body(b"right")], start(), []),
    "no such type": ([], {"type": "http.response.nonsense"}, [start(), body(b"right")]),
    "no such type in the body": ([start()], {"type": "http.response.nonsense"}, [body(b"right")]),
    "another protocol": ([], {"type": "websocket.send", "text": "x"}, [start(), body(b"right")]),
    "a request": ([], {"type": "http.request", "body": b""}, [start(), body(b"right")]),
    "push, not advertised": (
        [start()],
        {"type": "http.response.push", "path": "/", "headers": []},
        [body(b"right")],
    ),
    "file before the start": (
        [],
        {"type": "http.response.pathsend", "path": "/etc/hosts"},
        [start(), body(b"right")],
    ),
    "file that is not there": (
        [start()],
        {"type": "http.response.pathsend", "path": "/nowhere/at/all"},
        [body(b"right")],
    ),
    "file without a path": ([start()], {"type": "http.response.pathsend"}, [body(b"right")]),
    "file after the end": (
        [start(), body(b"right")],
        {"type": "http.response.pathsend", "path": "/etc/hosts"},
        [],
    ),
    "trailers, not advertised": (
        [start()],
        {"type": "http.response.trailers", "headers": []},
        [body(b"right")],
    ),
    "no type": ([], {"status": 200}, [start(), body(b"right")]),
    "type as bytes": ([], {"type": b"http.response.start", "status": 200}, [start(), body(b"right")]),
    "no dictionary": ([], [("type", "http.response.start")], [start(), body(b"right")]),
    "nothing": ([], None, [start(), body(b"right")]),
    "body as str": ([start()], body("stray"), [body(b"right")]),
    "body as int": ([start()], body(5), [body(b"right")]),
    "body as list": ([start()], body([1, 2]), [body(b"right")]),
}


@pytest.mark.parametrize(("before", "wrong", "after"), WRONG_MESSAGES.values(), ids=WRONG_MESSAGES.keys())
def test_a_wrong_message_raises_and_changes_nothing(
    scripted: Scripted, before: list[Any], wrong: Any, after: list[Any]
) -> None:
    script = scripted.script(*before, ("try", wrong), *after)
    response = scripted.server.get("/", script.headers)
    assert (response.status, response.body) == (200, b"right")
    assert [isinstance(entry, str) for entry in script.journal()] == [False] * len(before) + [True] + [
        False
    ] * len(after)


def test_trailers_announced_without_the_extension_do_not_hold_the_response_open(scripted: Scripted) -> None:
    with scripted.server.connect() as client:
        script = scripted.script(start(200, trailers=True), body(b"one", more=True), body(b"two"))
        response = client.get("/", script.headers)
        assert (response.body, response.trailers) == (b"onetwo", [])
        scripted.assert_in_step_with(client)


# Applications that fail


@pytest.mark.parametrize(
    "error", ["RuntimeError", "KeyError", "SystemExit", "KeyboardInterrupt", "CancelledError"]
)
def test_an_error_before_the_start_is_a_500(scripted: Scripted, error: str) -> None:
    with scripted.server.connect() as client, writes(scripted.server.stderr, "Exception in ASGI application"):
        response = client.get("/", scripted.script(("raise", "boom", error)).headers)
        assert (response.status, response.body) == (500, b"Internal Server Error")
        assert response.header("content-type") == "text/plain; charset=utf-8"
        assert response.header("connection") == "close"
        assert client.is_closed_by_server()
    assert scripted.answer(start(), body(b"alive")).body == b"alive"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="an eager task of 3.12 tells it for itself, too")
def test_an_exit_in_a_request_is_logged_once(server: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import asyncio, sys\n\nasync def app(scope, receive, send):\n    sys.exit('once is enough')\n"
    )
    started = server("mine:app", "--lifespan", "off", cwd=tmp_path)
    assert started.get("/").status == 500
    assert started.terminate() == 0
    said = started.stderr.wait_for_end()
    assert said.count("SystemExit: once is enough") == 1
    assert "never retrieved" not in said


def test_an_error_is_logged_with_its_traceback(scripted: Scripted) -> None:
    scripted.answer(("raise", "what went wrong"))
    lines = scripted.server.stderr
    lines.wait_for_line("ERROR.*Exception in ASGI application")
    lines.wait_for_line(r"Traceback \(most recent call last\)")
    lines.wait_for_line(r'File ".*http_script\.py", line \d+, in raise_error')
    lines.wait_for_line("RuntimeError: what went wrong")


def test_an_error_to_head_is_a_500_without_a_body(scripted: Scripted) -> None:
    with scripted.server.connect() as client:
        response = client.request("HEAD", "/", scripted.script(("raise", "boom")).headers)
        assert response.status == 500
        assert client.is_closed_by_server()


def test_an_error_in_a_stream_cuts_the_connection(scripted: Scripted) -> None:
    script = scripted.script(start(), body(b"one", more=True), ("wait", "go"), ("raise", "boom"))
    with scripted.server.connect() as client, writes(scripted.server.stderr, "Exception in ASGI application"):
        client.send(script.encode())
        assert client.read_head().is_chunked
        assert client.read_chunk() == b"one"
        script.signal("go")
        assert client.is_closed_by_server()


def test_an_error_within_a_promised_length_cuts_the_connection(scripted: Scripted) -> None:
    script = scripted.script(
        start(200, (b"content-length", b"6")), body(b"one", more=True), ("wait", "go"), ("raise", "boom")
    )
    with scripted.server.connect() as client:
        client.send(script.encode())
        assert client.read_head().status == 200
        assert client.read_exactly(3) == b"one"
        script.signal("go")
        assert client.is_closed_by_server()


def test_an_error_between_start_and_body_is_never_a_whole_response(scripted: Scripted) -> None:
    """The specification lets the server hold the start back, and then it may still say 500."""
    with scripted.server.connect() as client:
        client.send(scripted.script(start(), ("raise", "boom")).encode())
        received = client.read_until_close()
    assert received.startswith(b"HTTP/1.1 500") or not received.endswith(b"0\r\n\r\n")


def test_an_error_after_the_end_is_logged_and_harms_no_request(scripted: Scripted) -> None:
    with writes(scripted.server.stderr, "Exception in ASGI application"):
        assert scripted.answer(start(), body(b"whole"), ("raise", "too late")).body == b"whole"


def test_an_application_that_never_starts_is_a_500(scripted: Scripted) -> None:
    with writes(scripted.server.stderr, r"ERROR.*ASGI callable returned without starting response\."):
        response = scripted.answer()
    assert (response.status, response.body) == (500, b"Internal Server Error")


def test_an_application_that_does_not_complete_is_cut(scripted: Scripted) -> None:
    script = scripted.script(start(), body(b"one", more=True))
    complaint = r"ERROR.*ASGI callable returned without completing response\."
    with scripted.server.connect() as client, writes(scripted.server.stderr, complaint):
        client.send(script.encode())
        assert client.read_head().is_chunked
        assert client.read_chunk() == b"one"
        assert client.is_closed_by_server()


def test_an_application_that_starts_and_sends_no_body_is_never_a_whole_response(scripted: Scripted) -> None:
    complaint = r"ERROR.*ASGI callable returned without completing response\."
    with scripted.server.connect() as client, writes(scripted.server.stderr, complaint):
        client.send(scripted.script(start()).encode())
        received = client.read_until_close()
    assert received.startswith(b"HTTP/1.1 500") or not received.endswith(b"0\r\n\r\n")


def test_a_returned_value_is_complained_about(scripted: Scripted) -> None:
    with writes(scripted.server.stderr, r"ERROR.*ASGI callable should return None, but returned '5'\."):
        assert scripted.answer(start(), body(b"whole"), ("return", 5)).body == b"whole"
