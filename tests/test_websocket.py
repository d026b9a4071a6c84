"""WebSockets on the wire: RFC 6455, RFC 7692, and what the ASGI specification says of them."""

from collections.abc import Iterator
from typing import Any

import pytest

from harness import Server
from harness.raw_client import encode_request
from harness.scripted import Scripted, body, writes
from harness.scripted_websocket import (
    ACCEPT,
    OFFER,
    asked,
    close,
    connect,
    deflated,
    deny,
    disconnected,
    inflated,
    opened,
    received,
    send,
)
from harness.websocket_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    HANDSHAKE,
    PING,
    PONG,
    TEXT,
    Frame,
    encode,
    encode_close,
)


@pytest.fixture(scope="module")
def scripted() -> Iterator[Scripted]:
    with Server("http_script:app", "--ws-max-size", "200000") as running:
        yield Scripted(running)


# --- messages


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 150_000])
def test_messages_of_every_length_go_both_ways(scripted: Scripted, size: int) -> None:
    client, _ = opened(scripted, ("echo",))
    with client:
        client.send(encode(BINARY, b"\xff" * size))
        assert client.read_frame() == Frame(BINARY, b"\xff" * size)
        client.say("ü" * (size // 2))
        assert client.read_text() == "ü" * (size // 2)
        client.leave()


def test_fragments_are_one_message_and_a_ping_between_them_is_answered_at_once(scripted: Scripted) -> None:
    client, script = opened(scripted, ("receive",))
    with client:
        client.send(encode(TEXT, b"gr\xc3", last=False))
        client.send(encode(PING, b"?"))
        assert client.read_frame() == Frame(PONG, b"?")
        client.send(encode(CONTINUATION, b"\xbc\xc3", last=False) + encode(CONTINUATION, b"\x9f"))
        assert script.journal()[2] == received("grüß")


def test_an_unasked_pong_means_nothing(scripted: Scripted) -> None:
    client, _ = opened(scripted, ("echo",))
    with client:
        client.send(encode(PONG, b"x"))
        client.say("still here")
        assert client.read_text() == "still here"


def test_bytes_come_one_at_a_time(scripted: Scripted) -> None:
    client, _ = opened(scripted, ("echo",))
    with client:
        for byte in encode(TEXT, b"slow"):
            client.send(bytes([byte]))
        assert client.read_text() == "slow"


@pytest.mark.parametrize("kind", ["bytearray", "memoryview"])
def test_any_buffer_may_be_sent(scripted: Scripted, kind: str) -> None:
    message = {"type": "websocket.send", "bytes": b"abc"}
    client, _ = opened(scripted, ("send", message, f"{kind} of bytes"))
    with client:
        assert client.read_frame() == Frame(BINARY, b"abc")


VIOLATIONS = {
    "not masked": (encode(TEXT, b"x", mask=None), 1002),
    "a reserved bit": (encode(TEXT, b"x", reserved=4), 1002),
    "an unknown opcode": (encode(0x3, b"x"), 1002),
    "an unknown control opcode": (encode(0xB, b""), 1002),
    "a fragmented ping": (encode(PING, b"x", last=False), 1002),
    "a long ping": (encode(PING, b"x" * 126), 1002),
    "a continuation of nothing": (encode(CONTINUATION, b"x"), 1002),
    "a message within another": (encode(TEXT, b"x", last=False) + encode(TEXT, b"y"), 1002),
    "a close of one byte": (encode(CLOSE, b"x"), 1002),
    "a close with 1005": (encode_close(1005), 1002),
    "a close with 999": (encode_close(999), 1002),
    "a close that is not UTF-8": (encode(CLOSE, b"\x03\xe8\xff"), 1007),
    "a text that is not UTF-8": (encode(TEXT, b"\xff"), 1007),
    "a text that ends within a character": (encode(TEXT, b"\xc3"), 1007),
    "a surrogate": (encode(TEXT, b"\xed\xa0\x80"), 1007),
    "a fragment that is not UTF-8": (encode(TEXT, b"\xc3\x28", last=False), 1007),
    "a message too big": (encode(BINARY, b"", length=200_001), 1009),
    "fragments too big": (
        encode(BINARY, b"x" * 200_000, last=False) + encode(CONTINUATION, b"x"),
        1009,
    ),
}


@pytest.mark.parametrize("kind", VIOLATIONS)
def test_a_client_that_breaks_the_protocol_is_told_how(scripted: Scripted, kind: str) -> None:
    sent, code = VIOLATIONS[kind]
    client, script = opened(scripted, ("receive",), ("try", send("too late")))
    with client:
        client.send(sent)
        assert client.is_failed_with() == code
    told, error = script.journal()[2:]
    assert (told["type"], told["code"]) == ("websocket.disconnect", code)
    assert told["reason"]
    assert error.startswith("ClientDisconnected")


# --- closing


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "gone away"), (4999, "ü" * 61)])
def test_the_clients_code_and_reason_reach_the_application(
    scripted: Scripted, code: int, reason: str
) -> None:
    client, script = opened(scripted, ("receive",), ("receive",))
    with client:
        client.leave(code, reason)
    assert script.journal()[2:] == [disconnected(code, reason)] * 2


