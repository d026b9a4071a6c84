"""What was found in the field, each a small fault by itself."""

import time
from pathlib import Path

import pytest

from conftest import Start
from harness import RawClient
from harness.authority import Authority
from harness.scripted import DISCONNECT, Scripted, body, start


def connect_when_listening(path: str, timeout: float = 40) -> RawClient:
    """A client of a server that prints no line when it runs. Its file is there before it listens."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return RawClient(path)
        except (FileNotFoundError, ConnectionRefusedError):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_level_above_info_silences_access_lines(server: Start, tmp_path: Path) -> None:
    """As with Uvicorn, unless they are asked for."""
    uds = ("--uds", str(tmp_path / "socket"))
    lines = []
    for flags in ((), ("--access-log",)):
        running = server("hello:app", "--log-level", "warning", *uds, *flags, wait=False)
        with connect_when_listening(uds[1]) as client:
            assert client.get("/").status == 200
        assert running.terminate() == 0
        lines.append(running.stdout.wait_for_end().count("GET / HTTP/1.1"))
    assert lines == [0, 1]


@pytest.mark.parametrize("target", [b"/caf\xc3\xa9", b"/?q=\xff", b"http://a/\xc3\xa9"])
def test_a_target_that_is_not_ascii_is_refused(scripted: Scripted, target: bytes) -> None:
    with scripted.server.connect() as client:
        client.send(b"GET " + target + b" HTTP/1.1\r\nhost: a\r\n\r\n")
        assert client.read_response().status == 400


@pytest.mark.parametrize("extension", [b"; =a", b";", b";a\x01", b';a="b'])
def test_a_chunk_extension_that_is_none_is_refused(scripted: Scripted, extension: bytes) -> None:
    script = scripted.script(("receive",), start(), body())
    with scripted.server.connect() as client:
        client.send(script.encode_chunked(b"1" + extension + b"\r\na\r\n0\r\n\r\n"))
        assert client.read_response().status == 400


def test_after_a_complete_response_receive_tells_of_the_end(scripted: Scripted) -> None:
    """Uvicorn's way: though the request's body has arrived."""
    script = scripted.script(start(), body(b"done"), ("receive",))
    with scripted.server.connect() as client:
        client.send(script.encode("POST", data=b"whole"))
        assert client.read_response().body == b"done"
    assert script.journal() == [None, None, DISCONNECT]


def test_a_byte_order_mark_before_pem_is_passed_over(server: Start, authority: Authority) -> None:
    for path in authority.flags[1::2]:
        with open(path, "rb") as file:
            text = file.read()
        with open(path, "wb") as file:
            file.write(b"\xef\xbb\xbf" + text)
    running = server("hello:app", *authority.flags)
    with running.connect(tls=authority.trusting()) as client:
        assert client.get("/").status == 200
