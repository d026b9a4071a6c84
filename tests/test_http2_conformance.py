"""What h2spec asks of a server, case by case: what is sent, and what RFC 9113 and RFC 7541 have come of it.

The sections are h2spec's, which are those of RFC 7540 (`http2`), of RFC 7541 (`hpack`) and its own (`generic`).
"""

from collections.abc import Iterator

import pytest
from hyperframe.frame import SettingsFrame

from h2spec.case import Step
from h2spec.exchanges import EXCHANGES
from h2spec.frames import DEFINITIONS
from h2spec.generic import GENERIC
from h2spec.hpack_cases import HPACK
from h2spec.outcomes import Outcome, acknowledged
from h2spec.streams import FRAMES, MAX_STREAMS, STATES
from harness import Server
from harness.http2_client import Http2Client
from harness.http2_frames import INITIAL_WINDOW_SIZE


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with Server("http_bare:app", "--no-access-log", "--http2-max-streams", str(MAX_STREAMS)) as server:
        yield server


@pytest.fixture
def client(running: Server) -> Iterator[Http2Client]:
    """A connection on which both sides' settings have been acknowledged."""
    assert not isinstance(running.address, str)
    with Http2Client(running.address, opens_windows=False) as client:
        client.read_until(SettingsFrame)
        acknowledged(client)
        yield client


def follow(client: Http2Client, steps: tuple[Step, ...], then: Outcome) -> None:
    for step in steps:
        if callable(step):
            step(client)
        else:
            client.socket.sendall(step)
    then(client)


@pytest.mark.parametrize(("steps", "then"), GENERIC)
def test_generic(client: Http2Client, steps: tuple[Step, ...], then: Outcome) -> None:
    follow(client, steps, then)


@pytest.mark.parametrize(("steps", "then"), [*FRAMES, *STATES, *DEFINITIONS, *EXCHANGES])
def test_http2(client: Http2Client, steps: tuple[Step, ...], then: Outcome) -> None:
    follow(client, steps, then)


@pytest.mark.parametrize(("steps", "then"), HPACK)
def test_hpack(client: Http2Client, steps: tuple[Step, ...], then: Outcome) -> None:
    follow(client, steps, then)


def test_the_first_frame_of_the_server_is_its_settings(running: Server) -> None:
    """Section 3.5, and generic 1."""
    assert not isinstance(running.address, str)
    with Http2Client(running.address, settings={INITIAL_WINDOW_SIZE: 65_535}) as client:
        first = client.read()
        assert isinstance(first, SettingsFrame) and "ACK" not in first.flags


def test_whatever_is_no_preface_ends_the_connection(running: Server) -> None:
    """Section 3.5. It is no head of HTTP/1.1 either."""
    with running.connect() as client:
        client.send(b"INVALID CONNECTION PREFACE\r\n\r\n")
        assert client.read_response("GET").status == 400
        assert client.is_closed_by_server()
