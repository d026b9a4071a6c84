"""Clients that leave, and requests that are over, as the application hears of them."""

from collections.abc import Callable

import pytest

from harness import RawClient
from harness.scripted import DISCONNECT, Scripted, body, request, start

ANSWER = (start(), body(b"done"))


@pytest.mark.parametrize("leave", [RawClient.close, RawClient.cut], ids=["close", "reset"])
def test_a_waiting_receive_is_told_that_the_client_left(
    scripted: Scripted, leave: Callable[[RawClient], None]
) -> None:
    script = scripted.script(("receive",), ("receive",), ("receive",))
    with scripted.server.connect() as client:
        client.send(script.encode())
        script.reached(1)
        leave(client)
    assert script.journal() == [request(b""), DISCONNECT, DISCONNECT]


@pytest.mark.parametrize("leave", [RawClient.close, RawClient.cut], ids=["close", "reset"])
def test_a_client_that_leaves_within_its_body_is_a_disconnect(
    scripted: Scripted, leave: Callable[[RawClient], None]
) -> None:
    script = scripted.script(("receive",), ("receive",))
    with scripted.server.connect() as client:
        client.send(script.encode("POST", [("content-length", "10")], b"part"))
        script.reached(1)
        leave(client)
    assert script.journal() == [request(b"part", more=True), DISCONNECT]


def test_a_chunked_body_cut_short_is_a_disconnect(scripted: Scripted) -> None:
    script = scripted.script(("receive",), ("receive",))
    with scripted.server.connect() as client:
        client.send(script.encode_chunked(b"4\r\npart\r\n"))
        script.reached(1)
        client.close()
    assert script.journal() == [request(b"part", more=True), DISCONNECT]


def test_a_client_that_leaves_is_told_while_the_response_streams(scripted: Scripted) -> None:
    script = scripted.script(
        ("receive",), start(), body(b"one", more=True), ("receive",), body(b"two", more=True), body()
    )
    with scripted.server.connect() as client:
        client.send(script.encode())
        client.read_head()
        assert client.read_chunk() == b"one"
    assert script.journal() == [request(b""), None, None, DISCONNECT, None, None]


def test_a_task_that_listens_is_told_while_another_sends(scripted: Scripted) -> None:
    """Starlette's way to watch for the client's end."""
    script = scripted.script(("listen",), start(), body(b"one", more=True), ("heard",))
    with scripted.server.connect() as client:
        client.send(script.encode())
        client.read_head()
        assert client.read_chunk() == b"one"
    assert script.journal()[3] == DISCONNECT


def test_every_receiver_is_told_that_the_client_left(scripted: Scripted) -> None:
    script = scripted.script(("receive",), ("listen",), ("listen",), ("receive",), ("heard",), ("heard",))
    with scripted.server.connect() as client:
        client.send(script.encode())
        script.reached(3)
    assert script.journal()[3:] == [DISCONNECT] * 3


def test_giving_up_on_receive_does_not_silence_the_task_that_listens(scripted: Scripted) -> None:
    """Starlette's request.is_disconnected() does so while a StreamingResponse listens."""
    script = scripted.script(("receive",), ("listen",), ("impatient", 0.1), ("heard",))
    with scripted.server.connect() as client:
        client.send(script.encode())
        script.reached(3)
    assert script.journal()[2:] == ["timeout", DISCONNECT]


def test_send_after_the_disconnect_does_nothing(scripted: Scripted) -> None:
    """Version 2.3 of the specification: no error, as the application cannot know in time."""
    script = scripted.script(("receive",), ("receive",), start(), body(b"one", more=True), body(b"two"))
    with scripted.server.connect() as client:
        client.send(script.encode())
        script.reached(1)
    assert script.journal() == [request(b""), DISCONNECT, None, None, None]
    assert "Exception in ASGI application" not in scripted.server.stderr


def test_an_application_that_only_returns_after_the_disconnect_is_no_error(scripted: Scripted) -> None:
    script = scripted.script(("receive",), ("receive",))
    before = len(scripted.server.stderr.matches("ASGI callable returned"))
    with scripted.server.connect() as client:
        client.send(script.encode())
        script.reached(1)
    script.journal()
    assert len(scripted.server.stderr.matches("ASGI callable returned")) == before


def test_after_the_response_receive_says_disconnect(scripted: Scripted) -> None:
    script = scripted.script(("receive",), *ANSWER, ("receive",), ("receive",))
    with scripted.server.connect() as client:
        assert client.get("/", script.headers).body == b"done"
        assert script.journal()[3:] == [DISCONNECT, DISCONNECT]
        assert client.get("/", scripted.script(start(), body(b"next")).headers).body == b"next"


def test_a_listening_task_hears_the_end_of_the_response(scripted: Scripted) -> None:
    script = scripted.script(("listen",), *ANSWER, ("heard",))
    with scripted.server.connect() as client:
        assert client.get("/", script.headers).body == b"done"
        assert script.journal()[3] == DISCONNECT


def test_the_next_request_on_the_connection_is_no_message_to_the_last(scripted: Scripted) -> None:
    script = scripted.script(("receive",), ("impatient", 0.3), *ANSWER)
    with scripted.server.connect() as client:
        client.send(script.encode() + scripted.script(start(), body(b"next")).encode())
        assert client.read_response().body == b"done"
        assert client.read_response().body == b"next"
    assert script.journal()[1] == "timeout"


def test_an_application_that_does_not_listen_finishes_though_the_client_left(scripted: Scripted) -> None:
    script = scripted.script(("receive",), ("wait", "go"), *ANSWER)
    with scripted.server.connect() as client:
        client.send(script.encode())
        script.reached(1)
    script.signal("go")
    assert script.journal()[2:] == [None, None]
