"""The WebSocket handshake: RFC 6455 section 4, and what the ASGI specification says of it."""

import ast
from typing import Any

import pytest

from harness.raw_client import encode_request
from harness.scripted import Scripted, writes
from harness.scripted_websocket import (
    ACCEPT,
    CONNECT,
    SCOPE,
    asked,
    close,
    connect,
    denial,
    deny,
    disconnected,
    received,
)
from harness.websocket_client import HANDSHAKE, TEXT, encode


def test_the_application_accepts_with_headers_and_a_subprotocol(scripted: Scripted) -> None:
    accept = {**ACCEPT, "subprotocol": "two", "headers": [(b"x-answer", b"42")]}
    script = scripted.script(("receive",), accept)
    with connect(scripted.server) as client:
        offers = [("sec-websocket-protocol", "one"), ("sec-websocket-protocol", "two, three")]
        response = client.open("/", [*script.headers.items(), *offers])
        assert response.header("sec-websocket-protocol") == "two"
        assert response.header("x-answer") == "42"
        assert response.header("server") == "lowmem-serve"
        assert response.header("sec-websocket-extensions") is None
    assert script.journal() == [CONNECT, None]


def test_the_scope_is_that_of_the_specification(server) -> None:
    started = server("websocket_scope:app", "--root-path", "/root")
    with connect(started) as client:
        client.open("/a%20b?x=1", [("X-Asked", "1"), ("sec-websocket-protocol", "one, two")])
        scope = ast.literal_eval(client.read_frame().payload.decode())
    headers = scope.pop("headers")
    assert (b"x-asked", b"1") in headers and (b"upgrade", b"websocket") in headers
    assert scope.pop("client")[0] == "127.0.0.1"
    assert scope.pop("server") == ("127.0.0.1", started.port)
    assert scope == {**SCOPE, "http_version": "1.1"}


def test_closing_before_accepting_is_a_403(scripted: Scripted) -> None:
    client, response, journal = asked(scripted, ("receive",), close(), ("receive",))
    with client:
        assert (response.status, response.body) == (403, b"")
        assert client.is_closed_by_server()
    assert journal == [CONNECT, None, disconnected(1006)]


def test_a_handshake_may_be_denied_with_a_response(scripted: Scripted) -> None:
    steps = deny(401, (b"www-authenticate", b"Basic")), denial(b"who ", True), denial(b"are you?")
    client, response, journal = asked(scripted, ("receive",), *steps, ("receive",))
    with client:
        assert (response.status, response.body) == (401, b"who are you?")
        assert response.header("www-authenticate") == "Basic"
        assert response.is_chunked
    assert journal == [CONNECT, None, None, None, disconnected(1006)]


def test_a_denial_is_streamed_as_it_is_sent(scripted: Scripted) -> None:
    steps = deny(404), denial(b"first", True), ("wait", "more"), denial(b"last")
    script = scripted.script(("receive",), *steps)
    with connect(scripted.server) as client:
        client.send(encode_request("GET", "/", [*HANDSHAKE, *script.headers.items()]))
        assert client.read_head().status == 404
        assert client.read_chunk() == b"first"
        script.signal("more")
        assert client.read_chunk() == b"last"


@pytest.mark.parametrize("steps", [[("raise", "oh no")], [], [deny(200)], [deny(99), denial(b"")]])
def test_an_application_that_does_not_answer_the_handshake_is_a_500(scripted: Scripted, steps: list) -> None:
    with writes(scripted.server.stderr, "Exception in ASGI application|without completing handshake"):
        client, response, _ = asked(scripted, ("receive",), *steps)
        with client:
            assert (response.status, response.text) == (500, "Internal Server Error")
            assert client.is_closed_by_server()


def changed(name: str, *values: str) -> list[tuple[str, str]]:
    return [pair for pair in HANDSHAKE if pair[0] != name] + [(name, value) for value in values]


BAD_HANDSHAKES: dict[str, tuple[str, list[tuple[str, str]], int]] = {
    "not GET": ("POST", HANDSHAKE, 405),
    "another version": ("GET", changed("sec-websocket-version", "8"), 426),
    "several versions": ("GET", changed("sec-websocket-version", "8, 13"), 426),
    "no version": ("GET", changed("sec-websocket-version"), 400),
    "no key": ("GET", changed("sec-websocket-key"), 400),
    "a short key": ("GET", changed("sec-websocket-key", "c2hvcnQ="), 400),
    "two keys": ("GET", [*HANDSHAKE, HANDSHAKE[-1]], 400),
    "a body": ("GET", [*HANDSHAKE, ("content-length", "1")], 400),
    "no protocol": ("GET", [*HANDSHAKE, ("sec-websocket-protocol", "a,,b")], 400),
    "no extension": ("GET", [*HANDSHAKE, ("sec-websocket-extensions", "a;;b")], 400),
}


