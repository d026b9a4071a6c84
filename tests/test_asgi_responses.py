"""The messages of an application, and the response that the client receives."""

import re
import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from harness import RawClient, Response
from harness.scripted import Scripted, body, start

IMF_FIXDATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
OWN_HEADERS = {"date", "server", "content-length", "transfer-encoding", "connection"}


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
        scripted.assert_in_step_with(client)


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
        scripted.assert_in_step_with(client)
    assert script.journal() == [None, None]


@pytest.mark.parametrize("last", [body(), body(b"x" * 1000), body(b"short")], ids=["none", "whole", "short"])
def test_head_keeps_the_length_of_the_application(scripted: Scripted, last: dict[str, Any]) -> None:
    with scripted.server.connect() as client:
        script = scripted.script(start(200, (b"content-length", b"1000")), last)
        assert client.request("HEAD", "/", script.headers).header("content-length") == "1000"
        scripted.assert_in_step_with(client)


def test_a_streamed_answer_to_head_sends_no_chunk(scripted: Scripted) -> None:
    with scripted.server.connect() as client:
        script = scripted.script(start(), body(b"one", more=True), body(b"two", more=True), body())
        assert client.request("HEAD", "/", script.headers).header("content-length") is None
        scripted.assert_in_step_with(client)
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
        scripted.assert_in_step_with(client)


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
        scripted.assert_in_step_with(client)


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
    before = time.time()
    response = scripted.answer(start(), body())
    after = time.time()
    date = response.header("date")
    assert date and IMF_FIXDATE.fullmatch(date)
    assert before - 5 < parsedate_to_datetime(date).timestamp() < after + 5
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
