"""The outcomes of a case: the frames that the server sends, up to the one that decides."""

from collections.abc import Callable, Iterator

from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

from harness.http2_client import Http2Client
from harness.http2_frames import PROTOCOL_ERROR, ping

Outcome = Callable[[Http2Client], None]

MARK = b"the mark"


def frames(client: Http2Client) -> Iterator[Frame]:
    """The frames of the server, to the end of the connection."""
    try:
        while True:
            yield client.read()
    except (EOFError, ConnectionError):
        return


def until(client: Http2Client, wanted: Callable[[Frame], bool]) -> Frame:
    for each in frames(client):
        if wanted(each):
            return each
    raise AssertionError(f"the connection was closed; GOAWAY: {client.goaways}")


def is_answer(each: Frame, payload: bytes) -> bool:
    return isinstance(each, PingFrame) and "ACK" in each.flags and each.opaque_data == payload


def until_indifferent(client: Http2Client) -> Iterator[Frame]:
    """Frames until the connection ends, or it is plain that nothing more comes of what was sent.

    Two pings: an error of a stream may be written behind the answer to the first.
    """
    for _ in range(2):
        try:
            client.socket.sendall(ping(MARK))
        except ConnectionError:
            # What was sent before the end is still there to be read.
            pass
        for each in frames(client):
            if is_answer(each, MARK):
                break
            yield each
        else:
            return
    raise AssertionError("the server goes on as if nothing had been wrong")


def connection_error(*codes: int) -> Outcome:
    """GOAWAY with one of the codes; a connection that ends without one is as good (section 5.4.1)."""

    def outcome(client: Http2Client) -> None:
        for each in until_indifferent(client):
            if isinstance(each, GoAwayFrame):
                assert each.error_code in codes
                client.read_until_close()
                return

    return outcome


def stream_error(*codes: int) -> Outcome:
    """RST_STREAM with one of the codes, or the same as an error of the connection (section 5.4.2)."""

    def outcome(client: Http2Client) -> None:
        for each in until_indifferent(client):
            if isinstance(each, GoAwayFrame | RstStreamFrame) and each.error_code != 0:
                assert each.error_code in codes
                return

    return outcome


def answered(client: Http2Client) -> None:
    until(client, lambda each: isinstance(each, HeadersFrame) and each.stream_id == 1)
    assert client.streams[1].status == 200


def ended(client: Http2Client) -> None:
    until(client, lambda each: client.streams[1].ended)


def alive(client: Http2Client) -> None:
    client.socket.sendall(ping(MARK))
    until(client, lambda each: is_answer(each, MARK))


def pong(client: Http2Client) -> None:
    until(client, lambda each: isinstance(each, PingFrame) and "ACK" in each.flags)


def only_the_second_ping(client: Http2Client) -> None:
    answer = until(client, lambda each: isinstance(each, PingFrame))
    assert is_answer(answer, b"question")


def acknowledged(client: Http2Client) -> None:
    until(client, lambda each: isinstance(each, SettingsFrame) and "ACK" in each.flags)


def closed(client: Http2Client) -> None:
    client.read_until_close()


def goaway_came(client: Http2Client) -> None:
    client.read_until_close()
    assert [each.error_code for each in client.goaways] == [PROTOCOL_ERROR]


def one_byte(client: Http2Client) -> None:
    """Of the body, as much as the window takes."""
    found = until(client, lambda each: isinstance(each, DataFrame))
    assert isinstance(found, DataFrame) and found.data == client.streams[1].body[-1:]
    assert "END_STREAM" not in found.flags


def some_body(client: Http2Client) -> None:
    until(client, lambda each: isinstance(each, DataFrame))
