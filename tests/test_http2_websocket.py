"""WebSockets within HTTP/2 (RFC 8441): the handshake, messages, and every way in which they end."""

import ast
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hyperframe.frame import RstStreamFrame, SettingsFrame

from harness import Server
from harness.http2_client import Http2Client, head
from harness.http2_frames import CANCEL, INITIAL_WINDOW_SIZE, PROTOCOL_ERROR
from harness.scripted import Script, Scripted
from harness.scripted_websocket import (
    ACCEPT,
    CONNECT,
    OFFER,
    SCOPE,
    close,
    deflated,
    denial,
    deny,
    disconnected,
    inflated,
    received,
    send,
)
from harness.tunnelled_websocket import TunnelledWebSocket
from harness.websocket_client import BINARY, TEXT, encode, encode_close

ENABLE_CONNECT_PROTOCOL = 8


@pytest.fixture(scope="module")
def scripted() -> Iterator[Scripted]:
    with Server("http_script:app", "--ws-max-size", "200000") as running:
        yield Scripted(running)


def asked(client: Http2Client, scripted: Scripted, *steps: Any, more: Any = ()) -> tuple[Any, Script]:
    """A stream that asks for a WebSocket, and the application's part in it."""
    script = scripted.script(*steps)
    return TunnelledWebSocket(client, "/", [*script.headers.items(), *dict(more).items()]), script


def opened(
    client: Http2Client, scripted: Scripted, *steps: Any, more: Any = ()
) -> tuple[TunnelledWebSocket, Script]:
    """The same, accepted."""
    websocket, script = asked(client, scripted, ("receive",), ACCEPT, *steps, more=more)
    assert websocket.answer().status == 200
    return websocket, script


# ---- the handshake


def test_the_server_says_that_it_speaks_them(server, connect):
    client = connect(server("hello:app"))
    client.read_until(SettingsFrame)
    assert client.settings[ENABLE_CONNECT_PROTOCOL] == 1
    without = connect(server("hello:app", "--ws", "none"))
    without.read_until(SettingsFrame)
    assert ENABLE_CONNECT_PROTOCOL not in without.settings


def test_the_scope_is_that_of_the_specification(server, connect):
    started = server("websocket_scope:app", "--root-path", "/root")
    more = [("x-asked", "1"), ("sec-websocket-protocol", "one, two")]
    websocket = TunnelledWebSocket(connect(started), "/a%20b?x=1", more)
    scope = ast.literal_eval(websocket.read_frame().payload.decode())
    assert scope.pop("headers") == [
        (b"host", b"test.example"),
        (b"sec-websocket-version", b"13"),
        (b"x-asked", b"1"),
        (b"sec-websocket-protocol", b"one, two"),
    ]
    assert scope.pop("client")[0] == "127.0.0.1"
    assert scope.pop("server") == ("127.0.0.1", started.port)
    assert scope == {**SCOPE, "http_version": "2"}


def test_the_application_accepts_with_headers_and_a_subprotocol(scripted, connect):
    accept = {**ACCEPT, "subprotocol": "two", "headers": [(b"x-answer", b"42")]}
    offers = {"sec-websocket-protocol": "one, two"}
    websocket, _ = asked(connect(scripted.server), scripted, ("receive",), accept, more=offers)
    answer = websocket.answer()
    names = [name for name, _ in answer.headers]
    assert answer.status == 200
    assert names == [":status", "date", "server", "sec-websocket-protocol", "x-answer"]
    assert answer.header("sec-websocket-protocol") == "two"


def test_closing_before_accepting_is_a_403(scripted, connect):
    client = connect(scripted.server)
    websocket, script = asked(client, scripted, ("receive",), close(), ("receive",))
    assert client.response(websocket.number).status == 403
    assert script.journal() == [CONNECT, None, disconnected(1006)]
    assert client.get("/reached/none/0").status == 200


def test_a_handshake_may_be_denied_with_a_response(scripted, connect):
    client = connect(scripted.server)
    steps = deny(401, (b"www-authenticate", b"Basic")), denial(b"who ", True), denial(b"are you?")
    websocket, script = asked(client, scripted, ("receive",), *steps, ("receive",))
    answer = client.response(websocket.number)
    assert (answer.status, answer.body) == (401, b"who are you?")
    assert answer.header("www-authenticate") == "Basic"
    assert script.journal()[-1] == disconnected(1006)


def test_bad_handshakes_are_refused(scripted, connect):
    client = connect(scripted.server)
    tunnel = [(":method", "CONNECT"), *head()[1:]]
    for protocol, more, status in (
        ("websocket", [("sec-websocket-version", "8")], 426),
        ("websocket", [], 400),
        ("websocket", [("sec-websocket-version", "13"), ("sec-websocket-protocol", "a,,b")], 400),
        ("connect-udp", [], 501),
    ):
        number = client.open([*tunnel, (":protocol", protocol), *more], end=False)
        assert client.response(number).status == status, (protocol, more)
    refused = client.open([*head(), (":protocol", "websocket")], end=False)
    assert client.response(refused).reset == PROTOCOL_ERROR


def test_without_websockets_nothing_is_connected(server, connect):
    client = connect(server("hello:app", "--ws", "none"))
    websocket = TunnelledWebSocket(client)
    assert client.response(websocket.number).status == 501


