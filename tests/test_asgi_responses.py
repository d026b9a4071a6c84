"""What an application sends, what the client gets, and what the server makes of messages that are wrong."""

import re
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from harness import RawClient, Response, Server
from harness.scripted import Scripted, body, start, writes

IMF_FIXDATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
OWN_HEADERS = {"date", "server", "content-length", "transfer-encoding", "connection"}


@pytest.fixture(scope="module")
def scripted() -> Iterator[Scripted]:
    # A script that a failed test leaves waiting shall not hold up the end.
    with Server("http_script:app", "--timeout-graceful-shutdown", "1") as server:
        yield Scripted(server)


def app_headers(response: Response) -> list[tuple[str, str]]:
    return [(name, value) for name, value in response.headers if name.lower() not in OWN_HEADERS]


def send_over_1_0(
    client: RawClient, scripted: Scripted, *steps: Any, connection: str | None = None
) -> Response:
    headers = scripted.script(*steps).headers | ({"connection": connection} if connection else {})
    client.send(
        "".join(["GET / HTTP/1.0\r\n", *(f"{n}: {v}\r\n" for n, v in headers.items()), "\r\n"]).encode()
    )
    return client.read_response()


def assert_still_in_step(client: RawClient, scripted: Scripted) -> None:
    """The connection carries the next request: nothing of the last response was left over."""
    assert client.get("/", scripted.script(start(), body(b"next")).headers).body == b"next"


# Bodies and their framing


def test_a_body_sent_at_once_gets_its_length(scripted: Scripted) -> None:
    response = scripted.answer(start(), body(b"hello"))
    assert response.header("content-length") == "5"
    assert response.body == b"hello"


@pytest.mark.parametrize("last", [body(), {"type": "http.response.body"}], ids=["empty", "left out"])
def test_an_empty_body_has_the_length_zero(scripted: Scripted, last: dict[str, Any]) -> None:
    assert scripted.answer(start(), last).header("content-length") == "0"


def test_a_streamed_body_is_chunked(scripted: Scripted) -> None:
    response = scripted.answer(start(), body(b"one ", more=True), body(b"two", more=True), body())
    assert response.is_chunked
    assert response.body == b"one two"


def test_a_streamed_part_reaches_the_client_before_the_next_is_sent(scripted: Scripted) -> None:
    script = scripted.script(start(), body(b"one", more=True), ("wait", "go"), body(b"two"))
    with scripted.server.connect() as client:
        client.send(script.encode())
        assert client.read_head().status == 200
        assert client.read_chunk() == b"one"
        script.signal("go")
        assert client.read_chunk() == b"two"
        assert client.read_chunk() == b""


def test_an_empty_part_does_not_end_a_stream(scripted: Scripted) -> None:
    empty = body(b"", more=True)
    response = scripted.answer(
        start(), empty, body(b"one ", more=True), empty, empty, body(b"two", more=True), body()
    )
    assert response.body == b"one two"


def test_the_length_given_by_the_application_is_kept(scripted: Scripted) -> None:
    response = scripted.answer(start(200, (b"content-length", b"6")), body(b"one", more=True), body(b"two"))
    assert response.header("content-length") == "6"
    assert response.body == b"onetwo"


def test_a_chunked_header_of_the_application_is_not_doubled(scripted: Scripted) -> None:
    with scripted.server.connect() as client:
        steps = start(200, (b"transfer-encoding", b"chunked")), body(b"one", more=True), body(b"two")
        response = client.get("/", scripted.script(*steps).headers)
        assert response.all("transfer-encoding") == ["chunked"]
        assert response.body == b"onetwo"
        assert_still_in_step(client, scripted)


def test_a_response_never_has_two_framings(scripted: Scripted) -> None:
    both = (b"content-length", b"3"), (b"transfer-encoding", b"chunked")
    response = scripted.answer(start(200, *both), body(b"one"))
    assert response.status == 500 or response.body == b"one"


@pytest.mark.parametrize("kind", ["bytearray", "memoryview"])
@pytest.mark.parametrize("more", [False, True])
def test_any_bytes_like_body_is_sent(scripted: Scripted, kind: str, more: bool) -> None:
    steps = start(), ("send", body(b"hello", more), kind), *([body()] if more else [])
    assert scripted.answer(*steps).body == b"hello"


def test_a_large_body_arrives_whole(scripted: Scripted) -> None:
    one_mib = ("send", body(b"0123456789abcdef", more=True), "times 65536")
    response = scripted.answer(start(), one_mib, one_mib, one_mib, body())
    assert response.body == b"0123456789abcdef" * 65_536 * 3


def test_a_large_body_at_once_arrives_whole(scripted: Scripted) -> None:
    response = scripted.answer(start(), ("send", body(b"0123456789abcdef"), "times 65536"))
    assert response.header("content-length") == "1048576"
    assert response.body == b"0123456789abcdef" * 65_536