def test_a_close_without_a_code_is_a_1005(scripted: Scripted) -> None:
    client, script = opened(scripted, ("receive",))
    with client:
        client.leave(None)
    assert script.journal()[2] == disconnected(1005)


@pytest.mark.parametrize("how", ["reset", "end"])
def test_a_connection_that_is_cut_is_a_1006(scripted: Scripted, how: str) -> None:
    client, script = opened(scripted, ("receive",), ("try", send("nobody")))
    with client:
        if how == "reset":
            client.cut()
        else:
            client.half_close()
        journal = script.journal()
    assert journal[2] == disconnected(1006)
    assert journal[3].startswith("ClientDisconnected")


def test_a_client_that_goes_before_the_answer_is_a_1006(scripted: Scripted) -> None:
    script = scripted.script(("receive",), ("receive",), ("try", ACCEPT))
    with connect(scripted.server) as client:
        client.send(encode_request("GET", "/", [*HANDSHAKE, *script.headers.items()]))
        script.reached(1)
    journal = script.journal()
    assert journal[1] == disconnected(1006)
    assert journal[2].startswith("ClientDisconnected")


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1012, "soon"), (3000, "x" * 123)])
def test_the_applications_code_and_reason_reach_the_client(
    scripted: Scripted, code: int, reason: str
) -> None:
    client, script = opened(scripted, close(code, reason), ("receive",), ("try", send("more")))
    with client:
        assert client.read_close() == (code, reason)
        client.send(encode_close(code, reason))
        assert client.read_until_close() == b""
    journal = script.journal()
    assert journal[3] == disconnected(code, reason)
    assert journal[4] == (
        "RuntimeError: Unexpected ASGI message 'websocket.send', after sending 'websocket.close'."
    )


@pytest.mark.parametrize("bad", [close(1005), close(99), close(1 << 20), close(1000, "x" * 124)])
def test_a_close_that_cannot_be_sent_is_a_mistake(scripted: Scripted, bad: dict[str, Any]) -> None:
    client, script = opened(scripted, ("try", bad), close(3001))
    with client:
        assert client.read_close() == (3001, "")
    assert script.journal()[2].startswith("ValueError: ")


def test_an_exception_is_a_1011_and_a_return_a_1000(scripted: Scripted) -> None:
    with writes(scripted.server.stderr, "RuntimeError: oh no"):
        client, _ = opened(scripted, ("raise", "oh no"))
        with client:
            assert client.read_close() == (1011, "")
    client, _ = opened(scripted)
    with client:
        assert client.read_close() == (1000, "")


def test_messages_that_arrived_before_the_close_are_received_first(scripted: Scripted) -> None:
    client, script = opened(scripted, ("wait", "closed"), ("receive",), ("receive",), ("receive",))
    with client:
        client.send(encode(TEXT, b"one") + encode(TEXT, b"two"))
        client.leave(1001)
        script.signal("closed")
    assert script.journal()[3:] == [received("one"), received("two"), disconnected(1001)]


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([("receive",), send("early")], "Expected ASGI message 'websocket.accept', 'websocket.close' or"),
        ([("receive",), ACCEPT, ACCEPT], "Expected ASGI message 'websocket.send' or 'websocket.close', but"),
        ([("receive",), ACCEPT, body(b"")], "but got 'http.response.body'"),
        ([("receive",), deny(403), ACCEPT], "Expected ASGI message 'websocket.http.response.body', but"),
        ([("receive",), ACCEPT, {"type": "websocket.send"}], 'neither "bytes" nor "text"'),
        ([("receive",), ACCEPT, send(3)], "a text must be a str"),
    ],
)
def test_messages_out_of_order_are_refused(scripted: Scripted, steps: list[Any], error: str) -> None:
    client, _, journal = asked(scripted, *steps)
    client.close()
    assert error in journal[-1]


def test_an_uncaught_disconnect_is_no_error_of_the_application(server) -> None:
    scripted = Scripted(server("http_script:app"))
    client, script = opened(scripted, ("receive",), send("nobody"))
    client.leave()
    client.close()
    assert script.journal()[3].startswith("ClientDisconnected")
    assert scripted.answer({"type": "http.response.start", "status": 200}, body()).status == 200
    assert scripted.server.terminate() == 0
    assert "Exception in ASGI application" not in scripted.server.stderr.wait_for_end()


# --- back-pressure


def test_send_waits_for_a_client_that_does_not_read(scripted: Scripted) -> None:
    client, script = opened(
        scripted, ("fill", 50_000, 100_000_000, "websocket"), ("settle",), send("after all"), close()
    )
    with client:
        sent = script.reached(3)[2]
        assert sent < 20_000_000
        while (frame := client.read_frame()).opcode == BINARY:
            sent -= len(frame.payload)
        assert (frame.payload, sent) == (b"after all", -50_000)
        assert client.read_close() == (1000, "")


