"""Request bodies and back-pressure, as the application and the client see them."""

import fcntl
import os
import signal
import struct
import termios
import time
from collections.abc import Callable, Iterator

import pytest

from harness import RawClient
from harness.scripted import DISCONNECT, Script, Scripted, body, request, start

MIB = 1024 * 1024
ANSWER = (start(), body(b"done"))
# What a body may cost beside itself: the server's own buffers, and the chunk in the application's hands.
MEMORY_MARGIN = 8 * MIB
# What the two kernels' buffers on the way may swallow while the application does not read (tcp_wmem's default limit is 4 MiB).
KERNEL_BUFFERS = 12 * MIB
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def send_what_goes(client: RawClient, data: bytes) -> int:
    """How much the client could send before it was kept waiting for a second."""
    client.socket.settimeout(1)
    sent = 0
    try:
        while sent < len(data):
            sent += client.socket.send(data[sent : sent + 65536])
    except TimeoutError:
        pass
    finally:
        client.socket.settimeout(30)
    return sent


def wait_until_arrived(client: RawClient) -> None:
    """Until what was sent has come to the other side's kernel, which acknowledges it."""
    deadline = time.monotonic() + 40
    while struct.unpack("i", fcntl.ioctl(client.socket, termios.TIOCOUTQ, bytes(4)))[0]:
        assert time.monotonic() < deadline, "it does not arrive"
        time.sleep(0.005)


# What receive() gives


def test_a_request_without_a_body_is_one_empty_message(scripted: Scripted) -> None:
    script = scripted.script(("receive",), *ANSWER)
    scripted.server.get("/", script.headers)
    assert script.journal()[0] == request(b"")


@pytest.mark.parametrize("data", [b"", b"x", b"hello", bytes(range(256)) * 16], ids=len)
def test_a_small_body_that_is_there_is_one_message(scripted: Scripted, data: bytes) -> None:
    script = scripted.script(("receive",), *ANSWER)
    scripted.server.post("/", data, script.headers)
    assert script.journal()[0] == request(data)


@pytest.fixture
def halted(scripted: Scripted) -> Iterator[Callable[[], None]]:
    """The server is at a halt until this is called."""
    worker = scripted.server.only_worker()

    def go_on() -> None:
        os.kill(worker, signal.SIGCONT)

    os.kill(worker, signal.SIGSTOP)
    yield go_on
    go_on()


def test_a_larger_body_that_has_all_arrived_is_one_message(
    scripted: Scripted, halted: Callable[[], None]
) -> None:
    script, data = scripted.script(("receive",), *ANSWER), bytes(range(256)) * 160
    with scripted.server.connect() as client:
        client.send(script.encode("POST", [("content-length", str(len(data)))], data))
        wait_until_arrived(client)
        halted()
        assert client.read_response().body == b"done"
    assert script.journal()[0] == request(data)


@pytest.mark.parametrize("first", [0, 100, 20_000, 70_000])
def test_a_body_of_many_parts_keeps_its_order_and_its_end(scripted: Scripted, first: int) -> None:
    """However much of it comes with the head, and with another request right behind it."""
    script, following = scripted.script(("read",), *ANSWER), scripted.script(start(), body(b"next"))
    data = b"".join(b"%07d\n" % number for number in range(40_000))
    with scripted.server.connect() as client:
        client.send(script.encode("POST", [("content-length", str(len(data)))], data[:first]))
        scripted.answer(*ANSWER)
        client.send(data[first:] + following.encode())
        assert client.read_response().body == b"done"
        assert client.read_response().body == b"next"
    assert script.journal()[0] == (data, "http.request")


def test_a_body_in_pieces_is_told_piece_by_piece(scripted: Scripted) -> None:
    script = scripted.script(("receive",), ("receive",), ("receive",), *ANSWER)
    with scripted.server.connect() as client:
        client.send(script.encode("POST", [("content-length", "9")], b"one"))
        assert script.reached(1) == [request(b"one", more=True)]
        client.send(b"two")
        assert script.reached(2)[1] == request(b"two", more=True)
        client.send(b"six")
        assert client.read_response().body == b"done"
    assert script.journal()[2] == request(b"six")