def test_many_small_parts_arrive_whole(scripted: Scripted) -> None:
    response = scripted.answer(start(), ("repeat", 5_000, body(b"ab", more=True)), body(b"c"))
    assert response.body == b"ab" * 5_000 + b"c"


# The length that was promised


def test_a_body_shorter_than_promised_closes_the_connection(scripted: Scripted) -> None:
    script = scripted.script(start(200, (b"content-length", b"10")), body(b"one", more=True), body(b"two"))
    with scripted.server.connect() as client:
        client.send(script.encode())
        assert client.read_head().header("content-length") == "10"
        assert client.read_until_close() in (b"one", b"onetwo")


def test_a_body_at_once_and_shorter_than_promised_is_never_taken_for_whole(scripted: Scripted) -> None:
    script = scripted.script(start(200, (b"content-length", b"10")), body(b"short"))
    with scripted.server.connect() as client:
        client.send(script.encode())
        head = client.read_head()
        assert head.status == 500 or client.read_until_close() == b"short"


def test_a_body_longer_than_promised_raises_and_sends_nothing_in_excess(scripted: Scripted) -> None:
    steps = start(200, (b"content-length", b"3")), body(b"one", more=True), ("try", body(b"two"))
    script = scripted.script(*steps)
    with scripted.server.connect() as client:
        client.send(script.encode(headers=[("connection", "close")]))
        assert client.read_head().header("content-length") == "3"
        assert client.read_until_close() == b"one"
    assert isinstance(script.journal()[2], str)


def test_a_body_at_once_and_longer_than_promised_raises(scripted: Scripted) -> None:
    script = scripted.script(start(200, (b"content-length", b"3")), body(b"excess"))
    with scripted.server.connect() as client:
        client.send(script.encode(headers=[("connection", "close")]))
        head = client.read_head()
        assert head.status == 500 or len(client.read_until_close()) <= 3
    assert isinstance(script.journal()[1], str)


# Responses without a body


def test_head_gets_the_headers_of_get_and_no_body(scripted: Scripted) -> None:
    with scripted.server.connect() as client:
        script = scripted.script(start(200, (b"x-a", b"1")), body(b"hello"))
        response = client.request("HEAD", "/", script.headers)
        assert response.header("x-a") == "1"
        assert response.header("content-length") == "5"
        assert_still_in_step(client, scripted)
    assert script.journal() == [None, None]


@pytest.mark.parametrize("last", [body(), body(b"x" * 1000), body(b"short")], ids=["none", "whole", "short"])
def test_head_keeps_the_length_of_the_application(scripted: Scripted, last: dict[str, Any]) -> None:
    with scripted.server.connect() as client:
        script = scripted.script(start(200, (b"content-length", b"1000")), last)
        assert client.request("HEAD", "/", script.headers).header("content-length") == "1000"
        assert_still_in_step(client, scripted)


def test_a_streamed_answer_to_head_sends_no_chunk(scripted: Scripted) -> None:
    with scripted.server.connect() as client:
        script = scripted.script(start(), body(b"one", more=True), body(b"two", more=True), body())
        assert client.request("HEAD", "/", script.headers).header("content-length") is None
        assert_still_in_step(client, scripted)
    assert script.journal() == [None] * 4


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("parts", [[body()], [body(more=True), body()]], ids=["at once", "streamed"])
def test_a_status_without_a_body_has_no_framing(
    scripted: Scripted, status: int, parts: list[dict[str, Any]]
) -> None:
    with scripted.server.connect() as client:
        response = client.get("/", scripted.script(start(status, (b"etag", b'"a"')), *parts).headers)
        assert response.status == status
        assert response.header("etag") == '"a"'
        assert response.header("transfer-encoding") is response.header("content-length") is None
        assert_still_in_step(client, scripted)


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("more", [False, True])
def test_a_body_for_a_status_without_one_never_reaches_the_client(
    scripted: Scripted, status: int, more: bool
) -> None:
    script = scripted.script(start(status), ("try", body(b"stray", more)), ("try", body()))
    with scripted.server.connect() as client:
        client.send(script.encode(headers=[("connection", "close")]))
        assert client.read_response().status in (status, 500)
        assert b"stray" not in client.read_until_close()


def test_no_content_drops_the_length_of_the_application(scripted: Scripted) -> None:
    """RFC 9110 section 8.6."""
    response = scripted.answer(start(204, (b"content-length", b"0")), body())
    assert response.header("content-length") is None


def test_not_modified_may_tell_the_length_it_would_have(scripted: Scripted) -> None:
    with scripted.server.connect() as client:
        response = client.get("/", scripted.script(start(304, (b"content-length", b"1000")), body()).headers)
        assert response.header("content-length") in ("1000", None)
        assert_still_in_step(client, scripted)


# HTTP/1.0 and the life of the connection


def test_http_1_0_gets_a_stream_unchunked_and_ended_by_the_close(scripted: Scripted) -> None:
    with scripted.server.connect() as client:
        response = send_over_1_0(client, scripted, start(), body(b"one", more=True), body(b"two"))
        assert not response.is_chunked
        assert response.body == b"onetwo"