def test_a_send_that_waits_ends_with_the_connection(scripted: Scripted) -> None:
    client, script = opened(scripted, ("fill", 50_000, 100_000_000, "websocket"), ("settle",), ("receive",))
    with client:
        script.reached(3)
    assert script.journal()[4] == disconnected(1006)


def test_the_server_stops_reading_what_the_application_does_not_receive(scripted: Scripted) -> None:
    client, script = opened(scripted, ("wait", "room"), ("hear", 400))
    message = encode(BINARY, b"x" * 100_000)
    with client:
        client.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            for _ in range(400):
                client.send(message)
    script.signal("room")
    count, first = script.journal()[3]
    assert (count, len(first["bytes"])) == (400, 100_000)


# --- keepalive


def test_a_silent_client_is_given_up(server) -> None:
    started = server("http_script:app", "--ws-ping-interval", "0.1", "--ws-ping-timeout", "0.2")
    client, script = opened(Scripted(started), ("receive",))
    with client:
        ping = client.read_frame()
        assert (ping.opcode, len(ping.payload)) == (PING, 4)
        assert client.read_close() == (1011, "keepalive ping timeout")
    assert script.journal()[2] == disconnected(1011, "keepalive ping timeout")


def test_a_client_that_answers_pings_is_kept(server) -> None:
    started = server("http_script:app", "--ws-ping-interval", "0.05", "--ws-ping-timeout", "20")
    client, _ = opened(Scripted(started), ("echo",))
    with client:
        payloads = set()
        for _ in range(5):
            ping = client.read_frame()
            assert ping.opcode == PING
            payloads.add(ping.payload)
            client.send(encode(PONG, ping.payload))
        assert len(payloads) == 5, "each ping has a payload of its own"
        client.leave()


def test_no_interval_is_no_ping(server) -> None:
    started = server("http_script:app", "--ws-ping-interval", "-1", "--timeout-keep-alive", "0.1")
    client, _ = opened(Scripted(started), ("echo",))
    with client:
        client.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            client.read_frame()


# --- compression


def test_messages_are_compressed_where_that_was_offered_and_no_context_is_kept(scripted: Scripted) -> None:
    client, script = opened(scripted, ("echo",), headers=OFFER)
    text = b"the same again and again, " * 20
    with client:
        for _ in range(3):
            client.send(encode(TEXT, deflated(text), reserved=4))
            answer = client.read_frame()
            assert (answer.opcode, answer.reserved) == (TEXT, 4)
            assert len(answer.payload) < len(text) / 2
            assert inflated(answer.payload) == text
        client.say("short")
        assert client.read_text() == "short"
        client.leave()
    assert script.journal()[2] == disconnected(1000)


def test_what_is_agreed_on_needs_little_memory_on_both_sides(scripted: Scripted) -> None:
    script = scripted.script(("receive",), ACCEPT)
    with connect(scripted.server) as client:
        response = client.open("/", {**script.headers, **OFFER})
        assert response.header("sec-websocket-extensions") == (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
            "server_max_window_bits=12; client_max_window_bits=12"
        )


def test_a_compressed_message_is_measured_after_it_is_inflated(scripted: Scripted) -> None:
    client, _ = opened(scripted, ("receive",), headers=OFFER)
    with client:
        client.send(encode(BINARY, deflated(bytes(200_001)), reserved=4))
        assert client.is_failed_with() == 1009


@pytest.mark.parametrize(
    ("sent", "code"),
    [(encode(BINARY, b"\xff" * 9, reserved=4), 1007), (encode(PING, b"x", reserved=4), 1002)],
)
def test_what_is_not_in_the_format_is_refused(scripted: Scripted, sent: bytes, code: int) -> None:
    client, _ = opened(scripted, ("receive",), headers=OFFER)
    with client:
        client.send(sent)
        assert client.is_failed_with() == code


def test_compression_can_be_switched_off(server) -> None:
    started = server("http_script:app", "--ws-per-message-deflate", "false")
    script = Scripted(started).script(("receive",), ACCEPT)
    with connect(started) as client:
        response = client.open("/", {**script.headers, **OFFER})
        assert response.header("sec-websocket-extensions") is None


# --- without asyncio


def test_a_websocket_needs_no_asyncio_and_may_import_it(server) -> None:
    started = server("websocket_light:app")
    with connect(started) as other, connect(started) as client:
        other.open()
        client.open()
        for text in ("one", "two"):
            client.say(text)
            assert client.read_text() == text
        assert started.get("/").body == b"False"
        client.say("use asyncio")
        client.say("while it waits")
        assert client.read_text() == '[true, "while it waits"]'
        assert started.get("/").body == b"True"
        for each in (client, other):
            each.say("and on")
            assert each.read_text() == "and on"
        other.leave(4000)
        started.stdout.wait_for_line("disconnected with 4000")
        client.leave(1001)
        started.stdout.wait_for_line("disconnected with 1001")