def test_a_client_that_goes_before_the_answer_is_a_1006(scripted, connect):
    client = connect(scripted.server)
    websocket, script = asked(client, scripted, ("receive",), ("receive",))
    script.reached(1)
    client.send(RstStreamFrame(websocket.number, error_code=CANCEL))
    assert script.journal() == [CONNECT, disconnected(1006)]


def test_lines_about_a_websocket_are_those_of_http_1(server, connect):
    scripted = Scripted(server("http_script:app"))
    opened(connect(scripted.server), scripted)
    scripted.server.stderr.wait_for_line(r'"WebSocket /" \[accepted\]')
    client = connect(scripted.server)
    asked(client, scripted, ("receive",), close())
    scripted.server.stderr.wait_for_line(r"connection rejected \(403 Forbidden\)")


# ---- messages


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536, 200_000])
def test_messages_of_every_length_go_both_ways(scripted, connect, size):
    websocket, _ = opened(connect(scripted.server), scripted, ("echo",))
    for text in ("a" * size, "b" * size):
        websocket.say(text)
        assert websocket.read_text() == text
    websocket.leave()


def test_several_share_a_connection_with_requests(scripted, connect):
    client = connect(scripted.server)
    first, _ = opened(client, scripted, ("echo",))
    second, _ = opened(client, scripted, ("echo",))
    second.say("two")
    assert second.read_text() == "two"
    first.say("one")
    assert client.get("/reached/none/0").status == 200
    assert first.read_text() == "one"
    first.leave()
    second.say("still here")
    assert second.read_text() == "still here"


def test_what_comes_before_the_answer_is_not_lost(scripted, connect):
    websocket, script = asked(
        connect(scripted.server), scripted, ("receive",), ("wait", "go"), ACCEPT, ("receive",), ("receive",)
    )
    websocket.say("early")
    script.reached(1)
    script.signal("go")
    assert websocket.answer().status == 200
    websocket.leave(4000, "bye")
    assert script.journal()[3:] == [received("early"), disconnected(4000, "bye")]


def test_messages_are_compressed_where_that_was_offered(scripted, connect):
    websocket, _ = opened(connect(scripted.server), scripted, ("echo",), more=OFFER)
    assert "permessage-deflate" in websocket.stream.header("sec-websocket-extensions")
    text = b"the same again and again, " * 20
    websocket.send(encode(TEXT, deflated(text), reserved=4))
    answer = websocket.read_frame()
    assert (answer.opcode, answer.reserved) == (TEXT, 4)
    assert inflated(answer.payload) == text
    websocket.leave()


def test_send_waits_for_the_clients_windows(scripted, connect):
    client = connect(scripted.server, settings={INITIAL_WINDOW_SIZE: 1000})
    steps = ("fill", 50_000, 4_000_000, "websocket"), ("settle",), send("after all"), close()
    websocket, script = opened(client, scripted, *steps)
    sent = script.reached(3)[2]
    assert sent < 600_000
    while (frame := websocket.read_frame()).opcode == BINARY:
        sent -= len(frame.payload)
    assert (frame.payload, sent) == (b"after all", -50_000)
    assert websocket.read_close() == (1000, "")


# ---- ends


def test_the_clients_code_reaches_the_application(scripted, connect):
    websocket, script = opened(connect(scripted.server), scripted, ("receive",))
    websocket.leave(4321, "enough")
    assert script.journal()[-1] == disconnected(4321, "enough")


def test_the_applications_code_reaches_the_client(scripted, connect):
    client = connect(scripted.server)
    websocket, _ = opened(client, scripted, close(3000, "over"))
    assert websocket.read_close() == (3000, "over")
    websocket.send(encode_close(3000, "over"))
    assert websocket.read_until_close() == b""
    assert client.get("/reached/none/0").status == 200


def test_a_stream_that_is_reset_is_a_1006(scripted, connect):
    client = connect(scripted.server)
    websocket, script = opened(client, scripted, ("receive",))
    client.send(RstStreamFrame(websocket.number, error_code=CANCEL))
    assert script.journal()[-1] == disconnected(1006)


def test_a_stream_that_ends_without_a_close_is_a_1006_and_a_reset(scripted, connect):
    client = connect(scripted.server)
    websocket, script = opened(client, scripted, ("receive",))
    websocket.end()
    assert script.journal()[-1] == disconnected(1006)
    assert client.response(websocket.number).reset == CANCEL


def test_a_lost_connection_is_a_1006(scripted, connect):
    client = connect(scripted.server)
    _, script = opened(client, scripted, ("receive",))
    client.close()
    assert script.journal()[-1] == disconnected(1006)


def test_a_client_that_breaks_the_protocol_is_told_how(scripted, connect):
    websocket, _ = opened(connect(scripted.server), scripted, ("receive",))
    websocket.send(encode(TEXT, b"unmasked", mask=None))
    assert websocket.is_failed_with() == 1002


def test_a_server_that_stops_tells_both_sides_to_come_back(server, connect):
    scripted = Scripted(server("http_script:app"))
    client = connect(scripted.server)
    websocket, _ = opened(client, scripted, ("receive",))
    scripted.server.send_signal(signal.SIGTERM)
    assert websocket.read_close()[0] == 1012
    websocket.send(encode_close(1012))
    assert websocket.read_until_close() == b""
    client.read_until_close()
    assert client.goaways
    assert scripted.server.wait() == 0