def test_a_chunked_body_is_told_piece_by_piece(scripted: Scripted) -> None:
    script = scripted.script(("receive",), ("read",), *ANSWER)
    with scripted.server.connect() as client:
        client.send(script.encode_chunked(b"3\r\none\r\n"))
        assert script.reached(1) == [request(b"one", more=True)]
        client.send(b"3\r\ntwo\r\n0\r\n\r\n")
        assert client.read_response().body == b"done"
    assert script.journal()[1] == (b"two", "http.request")


@pytest.mark.parametrize(
    "encoded",
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n",
        b"0005\r\nhello\r\n000\r\n\r\n",
        b"5;name=value\r\nhello\r\n0;last\r\n\r\n",
        b'5;name="quoted; \\" value"\r\nhello\r\n0\r\n\r\n',
        b"5\r\nhello\r\n0\r\nx-trailer: dropped\r\nx-other:\r\n\r\n",
    ],
    ids=["one", "two", "zeros", "extension", "quoted extension", "trailers"],
)
def test_a_chunked_body_is_decoded(scripted: Scripted, encoded: bytes) -> None:
    script, following = scripted.script(("read",), *ANSWER), scripted.script(start(), body(b"next"))
    with scripted.server.connect() as client:
        client.send(script.encode_chunked(encoded) + following.encode())
        assert client.read_response().body == b"done"
        assert client.read_response().body == b"next"
    assert script.journal()[0] == (b"hello", "http.request")


def test_chunk_sizes_are_hexadecimal_in_either_case(scripted: Scripted) -> None:
    script = scripted.script(("read",), *ANSWER)
    with scripted.server.connect() as client:
        client.send(
            script.encode_chunked(b"1A\r\n" + b"x" * 26 + b"\r\n1a\r\n" + b"y" * 26 + b"\r\n0\r\n\r\n")
        )
        assert client.read_response().body == b"done"
    assert script.journal()[0] == (b"x" * 26 + b"y" * 26, "http.request")


def test_after_the_whole_body_receive_waits_for_the_end(scripted: Scripted) -> None:
    script = scripted.script(("read",), ("impatient", 0.2), *ANSWER)
    assert scripted.server.post("/", b"hello", script.headers).body == b"done"
    assert script.journal()[:2] == [(b"hello", "http.request"), "timeout"]


def test_the_response_may_begin_before_the_body_has_come(scripted: Scripted) -> None:
    script = scripted.script(start(), body(b"begun", more=True), ("read",), body(b"done"))
    with scripted.server.connect() as client:
        client.send(script.encode("POST", [("content-length", "5")]))
        client.read_head()
        assert client.read_chunk() == b"begun"
        client.send(b"hello")
        assert client.read_chunk() == b"done"
    assert script.journal()[2] == (b"hello", "http.request")


def test_giving_up_on_receive_loses_no_message(scripted: Scripted) -> None:
    script = scripted.script(("impatient", 0.1), ("impatient", 0.1), ("wait", "sent"), ("read",), *ANSWER)
    with scripted.server.connect() as client:
        client.send(script.encode("POST", [("content-length", "5")]))
        assert script.reached(2) == ["timeout", "timeout"]
        client.send(b"hello")
        script.signal("sent")
        assert client.read_response().body == b"done"
    assert script.journal()[3] == (b"hello", "http.request")


def test_receive_and_send_can_each_be_made_a_task(scripted: Scripted) -> None:
    """With Uvicorn they are coroutines, so applications pass them to create_task, which takes nothing less."""
    steps = ("task",), ("task", start()), ("task", body(b"one ", more=True)), ("task", body(b"two"))
    script = scripted.script(*steps)
    assert scripted.server.get("/", script.headers).body == b"one two"
    assert script.journal() == [request(b""), None, None, None]


# Unread bodies


@pytest.mark.parametrize("data", [b"unread", b"u" * 60_000], ids=len)
def test_an_unread_small_body_does_not_disturb_the_next_request(scripted: Scripted, data: bytes) -> None:
    with scripted.server.connect() as client:
        for _ in range(3):
            assert client.request("POST", "/", scripted.script(*ANSWER).headers, data).body == b"done"