def test_http_1_0_is_closed_after_the_response(scripted: Scripted) -> None:
    with scripted.server.connect() as client:
        assert send_over_1_0(client, scripted, start(), body(b"hello")).body == b"hello"
        assert client.is_closed_by_server()


def test_http_1_0_is_kept_alive_if_asked(scripted: Scripted) -> None:
    with scripted.server.connect() as client:
        for _ in range(2):
            response = send_over_1_0(client, scripted, start(), body(b"hello"), connection="keep-alive")
            assert response.header("connection") == "keep-alive"
            assert response.body == b"hello"


def test_http_1_0_cannot_keep_alive_after_a_stream(scripted: Scripted) -> None:
    with scripted.server.connect() as client:
        steps = start(), body(b"one", more=True), body(b"two")
        response = send_over_1_0(client, scripted, *steps, connection="keep-alive")
        assert response.header("connection") in ("close", None)
        assert response.body == b"onetwo"


@pytest.mark.parametrize("value", ["close", "Close", "x, close"])
def test_the_client_may_ask_for_the_close(scripted: Scripted, value: str) -> None:
    with scripted.server.connect() as client:
        headers = scripted.script(start(), body(b"hello")).headers | {"connection": value}
        response = client.get("/", headers)
        assert response.header("connection") == "close"
        assert response.body == b"hello"
        assert client.is_closed_by_server()


@pytest.mark.parametrize("parts", [[body(b"hello")], [body(b"he", more=True), body(b"llo")]])
def test_the_application_may_ask_for_the_close(scripted: Scripted, parts: list[dict[str, Any]]) -> None:
    with scripted.server.connect() as client:
        response = client.get("/", scripted.script(start(200, (b"connection", b"close")), *parts).headers)
        assert response.all("connection") == ["close"]
        assert response.body == b"hello"
        assert client.is_closed_by_server()


# Headers and status


def test_date_and_server_come_once_by_themselves(scripted: Scripted) -> None:
    response = scripted.answer(start(), body())
    date = response.header("date")
    assert date and IMF_FIXDATE.fullmatch(date)
    assert abs(parsedate_to_datetime(date).timestamp() - time.time()) < 5
    assert response.header("server") == "lowmem-serve"


def test_the_application_may_set_date_and_server_itself(scripted: Scripted) -> None:
    old = b"Thu, 01 Jan 1970 00:00:00 GMT"
    response = scripted.answer(start(200, (b"server", b"mine"), (b"Date", old)), body())
    assert response.all("server") == ["mine"]
    assert response.all("date") == [old.decode()]


def test_headers_keep_the_order_of_the_application(scripted: Scripted) -> None:
    sent = [
        ("a", "1"),
        ("b", "2"),
        ("a", "3"),
        ("set-cookie", "x=1"),
        ("b", "2"),
        ("set-cookie", "y=2"),
        ("a", ""),
    ]
    response = scripted.answer(start(200, *((name.encode(), value.encode()) for name, value in sent)), body())
    assert app_headers(response) == sent


@pytest.mark.parametrize("kind", ["tuple", "generator"])
def test_headers_may_be_any_iterable(scripted: Scripted, kind: str) -> None:
    response = scripted.answer(("send", start(200, (b"x-a", b"1"), (b"x-b", b"2")), kind), body())
    assert app_headers(response) == [("x-a", "1"), ("x-b", "2")]


def test_headers_may_be_lists_of_two(scripted: Scripted) -> None:
    """As in the examples of the specification."""
    response = scripted.answer(start(200, [b"x-a", b"1"], [b"x-b", b"2"]), body())
    assert app_headers(response) == [("x-a", "1"), ("x-b", "2")]


def test_headers_may_be_left_out(scripted: Scripted) -> None:
    assert scripted.answer({"type": "http.response.start", "status": 201}, body()).status == 201


def test_header_values_may_be_beyond_ascii_or_empty(scripted: Scripted) -> None:
    response = scripted.answer(start(200, (b"x-a", b"caf\xe9"), (b"x-b", b""), (b"x-c", b"a\tb")), body())
    assert app_headers(response) == [("x-a", "caf\xe9"), ("x-b", ""), ("x-c", "a\tb")]


@pytest.mark.parametrize(
    ("status", "reason"),
    [(200, "OK"), (201, "Created"), (299, ""), (404, "Not Found"), (418, None), (599, "")],
)
def test_a_status_has_its_usual_reason_or_none(scripted: Scripted, status: int, reason: str | None) -> None:
    response = scripted.answer(start(status), body())
    assert response.status == status
    assert reason is None or response.reason == reason


def test_a_status_may_be_an_enumeration(scripted: Scripted) -> None:
    assert scripted.answer(("send", start(404), "HTTPStatus"), body()).status == 404


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
        assert_still_in_step(client, scripted)


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


def test_an_error_after_the_end_is_logged_and_harms_nobody(scripted: Scripted) -> None:
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