@pytest.mark.parametrize("kind", BAD_HANDSHAKES)
def test_a_bad_handshake_is_refused(scripted: Scripted, kind: str) -> None:
    method, headers, status = BAD_HANDSHAKES[kind]
    with (
        connect(scripted.server) as client,
        writes(scripted.server.stderr, rf"connection rejected \({status} "),
    ):
        client.send(encode_request(method, "/", headers))
        response = client.read_response()
        assert response.status == status
        assert response.header("sec-websocket-version") == ("13" if status == 426 else None)
        assert response.all("upgrade") == (["websocket"] if status == 426 else [])
        assert response.header("allow") == ("GET" if status == 405 else None)
        assert client.is_closed_by_server()


def test_http_1_0_knows_no_upgrade(scripted: Scripted) -> None:
    with connect(scripted.server) as client, writes(scripted.server.stderr, "Unsupported upgrade request"):
        head = encode_request("GET", "/set/x", HANDSHAKE)
        client.send(head.replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert client.read_response().status == 200


def test_without_websockets_the_request_is_plain_http(server) -> None:
    started = server("http_bare:app", "--ws", "none")
    with connect(started) as client, writes(started.stderr, r"WARNING.*Unsupported upgrade request\."):
        response = client.ask()
        assert response.status == 200
        assert response.header("upgrade") is None
        assert client.get("/").status == 200, "the connection goes on"


@pytest.mark.parametrize(
    ("accept", "error"),
    [
        ({"subprotocol": "not offered"}, "did not offer"),
        ({"headers": [(b"sec-websocket-accept", b"x")]}, "sec-websocket-accept"),
        ({"headers": [(b"x-y", b"a\r\nb")]}, "Invalid HTTP header value"),
        ({"subprotocol": 1}, "must be a str"),
    ],
)
def test_an_acceptance_that_would_break_the_handshake_is_refused(
    scripted: Scripted, accept: dict[str, Any], error: str
) -> None:
    client, response, journal = asked(scripted, ("receive",), {**ACCEPT, **accept})
    with client:
        assert response.status == 500
    assert error in journal[1]


def test_what_follows_the_handshake_at_once_is_not_lost(scripted: Scripted) -> None:
    script = scripted.script(("receive",), ACCEPT, ("receive",))
    with connect(scripted.server) as client:
        client.send(
            encode_request("GET", "/", [*HANDSHAKE, *script.headers.items()]) + encode(TEXT, b"early")
        )
        assert client.read_head().status == 101
        assert script.journal()[2] == received("early")


def test_lines_about_a_websocket_are_uvicorns(scripted: Scripted) -> None:
    stderr = scripted.server.stderr
    script = scripted.script(("receive",), ACCEPT)
    with connect(scripted.server) as client, writes(stderr, "connection open"):
        client.open("/a%20b?x=%22", script.headers)
    stderr.wait_for_line(r'INFO: +127\.0\.0\.1:\d+ - "WebSocket /a%20b\?x=%22" \[accepted\]$')
    asked(scripted, ("receive",), close())[0].close()
    stderr.wait_for_line(r"connection rejected \(403 Forbidden\)")
    stderr.wait_for_line(r'INFO: +127\.0\.0\.1:\d+ - "WebSocket /" 403$')
    assert not scripted.server.stdout.matches("a%20b")


@pytest.mark.parametrize(
    "message",
    [
        {"code": 1008, "reason": [{"loc": ["q"], "msg": "not an int"}]},
        {"code": "no"},
        {"code": 5, "reason": 7},
    ],
)
def test_before_accept_neither_code_nor_reason_matters(scripted: Scripted, message: dict[str, Any]) -> None:
    """FastAPI's answer to a bad parameter has a list as its reason."""
    refusal = {"type": "websocket.close", **message}
    client, response, journal = asked(scripted, ("receive",), refusal, ("receive",))
    with client:
        assert (response.status, response.body) == (403, b"")
    assert journal == [CONNECT, None, disconnected(1006)]