def test_an_unread_chunked_body_does_not_disturb_the_next_request(scripted: Scripted) -> None:
    with scripted.server.connect() as client:
        client.send(scripted.script(*ANSWER).encode_chunked(b"6\r\nunread\r\n0\r\n\r\n"))
        client.send(scripted.script(start(), body(b"next")).encode())
        assert client.read_response().body == b"done"
        assert client.read_response().body == b"next"


def test_a_body_that_comes_after_the_answer_is_never_taken_for_a_request(scripted: Scripted) -> None:
    """The server may close instead of waiting for it."""
    smuggled = scripted.script(start(), body(b"smuggled")).encode()
    with scripted.server.connect() as client:
        client.send(scripted.script(*ANSWER).encode("POST", [("content-length", str(len(smuggled)))]))
        assert client.read_response().body == b"done"
        try:
            client.send(
                smuggled + scripted.script(start(), body(b"next")).encode("GET", [("connection", "close")])
            )
            received = client.read_until_close()
        except ConnectionError:
            received = b""
    assert b"smuggled" not in received
    assert received == b"" or b"\r\nnext" in received


def test_a_large_unread_body_still_gets_its_answer(scripted: Scripted) -> None:
    """Drained or closed, but the answer is not lost to a reset (RFC 9112 section 9.6)."""
    with scripted.server.connect() as client:
        script = scripted.script(("mark",), *ANSWER)
        client.send(script.encode("POST", [("content-length", str(20 * MIB))]))
        try:
            client.send(bytes(20 * MIB))
        except ConnectionError:
            pass
        assert client.read_response().body == b"done"
    assert scripted.answer(*ANSWER).body == b"done"


# Backpressure


def test_an_upload_waits_for_a_slow_application(scripted: Scripted) -> None:
    steps = ("mark",), ("receive",), ("wait", "go"), ("drain",), ("peak",), *ANSWER
    script, data = scripted.script(*steps), bytes(24 * MIB)
    with scripted.server.connect(timeout=30) as client:
        client.send(script.encode("POST", [("content-length", str(len(data)))]))
        sent = send_what_goes(client, data)
        assert sent < KERNEL_BUFFERS
        script.signal("go")
        client.send(data[sent:])
        assert client.read_response().body == b"done"
    _, first, _, (rest, last), peak, *_ = script.journal()
    assert (len(first["body"]) + rest, last) == (len(data), "http.request")
    assert peak < MEMORY_MARGIN


def test_a_chunked_upload_waits_for_a_slow_application(scripted: Scripted) -> None:
    script = scripted.script(("mark",), ("receive",), ("wait", "go"), ("drain",), ("peak",), *ANSWER)
    data = (b"10000\r\n" + bytes(0x10000) + b"\r\n") * 384 + b"0\r\n\r\n"
    with scripted.server.connect(timeout=30) as client:
        client.send(script.encode_chunked())
        sent = send_what_goes(client, data)
        assert sent < KERNEL_BUFFERS
        script.signal("go")
        client.send(data[sent:])
        assert client.read_response().body == b"done"
    _, first, _, (rest, _), peak, *_ = script.journal()
    assert len(first["body"]) + rest == 24 * MIB
    assert peak < MEMORY_MARGIN


def test_one_enormous_chunk_is_passed_on_in_pieces(scripted: Scripted) -> None:
    script = scripted.script(("mark",), ("drain",), ("peak",), *ANSWER)
    with scripted.server.connect(timeout=30) as client:
        client.send(script.encode_chunked(b"%x\r\n" % (32 * MIB)) + bytes(32 * MIB) + b"\r\n0\r\n\r\n")
        assert client.read_response().body == b"done"
    _, (size, _), peak, *_ = script.journal()
    assert size == 32 * MIB
    assert peak < MEMORY_MARGIN


@pytest.mark.parametrize("length", [None, 64 * MIB])
def test_a_stream_waits_for_a_slow_client(scripted: Scripted, length: int | None) -> None:
    headers = [(b"content-length", b"%d" % length)] if length else []
    script = scripted.script(
        ("mark",), start(200, *headers), ("fill", 65536, 64 * MIB), ("peak",), ("settle",)
    )
    with scripted.server.connect(timeout=30) as client:
        client.send(script.encode())
        _, _, sent, peak = script.reached(4)
        assert 0 < sent < KERNEL_BUFFERS
        assert peak < MEMORY_MARGIN
        assert client.read_head().status == 200
        received = len(client.read_until_close())
    assert received >= sent
    assert script.journal()[4] is None


def test_a_waiting_send_returns_when_the_client_leaves(scripted: Scripted) -> None:
    script = scripted.script(
        start(), ("fill", 65536, 64 * MIB), ("settle",), body(b"more", more=True), body()
    )
    with scripted.server.connect(timeout=30) as client:
        client.send(script.encode())
        script.reached(2)
        client.cut()
    assert script.journal()[2:] == [None, None, None]


# Expect: 100-continue


def expecting(script: Script, version: str = "1.1") -> bytes:
    head = script.encode("POST", [("content-length", "5"), ("expect", "100-continue")])
    return head.replace(b"HTTP/1.1", f"HTTP/{version}".encode(), 1)


def test_continue_is_said_when_the_application_receives(scripted: Scripted) -> None:
    script = scripted.script(("mark",), ("wait", "go"), ("read",), *ANSWER)
    with scripted.server.connect() as client:
        client.send(expecting(script))
        script.reached(1)
        client.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        client.socket.settimeout(10)
        script.signal("go")
        assert client.read_exactly(len(CONTINUE)) == CONTINUE
        client.send(b"hello")
        assert client.read_response().body == b"done"
    assert script.journal()[2] == (b"hello", "http.request")


def test_continue_is_said_once(scripted: Scripted) -> None:
    script = scripted.script(("impatient", 0.1), ("impatient", 0.1), ("read",), *ANSWER)
    with scripted.server.connect() as client:
        client.send(expecting(script))
        assert client.read_exactly(len(CONTINUE)) == CONTINUE
        script.reached(2)
        client.send(b"hello")
        assert client.read_response().status == 200


def test_continue_is_not_said_when_the_application_answers_first(scripted: Scripted) -> None:
    with scripted.server.connect() as client:
        client.send(expecting(scripted.script(*ANSWER)))
        assert client.read_response().status == 200


def test_continue_is_not_said_once_the_response_has_begun(scripted: Scripted) -> None:
    script = scripted.script(start(), body(b"one", more=True), ("read",), body(b"two"))
    with scripted.server.connect() as client:
        client.send(expecting(script))
        assert client.read_head().status == 200
        assert client.read_chunk() == b"one"
        client.send(b"hello")
        assert client.read_chunk() == b"two"


def test_a_start_without_a_body_does_not_keep_both_sides_waiting(scripted: Scripted) -> None:
    """The start may be held back until there is a body, but then the client needs its 100."""
    script = scripted.script(start(), ("read",), body(b"done"))
    with scripted.server.connect() as client:
        client.send(expecting(script))
        first = client.read_head()
        client.send(b"hello")
        response = client.read_response() if first.status == 100 else first
        assert response.status == 200
    assert script.journal()[1] == (b"hello", "http.request")


def test_a_body_that_is_sent_unasked_is_received(scripted: Scripted) -> None:
    """RFC 9110 section 10.1.1: the server may then leave the 100 out."""
    script = scripted.script(("read",), *ANSWER)
    with scripted.server.connect() as client:
        client.send(expecting(script) + b"hello")
        response = client.read_response()
        response = client.read_response() if response.status == 100 else response
        assert response.body == b"done"
    assert script.journal()[0] == (b"hello", "http.request")


def test_an_http_1_0_client_is_never_told_to_continue(scripted: Scripted) -> None:
    script = scripted.script(("read",), *ANSWER)
    with scripted.server.connect() as client:
        client.send(expecting(script, "1.0") + b"hello")
        assert client.read_response().status == 200


def test_the_application_of_a_client_that_leaves_instead_of_its_body_hears_of_it(scripted: Scripted) -> None:
    script = scripted.script(("receive",), ("receive",))
    with scripted.server.connect() as client:
        client.send(expecting(script))
        assert client.read_exactly(len(CONTINUE)) == CONTINUE
    assert script.journal() == [DISCONNECT, DISCONNECT]
